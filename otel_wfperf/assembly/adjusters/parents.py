"""Adjuster: one tree out of whatever parents the spans name."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import ClassVar

from otel_wfperf.assembly.adjusters.fragments import places
from otel_wfperf.assembly.trace import Node, Trace, counted
from otel_wfperf.model import Operation, OperationKind, SpanKind
from otel_wfperf.model.construction import changed

_WORKFLOW_LIKE = (OperationKind.WORKFLOW, OperationKind.AGENT, OperationKind.PHASE)
_CALLED_FROM_AFAR = (SpanKind.SERVER, SpanKind.CONSUMER)


class Parents:
    """Link every span to a parent, with exactly one root.

    * A span without a parent is a root; so is one whose parent lives in another process and was never seen.
    * Cycles are cut at their earliest span.
    * Spans that name the same missing parent get it back as a synthetic span that covers them; a single orphan
      hangs on the root itself.
    * Several roots, or none, get a synthetic root that covers all; so do traces of which none has the run's root.
    * The tops of other traces than that with the run's root hang within it, see ``places``.
    """

    name: ClassVar[str] = "parents"

    def adjust(self, trace: Trace) -> None:
        """Link the nodes and set the root."""
        roots, orphans = _link(trace.nodes)
        cut = _cut_cycles(trace.nodes, [*roots, *(node for group in orphans.values() for node in group)])
        if cut:
            trace.note(self.name, cut, f"cut {counted(len(cut), 'cycle')} of parents")
        trace.completeness = len(trace.nodes) / max(1, len(trace.nodes) + len(orphans))
        lost = [_restored(trace, parent_id, group) for parent_id, group in sorted(orphans.items())]
        tops = [*roots, *cut, *lost]
        fragments: list[Node] = []
        if trace.is_stitched and trace.host is not None:
            fragments = [node for node in tops if node.operation.trace_id != trace.host]
            roots, tops = ([node for node in each if node.operation.trace_id == trace.host] for each in (roots, tops))
        trace.root = _root(trace, roots, tops)
        if fragments:
            for node, parent in zip(fragments, places(fragments, trace.root, trace.nodes), strict=True):
                parent.adopt(node)
        if trace.root_is_missing or trace.root.operation.synthetic:
            trace.note(
                self.name, [trace.root], "the root span is missing" if not roots else counted(len(roots), "root span")
            )
        if lost:
            trace.note(self.name, lost, f"{counted(len(lost), 'parent')} missing")


def is_root(operation: Operation) -> bool:
    """Tell whether a span whose parent was not seen is the root of what we can see."""
    called = operation.parent_is_remote or operation.span_kind in _CALLED_FROM_AFAR
    return operation.parent_id is None or called


def _root(trace: Trace, roots: Sequence[Node], tops: Sequence[Node]) -> Node:
    """Choose or make the root, and hang the other tops on it."""
    trace.root_is_missing = not roots
    if trace.host is None:
        root = _run_of_fragments(trace, tops)
    elif len(roots) == 1:
        root = roots[0]
    else:
        root = tops[0] if len(tops) == 1 else _synthetic_root(trace, tops)
    for node in tops:
        if node is not root:
            root.adopt(node)
    return root


def _restored(trace: Trace, parent_id: str, orphans: Sequence[Node]) -> Node:
    """Return what stands for a missing parent: a synthetic span, or the only child itself."""
    if len(orphans) == 1:
        return orphans[0]
    parent = _covering(trace, parent_id, orphans, name="missing parent")
    for node in orphans:
        parent.adopt(node)
    return parent


def _link(nodes: Iterable[Node]) -> tuple[list[Node], dict[str, list[Node]]]:
    """Set parents and children; return the roots, and the orphans by missing parent."""
    by_id = {node.span_id: node for node in nodes}
    roots: list[Node] = []
    orphans: dict[str, list[Node]] = {}
    for node in by_id.values():
        parent_id = node.operation.parent_id
        parent = None if parent_id is None else by_id.get(parent_id)
        if parent is not None:
            parent.adopt(node)
        elif is_root(node.operation):
            roots.append(node)
        elif parent_id is not None:
            orphans.setdefault(parent_id, []).append(node)
    return roots, orphans


def _cut_cycles(nodes: Sequence[Node], tops: Iterable[Node]) -> list[Node]:
    """Take the earliest span of each cycle off its parent; return those spans."""
    reached: set[Node] = set()
    _reach(tops, reached)
    cut: list[Node] = []
    for node in nodes:
        if node not in reached:
            entry = _first_of_cycle(node)
            if entry.parent is not None:
                entry.parent.children.remove(entry)
            entry.parent = None
            cut.append(entry)
            _reach([entry], reached)
    return cut


def _reach(tops: Iterable[Node], reached: set[Node]) -> None:
    stack = list(tops)
    while stack:
        node = stack.pop()
        reached.add(node)
        stack.extend(node.children)


def _first_of_cycle(node: Node) -> Node:
    """Return the earliest span of the cycle above a node that no root reaches."""
    seen: set[Node] = set()
    at = node
    while at not in seen and at.parent is not None:
        seen.add(at)
        at = at.parent
    cycle = [at]
    while cycle[-1].parent is not None and cycle[-1].parent is not at:
        cycle.append(cycle[-1].parent)
    return min(cycle, key=lambda each: (each.start_ns, each.span_id))


def _synthetic_root(trace: Trace, tops: Sequence[Node]) -> Node:
    """Make a root that covers several trees, named after the largest workflow or the service."""
    root_id = hashlib.sha256(f"root of {trace.trace_id}".encode()).hexdigest()[:16]
    likely = [node for node in tops if node.kind in _WORKFLOW_LIKE]
    largest = max(likely, key=lambda node: (node.duration_ns, node.span_id), default=None)
    first = min(tops, key=lambda node: (node.start_ns, node.span_id))
    name = largest.operation.name if largest else first.operation.service or "trace"
    return _covering(trace, root_id, tops, name=name)


def _run_of_fragments(trace: Trace, tops: Sequence[Node]) -> Node:
    """Make the workflow that the emitter has no span for, named as its spans say."""
    root = _synthetic_root(trace, tops)
    named = {node.operation.workflow for node in trace.nodes if node.operation.workflow}
    name = named.pop() if len(named) == 1 else root.operation.name
    root.operation = changed(root.operation, kind=OperationKind.WORKFLOW, name=name, span_name=name, workflow=name)
    root.kind = OperationKind.WORKFLOW
    return root


def _covering(trace: Trace, span_id: str, children: Sequence[Node], *, name: str) -> Node:
    first = min(children, key=lambda node: (node.start_ns, node.span_id))
    ended = all(node.own_times for node in children)
    operation = Operation(
        trace_id=first.operation.trace_id,
        span_id=span_id,
        name=name,
        span_name=name,
        service=first.operation.service,
        start_ns=first.start_ns,
        end_ns=max(node.end_ns for node in children),
        ended=ended,
        synthetic=True,
    )
    node = Node.of(operation)
    trace.nodes.append(node)
    return node
