"""How long an agent takes: what is known before anything ran, or what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from otel_wfperf.definitions.definition import Step

LOW: Final = 0.05
HIGH: Final = 0.95


class ProfileSource(StrEnum):
    """Where a profile is from, the most trustworthy first."""

    DECLARED = "declared"
    LIVE = "live"
    PRIOR = "prior"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The distribution of the time that one call takes.

    Attributes:
        quantiles_s: Durations at evenly spaced ranks from 0 to 1 (seconds, ascending, at least one); between them the
            distribution is linear. Two make a uniform distribution.
        count: Calls it was measured from; 0 = not measured.
    """

    quantiles_s: tuple[float, ...]
    source: ProfileSource
    count: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no distribution."""
        if not self.quantiles_s or list(self.quantiles_s) != sorted(self.quantiles_s) or self.quantiles_s[0] < 0:
            raise ValueError(f"quantiles_s: {self.quantiles_s} is not an ascending list of seconds")

    def quantile_s(self, q: float) -> float:
        """Return the duration at rank ``q`` (0..1), in seconds."""
        position = q * (len(self.quantiles_s) - 1)
        below = int(position)
        above = min(below + 1, len(self.quantiles_s) - 1)
        return self.quantiles_s[below] + (position - below) * (self.quantiles_s[above] - self.quantiles_s[below])

    @property
    def median_s(self) -> float:
        """Half of the calls are shorter (seconds)."""
        return self.quantile_s(0.5)


def _prior(low_s: float, high_s: float) -> Profile:
    return Profile(quantiles_s=(low_s, high_s), source=ProfileSource.PRIOR)


# Source: the field guide that this product implements, agent priors (response time). Chosen: uniform between the two
# figures, because nothing more is known.
PRIORS: Final[Mapping[str, Profile]] = {
    "general-developer": _prior(15, 30),
    "frontend-developer": _prior(20, 45),
    "backend-developer": _prior(25, 50),
    "full-stack-developer": _prior(30, 60),
    "devops-engineer": _prior(25, 55),
    "integration-specialist": _prior(35, 70),
    "senior-architect": _prior(60, 120),
    "security-specialist": _prior(90, 180),
    "performance-engineer": _prior(45, 90),
}
# Chosen: an agent that nothing is known about is like the middle one of those above.
ASSUMED: Final = Profile(
    quantiles_s=(
        median(profile.quantiles_s[0] for profile in PRIORS.values()),
        median(profile.quantiles_s[1] for profile in PRIORS.values()),
    ),
    source=ProfileSource.ASSUMED,
)


def measured(durations_s: Sequence[float]) -> Profile:
    """Build a profile from measured durations (seconds); at least one."""
    return Profile(quantiles_s=tuple(sorted(durations_s)), source=ProfileSource.LIVE, count=len(durations_s))


def profile_of(step: Step, live: Mapping[str, Profile]) -> Profile:
    """Return how long a step takes: as it says itself, as measured, as known before, or as assumed."""
    if step.duration is not None:
        return Profile(quantiles_s=(step.duration.low_s, step.duration.high_s), source=ProfileSource.DECLARED)
    if step.agent is None:
        return ASSUMED
    return live.get(step.agent) or PRIORS.get(step.agent) or ASSUMED
