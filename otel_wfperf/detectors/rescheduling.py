"""What a fan-out would look like if more of its branches could be busy at once."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from otel_wfperf.analysis.spells import Spell, difference, total_ns
from otel_wfperf.detectors.fan_out import Branch, FanOut
from otel_wfperf.model import Change, Move, Operation, Parallelise, Shorten

# Chosen: less of the waiting than this is what handing over takes.
_NOISE_RATIO: Final = 0.1
# Chosen: spans around a call start this much earlier than the call, if at all.
_CLOCK_NS: Final = 1_000_000


def with_capacity(fan_out: FanOut, *, now: int, then: int) -> tuple[Change, ...]:
    """Return the changes that let ``then`` branches be busy at once where ``now`` could.

    Branches queue in the order in which they asked. Where each of them waited once, a slot is theirs until they end;
    otherwise they queue for each spell of work anew, as calls of one client do.
    """
    waiting = fan_out.waiting(now)
    once = _wait_once(fan_out, waiting)
    moments = [_Moments.of(fan_out.branches[at], waiting[at], once=once) for at in range(len(fan_out.branches))]
    if then < len(fan_out.branches):
        _queue(moments, then)
    waited_ns = sum(total_ns(spells) for spells in waiting)
    outside_ns = sum(
        total_ns(difference(waiting[at], [(branch.member.start_ns, branch.end_ns)]))
        for at, branch in enumerate(fan_out.branches)
    )
    outside, inside = (part_ns > _NOISE_RATIO * waited_ns for part_ns in (outside_ns, waited_ns - outside_ns))
    return tuple(_changes(fan_out, moments, capacity=then, outside=outside, inside=inside))


@dataclass(slots=True)
class _Moments:
    """One branch on its way through the queue (nanoseconds).

    Attributes:
        waits: When it waited, as it was.
        starts_ns: When it took a slot, as it was.
        gaps_ns: Its own time before each of these, since it was scheduled or gave the last slot back.
        holds_ns: How long it held each slot.
        queued_ns: How long it waits for each slot now.
    """

    branch: Branch
    waits: tuple[Spell, ...]
    starts_ns: list[int]
    gaps_ns: list[int]
    holds_ns: list[int]
    queued_ns: list[int]
    _wait_starts_ns: list[int]
    _waited_ns: list[int]
    _queued_before_ns: list[int] | None = None

    @classmethod
    def of(cls, branch: Branch, waits: tuple[Spell, ...], *, once: bool) -> _Moments:
        """List the slots that a branch takes: one until its end, or one for each spell of work."""
        spells = [(branch.entry_ns, max(branch.end_ns, branch.entry_ns))] if once else list(branch.busy)
        gaps, holds = [], []
        reached_ns = branch.scheduled_ns
        for start_ns, end_ns in spells:
            gaps.append(total_ns(difference([(reached_ns, start_ns)], waits)))
            holds.append(total_ns(difference([(start_ns, end_ns)], waits)))
            reached_ns = end_ns
        starts = [start_ns for start_ns, _ in spells]
        waited = [0, *accumulate(end_ns - start_ns for start_ns, end_ns in waits)]
        return cls(branch, waits, starts, gaps, holds, [0] * len(spells), [start for start, _ in waits], waited)

    def moved_ns(self, moment_ns: int) -> int:
        """Return when what happened at a moment happens now."""
        at = bisect_right(self._wait_starts_ns, moment_ns)
        waited_ns = self._waited_ns[at]
        if at:
            waited_ns -= max(0, self.waits[at - 1][1] - moment_ns)
        if self._queued_before_ns is None:
            self._queued_before_ns = [0, *accumulate(self.queued_ns)]
        return moment_ns - waited_ns + self._queued_before_ns[bisect_right(self.starts_ns, moment_ns + _CLOCK_NS)]


def _wait_once(fan_out: FanOut, waiting: Sequence[Sequence[Spell]]) -> bool:
    """Tell whether branches waited before their first work only."""
    later_ns = sum(
        total_ns(difference(waiting[at], [(branch.scheduled_ns, branch.entry_ns)]))
        for at, branch in enumerate(fan_out.branches)
    )
    return later_ns <= _NOISE_RATIO * sum(total_ns(spells) for spells in waiting)


def _queue(moments: Sequence[_Moments], capacity: int) -> None:
    """Serve the branches in the order in which they ask for slots."""
    asking = [(each.branch.scheduled_ns + each.gaps_ns[0], at) for at, each in enumerate(moments) if each.starts_ns]
    # They were served in this order, so they asked in this order, although a long wait hides when.
    asked = accumulate((moment_ns for moment_ns, _ in asking), max)
    requests = [(moment_ns, at, 0) for moment_ns, (_, at) in zip(asked, asking, strict=True)]
    heapq.heapify(requests)
    busy_until_ns: list[int] = []
    while requests:
        asked_ns, at, turn = heapq.heappop(requests)
        free_ns = heapq.heappop(busy_until_ns) if len(busy_until_ns) >= capacity else asked_ns
        start_ns = max(asked_ns, free_ns)
        each = moments[at]
        each.queued_ns[turn] = start_ns - (asked_ns if turn else each.branch.scheduled_ns + each.gaps_ns[0])
        end_ns = start_ns + each.holds_ns[turn]
        heapq.heappush(busy_until_ns, end_ns)
        if turn + 1 < len(each.starts_ns):
            heapq.heappush(requests, (end_ns + each.gaps_ns[turn + 1], at, turn + 1))


def _changes(
    fan_out: FanOut, moments: Sequence[_Moments], *, capacity: int, outside: bool, inside: bool
) -> Iterator[Change]:
    """Say how the spans have to change; spans that waited before they began are run together by the replay itself."""
    members = frozenset(branch.member.span_id for branch in fan_out.branches)
    if outside and not inside:
        yield Parallelise(members, capacity if capacity < len(members) else None)
    elif outside:
        yield from _moves(moments)
    for each in moments:
        for wait in each.branch.waits:
            if wait.parent_id == fan_out.parent.span_id:
                yield from _shortened(each, wait, wait.start_ns)
        if inside:
            yield from _inside(fan_out, each)


def _moves(moments: Sequence[_Moments]) -> Iterator[Change]:
    """Start each member when it would, counted from the first one."""
    ordered = sorted(moments, key=lambda each: (each.branch.member.start_ns, -each.branch.end_ns))
    leader = ordered[0].branch.member
    leader_ns = ordered[0].moved_ns(leader.start_ns)
    for each in ordered[1:]:
        member = each.branch.member
        yield Move(member.span_id, each.moved_ns(member.start_ns) - leader_ns, after=leader.span_id)


def _inside(fan_out: FanOut, moments: _Moments) -> Iterator[Change]:
    """Move what is inside a branch, and shorten what waited."""
    stack = [moments.branch.member]
    while stack:
        operation = stack.pop()
        start_ns = moments.moved_ns(operation.start_ns)
        reached_ns = operation.start_ns
        for child in fan_out.children.get(operation.span_id, ()):
            offset_ns = moments.moved_ns(child.start_ns) - start_ns
            if offset_ns != child.start_ns - operation.start_ns:
                yield Move(child.span_id, offset_ns)
            if child.start_ns < operation.end_ns:
                reached_ns = max(reached_ns, min(child.end_ns, operation.end_ns))
            stack.append(child)
        yield from _shortened(moments, operation, reached_ns)


def _shortened(moments: _Moments, operation: Operation, since_ns: int) -> Iterator[Change]:
    """Shorten an operation by what it waits less after a moment; what it waits more makes it longer."""
    by_ns = operation.end_ns - since_ns - (moments.moved_ns(operation.end_ns) - moments.moved_ns(since_ns))
    if by_ns:
        yield Shorten(frozenset({operation.span_id}), by_ns)
