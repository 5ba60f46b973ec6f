"""The critical path: which operation the workflow was waiting for at each moment.

::

    root   ├───────────────────────────────┤
    a        ├────────┤
    b           ├─────────┤
    c                        ├───────┤
    path   r a b          b r c       c r      read backwards: the last child to end is what was waited for

Walking back from the end of a span, the child that ended last owns the time back to its own start; then the
child that ended last before that; what is left belongs to the span itself.

Source: Jaeger UI (CriticalPath), with back-to-back siblings kept, and the overlap tolerance of CRISP
(Zhang et al., USENIX ATC 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_wfperf.analysis.waiting import WaitedChild, overlap_tolerance_ns, waited_children
from otel_wfperf.model import Execution, Operation


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the path that one operation owns.

    Attributes:
        start_ns: Start (nanoseconds since the Unix epoch).
        end_ns: End (nanoseconds since the Unix epoch); later than the start.
    """

    span_id: str
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """Length (nanoseconds)."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The path of one execution.

    Attributes:
        sections: In order of time; they never overlap and cover the root exactly.
        visited: Span ids in the order of the walk, last first; a parent is visited even when children own all of it.
        span_ids: The same as a set.
    """

    sections: tuple[Section, ...]
    visited: tuple[str, ...]
    span_ids: frozenset[str] = field(init=False, repr=False, compare=False)
    _exclusive_ns: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sum the sections of each operation once."""
        object.__setattr__(self, "span_ids", frozenset(self.visited))
        totals: dict[str, int] = {}
        for section in self.sections:
            totals[section.span_id] = totals.get(section.span_id, 0) + section.duration_ns
        object.__setattr__(self, "_exclusive_ns", totals)

    def exclusive_ns(self, span_id: str) -> int:
        """Return how much of the path an operation itself owns (nanoseconds)."""
        return self._exclusive_ns.get(span_id, 0)


@dataclass(slots=True)
class _Visit:
    """One operation in the middle of the walk."""

    operation: Operation
    floor_ns: int
    cursor_ns: int
    tolerance_ns: int
    candidates: list[WaitedChild]

    @classmethod
    def of(cls, execution: Execution, operation: Operation, floor_ns: int, cursor_ns: int) -> _Visit:
        candidates = list(waited_children(execution, operation))
        candidates.sort(key=lambda child: (child.end_ns, child.start_ns, child.operation.span_id))
        return cls(operation, floor_ns, cursor_ns, overlap_tolerance_ns(operation), candidates)

    def next_child(self) -> WaitedChild | None:
        """Take the child that ended last before the cursor."""
        while self.candidates and self.cursor_ns > self.floor_ns:
            child = self.candidates.pop()
            ends_before = child.end_ns <= self.cursor_ns + self.tolerance_ns and child.start_ns < self.cursor_ns
            if ends_before and child.end_ns >= self.floor_ns:
                return child
        return None


def critical_path(execution: Execution) -> CriticalPath:
    """Find the critical path of an execution.

    Iterative, so that the depth of the tree does not matter; time is O(n log n) in the number of operations.
    """
    root = execution.root
    backwards: list[Section] = []
    visited = [root.span_id]
    stack = [_Visit.of(execution, root, root.start_ns, max(root.start_ns, root.end_ns))]
    while stack:
        visit = stack[-1]
        child = visit.next_child()
        if child is None:
            _append(backwards, visit.operation.span_id, visit.floor_ns, visit.cursor_ns)
            stack.pop()
            continue
        end_ns = min(child.end_ns, visit.cursor_ns)
        start_ns = max(child.start_ns, visit.floor_ns)
        _append(backwards, visit.operation.span_id, end_ns, visit.cursor_ns)
        visit.cursor_ns = start_ns
        visited.append(child.operation.span_id)
        stack.append(_Visit.of(execution, child.operation, start_ns, end_ns))
    return CriticalPath(tuple(reversed(backwards)), tuple(visited))


def _append(backwards: list[Section], span_id: str, start_ns: int, end_ns: int) -> None:
    """Add a section in front of the others; one that continues its successor is joined to it."""
    if start_ns >= end_ns:
        return
    if backwards and backwards[-1].span_id == span_id and backwards[-1].start_ns == end_ns:
        end_ns = backwards.pop().end_ns
    backwards.append(Section(span_id, start_ns, end_ns))
