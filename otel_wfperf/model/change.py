"""Changes that can be made to an execution on paper; ``analysis.what_if`` replays them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply the length of operations and all that is below them; 0.5 = twice as fast."""

    span_ids: frozenset[str]
    factor: float

    def __post_init__(self) -> None:
        """Refuse a negative factor."""
        if self.factor < 0:
            raise ValueError(f"factor: {self.factor} is negative; 0.5 means twice as fast, 0 removes")


@dataclass(frozen=True, slots=True)
class Remove:
    """Let operations take no time at all, as a cache hit nearly does; use ``Replace`` for a known hit time."""

    span_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Replace:
    """Give operations a new length (nanoseconds)."""

    span_ids: frozenset[str]
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Shorten:
    """Take a fixed time off the end of operations, not of what is below them (nanoseconds; negative = add)."""

    span_ids: frozenset[str]
    by_ns: int


@dataclass(frozen=True, slots=True)
class Move:
    """Start an operation at another moment (nanoseconds; may be negative) after its parent's start.

    Attributes:
        after: Earlier sibling whose own new start is counted from instead, so that the operation follows it when other
            changes move it.
    """

    span_id: str
    offset_ns: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Parallelise:
    """Start siblings together instead of one after another, at most ``capacity`` at once (None = all)."""

    span_ids: frozenset[str]
    capacity: int | None = None

    def __post_init__(self) -> None:
        """Refuse a capacity that would run nothing."""
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"capacity: {self.capacity} runs nothing; give 1 or more, or None for all at once")


Change: TypeAlias = Scale | Remove | Replace | Shorten | Move | Parallelise
