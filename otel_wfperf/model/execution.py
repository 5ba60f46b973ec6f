"""One run of a workflow: a single tree of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar, TypeVarTuple, cast

from otel_wfperf.model.operation import Operation, OperationKind

_Computed = TypeVar("_Computed")
_Arguments = TypeVarTuple("_Arguments")


class ExecutionStatus(StrEnum):
    """How the run ended. ``INCOMPLETE``: the root is missing or never ended."""

    OK = "ok"
    ERROR = "error"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """Something the assembler changed, so that a reader can judge the result.

    Attributes:
        adjuster: Name of the adjuster, such as ``clock_skew``.
        span_ids: The operations concerned.
        detail: One sentence.
    """

    adjuster: str
    span_ids: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """All operations of one run, as a tree with exactly one root.

    Attributes:
        trace_id: The trace it came in (32 hex digits).
        workflow: Name of the workflow.
        root_id: Span id of the root; every other operation has a parent within ``operations``.
        operations: Sorted by (start, longest first, span id); each span id once.
        status: Outcome of the run.
        completeness: Share of the spans known to exist that are here (0..1).
        adjustments: What assembly changed.
        version: Grows when late spans re-open the execution; starts at 1.
        trace_ids: All traces that it came in, ``trace_id`` first; more than one where the emitter splits a run.
        cut_short: What ended the run before its time, and in what, such as ``killed by signal 15 in phase draft``;
            None = nothing that is known of.
    """

    trace_id: str
    workflow: str
    root_id: str
    operations: tuple[Operation, ...]
    status: ExecutionStatus = ExecutionStatus.OK
    completeness: float = 1.0
    adjustments: tuple[Adjustment, ...] = ()
    version: int = 1
    trace_ids: tuple[str, ...] = ()
    cut_short: str | None = None
    by_id: Mapping[str, Operation] = field(init=False, repr=False, compare=False)
    children_by_id: Mapping[str, tuple[Operation, ...]] = field(init=False, repr=False, compare=False)
    _computed: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the tree once; raise ValueError when the root is not among the operations."""
        if not self.trace_ids:
            object.__setattr__(self, "trace_ids", (self.trace_id,))
        by_id = {operation.span_id: operation for operation in self.operations}
        if self.root_id not in by_id:
            raise ValueError(f"root {self.root_id!r} is not among the {len(by_id)} operations of trace {self.trace_id}")
        children: dict[str, list[Operation]] = {}
        for operation in self.operations:
            if operation.parent_id is not None and operation.span_id != self.root_id:
                children.setdefault(operation.parent_id, []).append(operation)
        object.__setattr__(self, "by_id", by_id)
        object.__setattr__(self, "children_by_id", {parent: tuple(found) for parent, found in children.items()})

    @property
    def root(self) -> Operation:
        """The operation that spans the run."""
        return self.by_id[self.root_id]

    @property
    def start_ns(self) -> int:
        """Start of the root (nanoseconds since the Unix epoch)."""
        return self.root.start_ns

    @property
    def duration_ns(self) -> int:
        """Length of the root (nanoseconds)."""
        return self.root.duration_ns

    @property
    def dialects(self) -> tuple[str, ...]:
        """Names of the dialects spoken, sorted."""
        return tuple(sorted({operation.dialect for operation in self.operations if operation.dialect}))

    def children(self, span_id: str) -> tuple[Operation, ...]:
        """List the direct children, earliest first."""
        return self.children_by_id.get(span_id, ())

    def descendants(self, span_id: str) -> Iterator[Operation]:
        """Yield everything below a span, parents before children."""
        tree = self.once(_tree)
        first, end = tree.below.get(span_id, (0, 0))
        return iter(tree.operations[first:end])

    def ancestors(self, span_id: str) -> Iterator[Operation]:
        """Yield the parents of a span, nearest first."""
        operation = self.by_id[span_id]
        while operation.span_id != self.root_id and operation.parent_id is not None:
            operation = self.by_id[operation.parent_id]
            yield operation

    def of_kind(self, *kinds: OperationKind) -> tuple[Operation, ...]:
        """List the operations of some kinds, earliest first."""
        return self.once(_of_kinds, kinds)

    def once(self, compute: Callable[[Execution, *_Arguments], _Computed], *arguments: *_Arguments) -> _Computed:
        """Return what a function makes of this run and its arguments, and compute it at the first call only.

        A run is compared with others again and again while it is kept. What is computed must not refer to the run
        itself: then it would be freed late.
        """
        key = (compute, arguments)
        if key not in self._computed:
            self._computed[key] = compute(self, *arguments)
        return cast("_Computed", self._computed[key])


@dataclass(frozen=True, slots=True)
class _Tree:
    """All operations, parents before children, and where in this order those below each one are (first, end)."""

    operations: tuple[Operation, ...]
    below: Mapping[str, tuple[int, int]]


def _tree(execution: Execution) -> _Tree:
    """Walk down from the root; iterative, so that depth does not matter."""
    ordered: list[Operation] = []
    stack = [execution.root]
    while stack:
        operation = stack.pop()
        ordered.append(operation)
        stack.extend(reversed(execution.children(operation.span_id)))
    # What is below an operation follows it, up to where what is below its last child ends.
    below: dict[str, tuple[int, int]] = {}
    for at in range(len(ordered) - 1, -1, -1):
        span_id = ordered[at].span_id
        children = execution.children(span_id)
        below[span_id] = (at + 1, below[children[-1].span_id][1] if children else at + 1)
    return _Tree(tuple(ordered), below)


def _of_kinds(execution: Execution, kinds: tuple[OperationKind, ...]) -> tuple[Operation, ...]:
    return tuple(operation for operation in execution.operations if operation.kind in kinds)
