"""Quantiles of a stream in bounded memory, mergeable over hours and processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict


class SketchDict(TypedDict):
    """A sketch as JSON."""

    alpha: float
    zeros: int
    buckets: dict[str, int]


@dataclass(slots=True)
class Sketch:
    """Counts values in buckets whose width grows with the value.

    Any quantile is within a factor of (1 +- ``alpha``) of a value of that rank. Values from 1e-9 to 1e9 need about
    2,100 buckets at 1 %; only buckets in use are kept. Values of zero or less are counted as zero.

    Source: DDSketch (Masson, Rim, Lee, VLDB 2019).

    Attributes:
        alpha: Relative error of the quantiles (0..1).
    """

    alpha: float = 0.01
    _buckets: Counter[int] = field(default_factory=Counter)
    _zeros: int = 0

    def __post_init__(self) -> None:
        """Refuse an error that gives no buckets."""
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha: {self.alpha} is not between 0 and 1; 0.01 means 1 % error")

    @property
    def count(self) -> int:
        """How many values were added."""
        return self._zeros + self._buckets.total()

    @property
    def _gamma(self) -> float:
        return (1 + self.alpha) / (1 - self.alpha)

    def add(self, value: float) -> None:
        """Count a value."""
        if value <= 0:
            self._zeros += 1
        else:
            self._buckets[math.ceil(math.log(value, self._gamma))] += 1

    def merge(self, other: Sketch) -> Sketch:
        """Return a sketch of both streams; raise ValueError when their errors differ."""
        if other.alpha != self.alpha:
            raise ValueError(
                f"cannot merge sketches of alpha {self.alpha} and {other.alpha}; build both with one alpha"
            )
        return Sketch(self.alpha, self._buckets + other._buckets, self._zeros + other._zeros)

    def quantile(self, q: float) -> float:
        """Return the value at rank ``q`` (0..1); raise ValueError on an empty sketch."""
        if not self.count:
            raise ValueError("an empty sketch has no quantiles; add a value first")
        rank = q * (self.count - 1)
        seen = self._zeros
        if rank < seen:
            return 0.0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if rank < seen:
                break
        return 2 * self._gamma**bucket / (self._gamma + 1)

    def to_dict(self) -> SketchDict:
        """Return it as JSON values."""
        return {"alpha": self.alpha, "zeros": self._zeros, "buckets": {str(k): n for k, n in self._buckets.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Sketch:
        """Read what ``to_dict`` wrote; raise ValueError when it is something else."""
        alpha, zeros, buckets = data.get("alpha"), data.get("zeros"), data.get("buckets")
        if not isinstance(alpha, float) or not isinstance(zeros, int) or not isinstance(buckets, Mapping):
            raise ValueError(f"not a sketch: {sorted(data)}; expected alpha, zeros and buckets")  # noqa: TRY004
        return cls(alpha, Counter({int(bucket): int(count) for bucket, count in buckets.items()}), zeros)
