"""The working state of assembly: a trace whose operations may still change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.model import Adjustment, Operation, OperationKind, TokenUsage
from otel_wfperf.model.construction import changed

MAX_ADJUSTMENT_IDS: Final = 100


@dataclass(slots=True, eq=False)
class Node:
    """An operation with the values that adjusters may change.

    Attributes:
        own_times: False when start or end was not recorded, so that it follows from other spans.
    """

    operation: Operation
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0
    skew_ns: int = 0
    own_times: bool = True
    kind: OperationKind = OperationKind.OTHER
    agent: str | None = None
    phase: str | None = None
    tokens: TokenUsage | None = None
    turn: str | None = None
    attempt: int | None = None
    depends_on: tuple[str, ...] | None = None

    @classmethod
    def of(cls, operation: Operation) -> Node:
        """Start from what the span says."""
        return cls(
            operation=operation,
            start_ns=operation.start_ns,
            end_ns=operation.end_ns,
            own_times=operation.ended,
            kind=operation.kind,
            agent=operation.agent,
            tokens=operation.tokens,
            turn=operation.turn,
            attempt=operation.attempt,
            depends_on=operation.depends_on,
        )

    @property
    def span_id(self) -> str:
        """Identity of the span."""
        return self.operation.span_id

    @property
    def duration_ns(self) -> int:
        """Length (nanoseconds)."""
        return self.end_ns - self.start_ns

    def children_in_order(self) -> list[Node]:
        """List the children, earliest first."""
        if len(self.children) < 2:
            return self.children
        return sorted(self.children, key=lambda node: (node.start_ns, -node.end_ns, node.span_id))

    def adopt(self, child: Node) -> None:
        """Hang a node without a parent below this one."""
        child.parent = self
        self.children.append(child)

    def finished(self) -> Operation:
        """Return the operation with everything that was decided."""
        parent_id = None if self.parent is None else self.parent.span_id
        if self._is_as_written(parent_id):
            return self.operation
        return changed(
            self.operation,
            parent_id=parent_id,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            skew_ns=self.skew_ns,
            kind=self.kind,
            agent=self.agent,
            phase=self.phase,
            tokens=self.tokens,
            turn=self.turn,
            attempt=self.attempt,
            depends_on=self.depends_on,
        )

    def _is_as_written(self, parent_id: str | None) -> bool:
        written = self.operation
        return (
            parent_id == written.parent_id
            and self.start_ns == written.start_ns
            and self.end_ns == written.end_ns
            and self.skew_ns == written.skew_ns
            and self.kind is written.kind
            and self.agent == written.agent
            and self.phase == written.phase
            and self.tokens is written.tokens
            and self.turn == written.turn
            and self.attempt == written.attempt
            and self.depends_on == written.depends_on
        )


@dataclass(slots=True, eq=False)
class Trace:
    """All that is known of one run: one trace, or several that were stitched together.

    Attributes:
        host: The trace that has the run's root; None when all traces are fragments of it.
        is_stitched: True when there are several.
        nodes: What is left of the spans, in order of (start, longest first, id).
        root: Set once the parents are linked.
        completeness: Share of the spans known to exist that are here (0..1).
        root_is_missing: True when the span that should be the root is not here.
    """

    trace_id: str
    nodes: list[Node]
    host: str | None
    is_stitched: bool
    root: Node | None = None
    completeness: float = 1.0
    root_is_missing: bool = False
    adjustments: list[Adjustment] = field(default_factory=list)
    _order: list[Node] | None = None

    @classmethod
    def of(cls, trace_id: str, operations: Iterable[Operation], *, host: str | None, is_stitched: bool) -> Trace:
        """Sort the operations, so that the order in which they arrived makes no difference."""
        ordered = sorted(operations, key=lambda each: (each.start_ns, -each.end_ns, each.span_id))
        return cls(trace_id, [Node.of(each) for each in ordered], host, is_stitched)

    def note(self, adjuster: str, nodes: Iterable[Node], detail: str) -> None:
        """Record what an adjuster changed; long lists of spans are cut."""
        span_ids = tuple(node.span_id for _, node in zip(range(MAX_ADJUSTMENT_IDS), nodes, strict=False))
        self.adjustments.append(Adjustment(adjuster=adjuster, span_ids=span_ids, detail=detail))

    def top_down(self) -> Iterator[Node]:
        """Yield all linked nodes, parents before children; safe while children are taken away below a node."""
        self._order = None
        stack = [] if self.root is None else [self.root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def in_order(self) -> Sequence[Node]:
        """List all linked nodes, parents before children, to look at; the list is kept until :meth:`top_down`."""
        if self._order is None:
            order = list(self.top_down())
            self._order = order
        return self._order

    def bottom_up(self) -> Iterator[Node]:
        """Yield all linked nodes, children before parents, to look at."""
        return reversed(self.in_order())


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 span``, ``2 spans``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
