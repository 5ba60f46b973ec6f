"""Branches that were scheduled together, and when each of them was busy.

A branch is a step of one parent: a phase, an agent, or a call. It is busy while one of its leaves runs, or while its
own code holds the event loop; waits are never busy time, and neither is time in which another branch held the loop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final

from otel_wfperf.analysis.spells import Spell, difference, intersection, joined, levels, total_ns
from otel_wfperf.detectors.place import subject_of
from otel_wfperf.model import Confidence, Operation, Subject

# Chosen: what handing a slot over takes on a busy machine, and the clocks of several processes; detectors.md.
TOLERANCE_NS: Final = 20_000_000
TOLERANCE_RATIO: Final = 0.02
_MAX_NAMES: Final = 5


class Scheduling(Enum):
    """How it is known that branches were scheduled together; ``NAMES``: calls of one name, some of which overlap."""

    GROUP = "declared group"
    GRAPH = "declared graph"
    TURN = "same model turn"
    OVERLAP = "overlap"
    NAMES = "same name"

    @property
    def is_group(self) -> bool:
        """Whether the emitter says that they were to run at once, not merely that they could."""
        return self is Scheduling.GROUP

    @property
    def is_declared(self) -> bool:
        """Whether the telemetry itself says so."""
        return self in (Scheduling.GROUP, Scheduling.GRAPH, Scheduling.TURN)


@dataclass(frozen=True)
class Branch:
    """One of the steps that were scheduled together.

    Attributes:
        step: What the user knows: a phase, an agent or a call.
        member: The span that is a sibling of those of other branches: the step, or a span around it.
        scheduled_ns: When it could have started (nanoseconds since the Unix epoch).
        busy: When its leaves ran, or its own code held the event loop; in order, without overlaps.
        leaves: Its leaves, in no order.
        waits: Recorded waits for what others use, within the branch and right before it.
        pool_waits: When its calls waited for a free connection.
        human_ns: How long it waited for people (nanoseconds).
        held: When its own code held the event loop.
        held_up: When the code of other branches of its process did.
        blocked_ns: How long its own code held the event loop, where it cannot be told when too (nanoseconds).
        blocked_cpu_ns: CPU time of the operations that did (nanoseconds).
    """

    step: Operation
    member: Operation
    scheduled_ns: int
    busy: tuple[Spell, ...]
    leaves: tuple[Operation, ...]
    waits: tuple[Operation, ...] = ()
    pool_waits: tuple[Spell, ...] = ()
    human_ns: int = 0
    held: tuple[Spell, ...] = ()
    held_up: tuple[Spell, ...] = ()
    blocked_ns: int = 0
    blocked_cpu_ns: int = 0

    @property
    def name(self) -> str:
        """Name of the step."""
        return self.step.name

    @cached_property
    def busy_ns(self) -> int:
        """Time in which it was busy (nanoseconds)."""
        return total_ns(self.busy)

    @property
    def entry_ns(self) -> int:
        """When it first was busy (nanoseconds since the Unix epoch)."""
        return self.busy[0][0] if self.busy else self.member.start_ns

    @property
    def end_ns(self) -> int:
        """When it ended (nanoseconds since the Unix epoch)."""
        return self.member.end_ns


@dataclass(frozen=True)
class FanOut:
    """Branches of one parent that were scheduled together.

    Attributes:
        trace_id: The run that they are part of.
        children: What is directly below each operation of the run, by span id.
        branches: In the order in which they first were busy; at least two.
        overlaps: Whether all were under way, or waiting to be, before the first of them ended.
    """

    trace_id: str
    children: Mapping[str, tuple[Operation, ...]] = field(repr=False, compare=False)
    parent: Operation
    scheduling: Scheduling
    branches: tuple[Branch, ...]
    overlaps: bool
    _waiting: dict[int, Sequence[tuple[Spell, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def start_ns(self) -> int:
        """When the first branch could start (nanoseconds since the Unix epoch)."""
        return min(branch.scheduled_ns for branch in self.branches)

    @cached_property
    def end_ns(self) -> int:
        """When the last branch ended (nanoseconds since the Unix epoch)."""
        return max(branch.end_ns for branch in self.branches)

    @property
    def window_ns(self) -> int:
        """From the start to the end (nanoseconds)."""
        return self.end_ns - self.start_ns

    @property
    def tolerance_ns(self) -> int:
        """What two moments may differ and still be one (nanoseconds)."""
        return max(TOLERANCE_NS, int(TOLERANCE_RATIO * self.window_ns))

    @cached_property
    def levels(self) -> tuple[tuple[int, int, int], ...]:
        """How many branches were busy when, as (count, start, end)."""
        return tuple(levels(branch.busy for branch in self.branches))

    @cached_property
    def covered_ns(self) -> int:
        """Time in which any branch was busy (nanoseconds)."""
        return sum(end_ns - start_ns for _, start_ns, end_ns in self.levels)

    @cached_property
    def parallelism(self) -> float:
        """Busy time of all branches over the time in which any was busy; 1 = one at a time."""
        return sum(branch.busy_ns for branch in self.branches) / max(1, self.covered_ns)

    @cached_property
    def peak(self) -> int:
        """How many branches were busy at once at most, overlaps as short as the tolerance left out."""
        time_ns: dict[int, int] = {}
        for level, start_ns, end_ns in self.levels:
            time_ns[level] = time_ns.get(level, 0) + end_ns - start_ns
        reached_ns = 0
        for level in sorted(time_ns, reverse=True):
            reached_ns += time_ns[level]
            if reached_ns > self.tolerance_ns:
                return level
        return 1

    @property
    def longest_ns(self) -> int:
        """Busy time of the branch that was busy longest (nanoseconds)."""
        return max(branch.busy_ns for branch in self.branches)

    @property
    def is_mere_pair(self) -> bool:
        """Whether it is two branches that merely overlap."""
        return len(self.branches) == 2 and self.scheduling is Scheduling.OVERLAP

    @cached_property
    def subject(self) -> Subject:
        """The group as the subject of a finding."""
        return Subject(kind=subject_of(self.branches[0].step).kind, name=_title(self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the branches, sorted: their order differs from run to run."""
        return tuple(sorted({branch.name for branch in self.branches}))

    @property
    def waits(self) -> tuple[Operation, ...]:
        """The recorded waits of all branches."""
        return tuple(wait for branch in self.branches for wait in branch.waits)

    def full(self, capacity: int) -> tuple[Spell, ...]:
        """Return when as many branches were busy as a capacity allows, handing over included."""
        busy = [(start_ns, end_ns) for level, start_ns, end_ns in self.levels if level >= capacity]
        return joined(busy, over_ns=TOLERANCE_NS)

    def waiting(self, capacity: int) -> Sequence[tuple[Spell, ...]]:
        """Return when each branch was kept from its work by the others.

        That is when it was not busy although it could have been, while as many others as the capacity allows were;
        recorded waits count whatever the others did. Where one branch at a time can work, the event loop also keeps
        a branch from ending, when others hold it.
        """
        found = self._waiting.get(capacity)
        if found is None:
            full = self.full(capacity)
            found = self._waiting[capacity] = [
                _kept_waiting(branch, full, and_ending=capacity == 1) for branch in self.branches
            ]
        return found

    def confidence(self, *, is_usual: bool) -> Confidence:
        """Tell how well it is known that the branches could run at once; ``is_usual``: seen in several runs."""
        if self.scheduling.is_declared:
            return Confidence.PROVEN
        return Confidence.OBSERVED if is_usual and self.scheduling is Scheduling.OVERLAP else Confidence.ASSUMED


