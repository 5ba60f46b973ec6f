"""The rows of a waterfall: few enough to read, chosen by what the run waited for.

::

    research          workflow  ├───────────────────────────┤   a row is one operation, or sequential calls
      analyst         phase            ├──────────┤             of one target below one parent
        load, 3 calls tool             ├─┤ ├─┤ ├─┤

Rows that were left out hang their children on the nearest row above that was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from otel_wfperf.analysis.critical_path import CriticalPath, critical_path
from otel_wfperf.model import Execution, Operation, OperationKind

_STRUCTURE = frozenset({OperationKind.WORKFLOW, OperationKind.PHASE, OperationKind.AGENT})

# Chosen: a parallel operation is worth a row when it runs ten times longer than what it competes with on the path;
# a span that is not about agents when it takes twice as long as one that is.
_OFF_PATH_WEIGHT = 0.1
_OTHER_WEIGHT = 0.5
# Chosen: a bar shorter than this share of the run would be one cell of a terminal.
_MIN_SHARE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the waterfall.

    Attributes:
        operations: One, or calls of one target that follow each other, earliest first.
        depth: Rows above it that enclose it (count).
        on_path: When the critical path ran through it or below it (nanoseconds since the Unix epoch).
    """

    operations: tuple[Operation, ...]
    depth: int
    on_path: tuple[tuple[int, int], ...] = ()

    @property
    def kind(self) -> OperationKind:
        """Kind of all its operations."""
        return self.operations[0].kind

    @property
    def name(self) -> str:
        """Subject of all its operations."""
        return _subject(self.operations[0])

    @property
    def calls(self) -> int:
        """How many operations it stands for."""
        return len(self.operations)

    @property
    def duration_ns(self) -> int:
        """Length of its operations together (nanoseconds)."""
        return sum(operation.duration_ns for operation in self.operations)

    @property
    def path_ns(self) -> int:
        """How much of the critical path ran through it (nanoseconds)."""
        return sum(end_ns - start_ns for start_ns, end_ns in self.on_path)

    @property
    def failed(self) -> bool:
        """Whether one of its operations failed."""
        return any(operation.error is not None for operation in self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The rows of one run.

    Attributes:
        hidden: Operations without a row (count).
    """

    execution: Execution
    path: CriticalPath
    rows: tuple[Row, ...]
    hidden: int


@dataclass(eq=False, slots=True)
class _Group:
    """Operations that would share a row."""

    operations: tuple[Operation, ...]
    weight: float = 0.0
    children: list[_Group] = field(default_factory=list)

    @property
    def duration_ns(self) -> int:
        return sum(operation.duration_ns for operation in self.operations)

    @property
    def failed(self) -> bool:
        return any(operation.error is not None for operation in self.operations)


def waterfall(execution: Execution, *, max_rows: int) -> Waterfall:
    """Choose the rows of one run: the root, then what the critical path spends most time in."""
    path = critical_path(execution)
    groups = _groups(execution, _path_below_ns(execution, path), path)
    root, others = groups[0], groups[1:]
    floor = _MIN_SHARE * execution.duration_ns
    visible = [group for group in others if group.duration_ns >= floor or group.failed]
    visible.sort(key=lambda group: -group.weight)
    kept = [root, *visible[: max_rows - 1]]
    rows = tuple(_rows(path, root, frozenset(map(id, kept))))
    return Waterfall(
        execution=execution, path=path, rows=rows, hidden=len(execution.operations) - sum(row.calls for row in rows)
    )


def _path_below_ns(execution: Execution, path: CriticalPath) -> Mapping[str, int]:
    """Sum the critical path of each operation and everything below it (nanoseconds)."""
    order = [execution.root, *execution.descendants(execution.root_id)]
    below = {operation.span_id: path.exclusive_ns(operation.span_id) for operation in order}
    for operation in reversed(order):
        if operation.parent_id is not None and operation.span_id != execution.root_id:
            below[operation.parent_id] += below[operation.span_id]
    return below


def _groups(execution: Execution, below_ns: Mapping[str, int], path: CriticalPath) -> list[_Group]:
    """List all candidate rows, the root's first, as a tree with weights."""

    def weigh(operations: tuple[Operation, ...]) -> _Group:
        kind = operations[0].kind
        on_path = (
            below_ns[each.span_id] if kind in _STRUCTURE else path.exclusive_ns(each.span_id) for each in operations
        )
        group = _Group(operations)
        group.weight = sum(on_path) + _OFF_PATH_WEIGHT * group.duration_ns
        if kind is OperationKind.OTHER:
            group.weight *= _OTHER_WEIGHT
        return group

    root = weigh((execution.root,))
    found, stack = [root], [root]
    while stack:
        group = stack.pop()
        children = (child for each in group.operations for child in execution.children(each.span_id))
        group.children = [weigh(operations) for operations in _runs_of_calls(execution, children)]
        found += group.children
        stack += group.children
    return found


def _runs_of_calls(execution: Execution, siblings: Iterable[Operation]) -> list[tuple[Operation, ...]]:
    """Put leaf calls of one target together unless they overlap; everything else stays alone."""
    targets: dict[object, list[Operation]] = {}
    for sibling in siblings:
        shared = not execution.children(sibling.span_id) and sibling.kind not in _STRUCTURE
        targets.setdefault((sibling.kind, _subject(sibling)) if shared else sibling.span_id, []).append(sibling)
    runs: list[tuple[Operation, ...]] = []
    for calls in targets.values():
        sequential = all(before.end_ns <= after.start_ns for before, after in pairwise(calls))
        runs += [tuple(calls)] if sequential else [(call,) for call in calls]
    return sorted(runs, key=lambda calls: calls[0].start_ns)


def _rows(path: CriticalPath, root: _Group, kept: frozenset[int]) -> Iterator[Row]:
    """Walk the tree in order, and give each operation to the rows that enclose it."""
    enclosing: dict[str, tuple[int, ...]] = {}
    shown: list[tuple[_Group, int]] = []
    stack: list[tuple[_Group, tuple[int, ...]]] = [(root, ())]
    while stack:
        group, around = stack.pop()
        if id(group) in kept:
            shown.append((group, len(around)))
            around = (*around, len(shown) - 1)
        enclosing |= dict.fromkeys((operation.span_id for operation in group.operations), around)
        stack += [(child, around) for child in reversed(group.children)]
    on_path: list[list[tuple[int, int]]] = [[] for _ in shown]
    for section in path.sections:
        for number in enclosing[section.span_id]:
            _append(on_path[number], section.start_ns, section.end_ns)
    for (group, depth), intervals in zip(shown, on_path, strict=True):
        yield Row(operations=group.operations, depth=depth, on_path=tuple(intervals))


def _append(intervals: list[tuple[int, int]], start_ns: int, end_ns: int) -> None:
    """Add an interval; one that continues the last is joined to it."""
    if intervals and intervals[-1][1] == start_ns:
        start_ns = intervals.pop()[0]
    intervals.append((start_ns, end_ns))


def _subject(operation: Operation) -> str:
    return operation.name or operation.span_name
