"""When each step of a definition runs, given how long each takes.

Phases run in the order written; the next one starts when everything in the one before is done. Branches start
together, unless they wait for one another; the steps of a branch follow one another. With a capacity, whoever is ready
first starts first.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from otel_wfperf.definitions.cycles import cycles
from otel_wfperf.definitions.definition import Definition, Step
from otel_wfperf.definitions.places import Dependencies, Place
from otel_wfperf.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One step, and the steps that have to be done before it, by their positions."""

    place: Place
    step: Step
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Start and end of each task (seconds), and which one's end let it start (None = nothing had to end)."""

    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]
    started_by: tuple[int | None, ...]

    @property
    def duration_s(self) -> float:
        """Time until the last task has ended (seconds)."""
        return max(self.ends_s, default=0.0)

    def critical_path(self) -> tuple[int, ...]:
        """Return the tasks that the end had to wait for, the first one first."""
        path: list[int] = []
        task = max(range(len(self.ends_s)), key=self.ends_s.__getitem__, default=None)
        while task is not None:
            path.append(task)
            task = self.started_by[task]
        return tuple(reversed(path))


def tasks(definition: Definition, dependencies: Dependencies | None = None) -> tuple[Task, ...]:
    """List the steps in the order written, each with what it waits for."""
    dependencies = dependencies or Dependencies(definition)
    found: list[Task] = []
    done: tuple[int, ...] = ()
    for number, phase in enumerate(definition.phases):
        if phase.steps:
            done = (_append(found, Place(number), phase.steps, after=done),)
        if not phase.branches:
            continue
        lengths = [len(branch.steps) for branch in phase.branches]
        last = [len(found) + total - 1 for total in accumulate(lengths)]
        waits = {} if phase.sequential else dependencies.within(number)
        for position, branch in enumerate(phase.branches):
            awaited = [position - 1] if phase.sequential and position else sorted(waits.get(position, ()))
            after = tuple(last[each] for each in awaited) or done
            _append(found, Place(number, position), branch.steps, after=after)
        done = tuple(last)
    return tuple(found)


def can_run(dependencies: Dependencies) -> bool:
    """Tell whether every branch can start at some time."""
    phases = dependencies.definition.phases
    return not any(
        cycles({Place(number, one): [Place(number, each) for each in others] for one, others in waits.items()})
        for number, phase in enumerate(phases)
        if not phase.sequential and (waits := dependencies.within(number))
    )


def schedule(planned: Sequence[Task], durations_s: Sequence[float], *, max_parallel: int | None = None) -> Schedule:
    """Run the tasks; raise InputError when some wait for one another.

    Args:
        planned: What is to be done.
        durations_s: How long each takes (seconds).
        max_parallel: Most tasks that run at once; None = no limit.
    """
    missing = [len(task.after) for task in planned]
    following: dict[int, list[int]] = {}
    for number, task in enumerate(planned):
        for before in task.after:
            following.setdefault(before, []).append(number)
    starts_s, ends_s = [0.0] * len(planned), [0.0] * len(planned)
    started_by: list[int | None] = [None] * len(planned)
    ready = deque(number for number, count in enumerate(missing) if not count)
    running: list[tuple[float, int]] = []
    now_s, ended = 0.0, None
    while ready or running:
        while ready and (max_parallel is None or len(running) < max_parallel):
            next_one = ready.popleft()
            starts_s[next_one], started_by[next_one] = now_s, ended
            ends_s[next_one] = now_s + durations_s[next_one]
            heapq.heappush(running, (ends_s[next_one], next_one))
        now_s, ended = heapq.heappop(running)
        for waiting in following.get(ended, ()):
            missing[waiting] -= 1
            if not missing[waiting]:
                ready.append(waiting)
    if any(missing):
        raise InputError("branches wait for one another, so that none of them can start; wfperf lint names them")
    return Schedule(tuple(starts_s), tuple(ends_s), tuple(started_by))


def _append(found: list[Task], place: Place, steps: Sequence[Step], *, after: tuple[int, ...]) -> int:
    """Append the steps of one place as a sequence and return the position of the last."""
    for step in steps:
        found.append(Task(place=place, step=step, after=after))
        after = (len(found) - 1,)
    return len(found) - 1