def least_confidence(cases: Sequence[FanOut], *, is_usual: bool) -> Confidence:
    """Return the confidence of the fan-out of which least is known."""
    return max((case.confidence(is_usual=is_usual) for case in cases), key=tuple(Confidence).index)


def _title(names: Sequence[str]) -> str:
    """Write the names of branches as one, short enough for a line."""
    if len(names) <= _MAX_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MAX_NAMES - 1])} and {len(names) - _MAX_NAMES + 1} others"


def _kept_waiting(branch: Branch, full: Sequence[Spell], *, and_ending: bool) -> tuple[Spell, ...]:
    if not branch.busy:
        return ()
    kept_from_ending = _kept_from_ending(branch) if and_ending and branch.held_up else ()
    idle = difference([(branch.scheduled_ns, branch.busy[-1][1])], branch.busy)
    if not idle:
        return joined([*branch.pool_waits, *kept_from_ending])
    first = bisect_right(full, idle[0][0], key=_end_ns)
    last = bisect_left(full, idle[-1][1], lo=first, key=_start_ns)
    recorded = [(max(wait.start_ns, branch.scheduled_ns), wait.end_ns) for wait in branch.waits]
    spells = [*intersection(idle, full[first:last]), *recorded, *branch.pool_waits, *kept_from_ending]
    return difference(spells, branch.busy)


def _kept_from_ending(branch: Branch) -> tuple[Spell, ...]:
    """Return when others held the event loop after the last work of a branch, handing over included."""
    return intersection([(branch.busy[-1][1], branch.end_ns)], joined(branch.held_up, over_ns=TOLERANCE_NS))


def _start_ns(spell: Spell) -> int:
    return spell[0]


def _end_ns(spell: Spell) -> int:
    return spell[1]
