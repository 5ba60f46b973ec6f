"""Where the fragments of a run hang that came in traces of their own."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from otel_wfperf.assembly.trace import Node
from otel_wfperf.model import OperationKind

_HOLDERS: Final = (
    OperationKind.WORKFLOW,
    OperationKind.PHASE,
    OperationKind.AGENT,
    OperationKind.TOOL,
    OperationKind.OTHER,
)


def places(tops: Sequence[Node], root: Node, nodes: Iterable[Node]) -> list[Node]:
    """Find a parent for each fragment in the tree of the run itself.

    That is the innermost operation round what the fragment links to that was still running when it started; without
    a link the innermost one that it lies in, as long as that is the only one.
    """
    by_id = {(node.operation.trace_id, node.span_id): node for node in nodes}
    return [
        _place(top, root, [by_id.get((link.trace_id, link.span_id)) for link in top.operation.links]) for top in tops
    ]


def _place(top: Node, root: Node, linked: Iterable[Node | None]) -> Node:
    for each in linked:
        if each is not None:
            return next((node for node in _upwards(each) if _runs_at(node, top.start_ns)), root)
    place = root
    while (
        len(inside := [node for node in place.children if _runs_at(node, top.start_ns) and _holds_end(node, top)]) == 1
    ):
        [place] = inside
    return place


def _upwards(node: Node) -> Iterator[Node]:
    at: Node | None = node
    while at is not None:
        yield at
        at = at.parent


def _runs_at(node: Node, moment_ns: int) -> bool:
    is_running = node.start_ns <= moment_ns and (not node.own_times or moment_ns <= node.end_ns)
    return is_running and node.kind in _HOLDERS


def _holds_end(node: Node, top: Node) -> bool:
    return not node.own_times or (top.own_times and top.end_ns <= node.end_ns)
