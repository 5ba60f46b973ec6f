"""What-if: replay an execution with something changed, and see how long it takes.

Each operation keeps its own gaps. A child starts when what it had waited for has ended, plus the gap that was
observed; a parent ends its observed gap after its last child. What is changed are the lengths of operations, or
the order inside a group that is run together. A replay without changes returns the observed times.

Assumptions, to be printed with each prediction: what ended before a sibling started was waited for (this is
inferred from time, not proven), gaps stay as they were, and so do the results.

Source: the retiming of CRISP (Zhang et al., USENIX ATC 2022); unlike it, a successor waits for *all* of its
predecessors, so that shortening one of two parallel branches gains only what the other leaves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from otel_wfperf.analysis.waiting import WaitedChild, overlap_tolerance_ns, waited_children
from otel_wfperf.model import Change, Execution, Move, Operation, Parallelise, Remove, Replace, Scale, Shorten


@dataclass(frozen=True, slots=True)
class Replay:
    """The execution as it would have been.

    Attributes:
        duration_ns: Predicted length of the root (nanoseconds).
        saving_ns: Observed minus predicted length (nanoseconds); negative when the change makes it slower.
        times: Predicted (start, end) of each operation below the root and of the root itself.
    """

    duration_ns: int
    saving_ns: int
    times: Mapping[str, tuple[int, int]]


def replay(execution: Execution, changes: Iterable[Change]) -> Replay:
    """Predict the times of an execution with all the changes made together.

    Changes of span ids that the execution does not have are ignored.
    """
    plan = _Plan.of(execution, changes)
    offsets: dict[str, int] = {}
    durations: dict[str, int] = {}
    factors = _factors(execution, plan)
    for operation in _children_first(execution):
        siblings = _Siblings(operation, factors.get(operation.span_id, 1.0), plan)
        for child in waited_children(execution, operation):
            span_id = child.operation.span_id
            offsets[span_id] = siblings.place(child, durations[span_id])
        durations[operation.span_id] = siblings.parent_duration_ns()
    times = _absolute_times(execution, offsets, durations)
    duration_ns = durations[execution.root_id]
    return Replay(duration_ns, execution.duration_ns - duration_ns, times)


def drag_ns(execution: Execution, span_id: str) -> int:
    """Return how much shorter the run would be if an operation took no time (nanoseconds).

    This, not the operation's length, is the most that can be won on it: a parallel branch may take over.

    Source: the drag metric of critical path analysis, as in CRISP slack_drag.py (from google/calligator).
    """
    return replay(execution, [Remove(frozenset({span_id}))]).saving_ns


@dataclass(slots=True)
class _Plan:
    """The changes, by operation."""

    factor: dict[str, float]
    shorten_ns: dict[str, int]
    move: dict[str, Move]
    group: dict[str, Parallelise]

    @classmethod
    def of(cls, execution: Execution, changes: Iterable[Change]) -> _Plan:
        plan = cls({}, {}, {}, {})
        for change in changes:
            if isinstance(change, Move):
                plan.move[change.span_id] = change
            elif isinstance(change, Parallelise):
                plan.group |= dict.fromkeys(change.span_ids, change)
            elif isinstance(change, Shorten):
                for span_id in change.span_ids:
                    plan.shorten_ns[span_id] = plan.shorten_ns.get(span_id, 0) + change.by_ns
            else:
                for span_id in change.span_ids & execution.by_id.keys():
                    factor = factor_of(change, execution.by_id[span_id])
                    plan.factor[span_id] = plan.factor.get(span_id, 1.0) * factor
        return plan


def factor_of(change: Scale | Remove | Replace, operation: Operation) -> float:
    """Return what the length of an operation is multiplied with."""
    if isinstance(change, Scale):
        return change.factor
    if isinstance(change, Remove) or operation.duration_ns == 0:
        return 0.0
    return change.duration_ns / operation.duration_ns


def _factors(execution: Execution, plan: _Plan) -> Mapping[str, float]:
    """Hand each operation the product of the factors on the way down to it."""
    if not plan.factor:
        return {}
    factors = {execution.root_id: plan.factor.get(execution.root_id, 1.0)}
    for operation in execution.descendants(execution.root_id):
        assert operation.parent_id is not None  # noqa: S101  # only the root has none
        factors[operation.span_id] = factors[operation.parent_id] * plan.factor.get(operation.span_id, 1.0)
    return factors


def _children_first(execution: Execution) -> Sequence[Operation]:
    """List the tree so that children come before their parent."""
    return [execution.root, *execution.descendants(execution.root_id)][::-1]


@dataclass(slots=True)
class _Slots:
    """A group that is run together: when it starts, and when each busy slot frees (offsets in the parent)."""

    start_ns: int
    busy_until_ns: list[int] = field(default_factory=list)

    def next_start_ns(self, capacity: int | None) -> int:
        """Take a slot; the earliest to free when all are busy."""
        if capacity is None or len(self.busy_until_ns) < capacity:
            return self.start_ns
        return max(self.start_ns, heapq.heappop(self.busy_until_ns))


@dataclass(slots=True)
class _Siblings:
    """The children of one parent while they are placed, in order of start; times are offsets in the parent.

    ``running`` holds those that no later sibling has waited for yet, as (end then, span id, end now);
    ``ready`` is the latest end, then and now, of those that were waited for.
    """

    parent: Operation
    factor: float
    plan: _Plan
    running: list[tuple[int, str, int]] = field(default_factory=list)
    ready: tuple[int, int] | None = None
    slots: dict[int, _Slots] = field(default_factory=dict)
    starts_ns: dict[str, int] = field(default_factory=dict)

    def place(self, child: WaitedChild, duration_ns: int) -> int:
        """Return the new offset of the next child, whose new length is known."""
        self._collect(child.start_ns - self.parent.start_ns + overlap_tolerance_ns(self.parent))
        group = self.plan.group.get(child.operation.span_id)
        start_ns = self._start_ns(child, group)
        self.starts_ns[child.operation.span_id] = start_ns
        overflow_ns = child.operation.end_ns - child.end_ns
        end_ns = start_ns + max(0, duration_ns - overflow_ns)
        if group is not None:
            heapq.heappush(self.slots[id(group)].busy_until_ns, end_ns)
        heapq.heappush(self.running, (child.end_ns - self.parent.start_ns, child.operation.span_id, end_ns))
        return start_ns

    def parent_duration_ns(self) -> int:
        """Return the parent's new length, once all children are placed."""
        shorten_ns = self.plan.shorten_ns.get(self.parent.span_id, 0)
        self._collect(self.parent.duration_ns)
        if self.ready is None:
            return max(0, self._scaled(self.parent.duration_ns) - shorten_ns)
        then_ns, now_ns = self.ready
        return max(0, now_ns, now_ns + self._scaled(self.parent.duration_ns - then_ns) - shorten_ns)

    def _start_ns(self, child: WaitedChild, group: Parallelise | None) -> int:
        move = self.plan.move.get(child.operation.span_id)
        if move is not None and (move.after is None or move.after in self.starts_ns):
            return move.offset_ns + self.starts_ns.get(move.after or "", 0)
        if group is not None and id(group) in self.slots:
            return self.slots[id(group)].next_start_ns(group.capacity)
        then_ns, now_ns = self.ready or (0, 0)
        start_ns = now_ns + self._scaled(child.operation.start_ns - self.parent.start_ns - then_ns)
        if group is not None:
            self.slots[id(group)] = _Slots(start_ns)
        return start_ns

    def _collect(self, moment_ns: int) -> None:
        """Count those that had ended by a moment as waited for by all that comes after it."""
        while self.running and self.running[0][0] <= moment_ns:
            then_ns, _, now_ns = heapq.heappop(self.running)
            ready = self.ready or (then_ns, now_ns)
            self.ready = (max(ready[0], then_ns), max(ready[1], now_ns))

    def _scaled(self, gap_ns: int) -> int:
        return gap_ns if self.factor == 1.0 else round(gap_ns * self.factor)


def _absolute_times(
    execution: Execution, offsets: Mapping[str, int], durations: Mapping[str, int]
) -> Mapping[str, tuple[int, int]]:
    """Turn offsets into times; what nobody waits for keeps its distance from its parent."""
    root = execution.root
    times = {root.span_id: (root.start_ns, root.start_ns + durations[root.span_id])}
    for operation in execution.descendants(root.span_id):
        parent = execution.by_id[operation.parent_id or root.span_id]
        offset_ns = offsets.get(operation.span_id, operation.start_ns - parent.start_ns)
        start_ns = times[parent.span_id][0] + offset_ns
        times[operation.span_id] = (start_ns, start_ns + durations[operation.span_id])
    return times
