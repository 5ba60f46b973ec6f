"""Adjuster: the same span received more than once."""

from collections.abc import Iterable
from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import Operation


class Duplicates:
    """Keep one span of each id: the one that ended, and of several the one that ended last.

    Not noted: OTLP allows retransmission, and live emitters send a span again when it ends.
    """

    name: ClassVar[str] = "duplicates"

    def adjust(self, trace: Trace) -> None:
        """Drop the others."""
        kept: dict[str, Node] = {}
        for node in trace.nodes:
            known = kept.get(node.span_id)
            if known is None or preferred(known.operation, node.operation) is node.operation:
                kept[node.span_id] = node
        if len(kept) < len(trace.nodes):
            trace.nodes = [node for node in trace.nodes if kept[node.span_id] is node]


def unique(operations: Iterable[Operation]) -> list[Operation]:
    """Return one version of each span of a trace."""
    kept: dict[str, Operation] = {}
    for operation in operations:
        known = kept.get(operation.span_id)
        kept[operation.span_id] = operation if known is None else preferred(known, operation)
    return list(kept.values())


def preferred(one: Operation, other: Operation) -> Operation:
    """Choose between two versions of a span; the answer does not depend on their order.

    Between versions that end at the same time the content decides, by an arbitrary but fixed order.
    """
    ours, theirs = (one.ended, one.end_ns), (other.ended, other.end_ns)
    if ours == theirs and one != other:
        return max(one, other, key=_fixed_order)
    return one if ours >= theirs else other


def _fixed_order(operation: Operation) -> str:
    # Sets have no fixed order of their own, so the fragments are compared apart.
    fragments = sorted(operation.input_fragments), sorted(operation.output_fragments)
    rest = [
        getattr(operation, name) for name in operation.__slots__ if name not in ("input_fragments", "output_fragments")
    ]
    return repr((rest, fragments))
