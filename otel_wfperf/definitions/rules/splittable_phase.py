"""Rule: a phase whose branches fall into groups that go on independently."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies, Place
from otel_wfperf.definitions.profiles import profile_of
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.definitions.schedule import can_run, schedule, tasks
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class SplittablePhase:
    """Report two phases in a row in which every branch of the second says which branches of the first it needs.

    When those fall into groups without a connection, each group can go on without waiting for the others.

    Attributes:
        min_gain_ratio: Smallest gain at the medians of the agent profiles, as a share of the whole run (0..1). Chosen:
            less is not worth the rewriting, and is within the error of the profiles.
    """

    name: ClassVar[str] = "splittable_phase"
    min_gain_ratio: float = 0.05

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        phases = dependencies.definition.phases
        if not can_run(dependencies):
            return
        for number in range(len(phases) - 1):
            groups = _groups(dependencies, number)
            if len(groups) < 2:
                continue
            gain_ratio = _gain_ratio(dependencies, number, groups)
            if gain_ratio < self.min_gain_ratio:
                continue
            written = "; ".join(
                f"{_listed(dependencies, first)} then {_listed(dependencies, second)}" for first, second in groups
            )
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=phases[number + 1].line,
                severity=Severity.LOW,
                message=f"{phases[number].name} and {phases[number + 1].name} are independent groups ({written}) "
                f"that wait for one another, about {gain_ratio:.0%} of the run",
                recommendation="Split them: let each group be one branch with its steps in a row.",
            )


Group = tuple[list[Place], list[Place]]


def _groups(dependencies: Dependencies, number: int) -> list[Group]:
    """Group the branches of a phase with those of the next that need them; empty when not all say what they need."""
    phase, following = dependencies.definition.phases[number : number + 2]
    alone = phase.sequential or following.sequential or phase.steps or following.steps or following.waits.after
    if alone or dependencies.within(number) or dependencies.within(number + 1):
        return []
    groups: list[tuple[set[Place], set[Place]]] = []
    for position in range(len(following.branches)):
        place = Place(number + 1, position)
        needed = {each.awaited for each in dependencies.declared if each.waiting == place}
        if not needed or any(target.phase != number or target.branch is None for target in needed):
            return []
        joined = [group for group in groups if group[0] & needed]
        groups = [group for group in groups if not group[0] & needed]
        groups.append((needed.union(*(group[0] for group in joined)), {place}.union(*(group[1] for group in joined))))
    return [(sorted(first), sorted(second)) for first, second in groups]


def _gain_ratio(dependencies: Dependencies, number: int, groups: list[Group]) -> float:
    """Compare the run as written with one in which the groups do not wait for one another (0..1)."""
    planned = tasks(dependencies.definition, dependencies)
    durations_s = [profile_of(task.step, {}).median_s for task in planned]
    whole_s = schedule(planned, durations_s).duration_s
    lengths_s: dict[Place, float] = {}
    for task, duration_s in zip(planned, durations_s, strict=True):
        lengths_s[task.place] = lengths_s.get(task.place, 0.0) + duration_s
    every = {number: 0.0, number + 1: 0.0}
    for place, length_s in lengths_s.items():
        if place.phase in every:
            every[place.phase] = max(every[place.phase], length_s)
    apart_s = [
        max(lengths_s[each] for each in first) + max(lengths_s[each] for each in second) for first, second in groups
    ]
    alone_s = [length_s for place, length_s in lengths_s.items() if place.phase == number]
    return (sum(every.values()) - max(*apart_s, *alone_s)) / whole_s if whole_s else 0.0


def _listed(dependencies: Dependencies, places: list[Place]) -> str:
    return " and ".join(dependencies.name(place) for place in places)
