"""How long a workflow will take: its schedule with every step at its median, and the spread of the whole.

The slowest of several branches decides, so a phase of equal branches takes longer than the median of each. The total is
therefore taken over many scenarios, and is more than the end of the schedule at medians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.profiles import HIGH, LOW, Profile, profile_of
from otel_wfperf.definitions.schedule import Schedule, Task, can_run, schedule, tasks
from otel_wfperf.errors import InputError

# Chosen: with 500 the median moves by less than 1 % against 10,000 for up to 30 steps.
SCENARIOS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A duration with its 90 % interval (seconds)."""

    median_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is predicted of a definition.

    Attributes:
        tasks: The steps.
        profiles: How long each of them takes.
        at_medians: When each runs, if all take their median.
        total: Length of a run.
        work_s: Sum of the medians: the length if nothing ran in parallel (seconds).
        max_parallel: Most steps at once; None = no limit.
    """

    definition: Definition
    tasks: tuple[Task, ...]
    profiles: tuple[Profile, ...]
    at_medians: Schedule
    total: Spread
    work_s: float
    max_parallel: int | None = None


def predict(
    definition: Definition, live: Mapping[str, Profile] | None = None, *, max_parallel: int | None = None
) -> Prediction:
    """Predict the schedule; raise InputError when branches wait for one another.

    Args:
        definition: What is to run.
        live: Measured profiles by agent; the priors stand in for others.
        max_parallel: Most steps that run at once; None = no limit.
    """
    dependencies = Dependencies(definition)
    if not can_run(dependencies):
        source = definition.source
        raise InputError(f"{source}: branches wait for one another, so none can start; run: wfperf lint {source}")
    planned = tasks(definition, dependencies)
    profiles = tuple(profile_of(task.step, live or {}) for task in planned)
    medians_s = [profile.median_s for profile in profiles]
    totals_s = sorted(
        schedule(planned, durations_s, max_parallel=max_parallel).duration_s for durations_s in _scenarios(profiles)
    )
    return Prediction(
        definition=definition,
        tasks=planned,
        profiles=profiles,
        at_medians=schedule(planned, medians_s, max_parallel=max_parallel),
        total=Spread(
            median_s=_quantile(totals_s, 0.5), low_s=_quantile(totals_s, LOW), high_s=_quantile(totals_s, HIGH)
        ),
        work_s=sum(medians_s),
        max_parallel=max_parallel,
    )


def spread(profile: Profile) -> Spread:
    """Return the median of a profile with its 90 % interval."""
    return Spread(median_s=profile.median_s, low_s=profile.quantile_s(LOW), high_s=profile.quantile_s(HIGH))


def _scenarios(profiles: tuple[Profile, ...]) -> list[list[float]]:
    """Draw durations for each scenario; the same ones for the same profiles.

    Every step takes each of its 500 quantiles once, in an order of its own, so that chance has little to say.

    Source: McKay, Beckman and Conover, "A Comparison of Three Methods", Technometrics 21 (1979): Latin hypercube.
    """
    random = Random(0)  # noqa: S311 - an order is no secret
    columns: list[list[float]] = []
    for profile in profiles:
        ranks = list(range(SCENARIOS))
        random.shuffle(ranks)
        columns.append([profile.quantile_s((rank + 0.5) / SCENARIOS) for rank in ranks])
    return [list(scenario) for scenario in zip(*columns, strict=True)]


def _quantile(ascending: list[float], q: float) -> float:
    position = q * (len(ascending) - 1)
    below = int(position)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (position - below) * (ascending[above] - ascending[below])
