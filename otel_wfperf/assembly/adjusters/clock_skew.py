"""Adjuster: clocks of different hosts that disagree."""

from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace, counted
from otel_wfperf.model import SpanKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew:
    """Move the spans of another host into the span that called them, when they lie outside it.

    The network is taken to be as fast there as back: the child is put in the middle of its parent. A child that
    is longer than its parent is only moved up to the parent's start, and so is what nobody waits for: a consumer of
    a message, and what came in a trace of its own. What runs on the child's host below it moves along.

    Source: Jaeger, internal/storage/v1 adjuster/clockskew.go, which compares hosts in the same way.

    Attributes:
        max_skew_ns: Larger differences are left alone (nanoseconds). Source: five minutes is the skew that RFC 4120
            (Kerberos) tolerates; spans further apart ran at different times.
    """

    name: ClassVar[str] = "clock_skew"
    max_skew_ns: int = 300_000_000_000

    def adjust(self, trace: Trace) -> None:
        """Shift subtrees, parents before children, so that a parent's times are final."""
        moved: list[Node] = []
        beyond: list[Node] = []
        for node in trace.in_order():
            parent = node.parent
            if parent is None:
                continue
            if _clock(parent) == _clock(node):
                node.skew_ns = parent.skew_ns
            elif _clock(parent) and _clock(node):
                node.skew_ns = _skew_ns(node, parent)
                if abs(node.skew_ns) > self.max_skew_ns:
                    node.skew_ns = 0
                    beyond.append(node)
            if node.skew_ns:
                node.start_ns += node.skew_ns
                node.end_ns += node.skew_ns
                moved.append(node)
        if moved:
            largest_ms = max(abs(node.skew_ns) for node in moved) / 1e6
            trace.note(self.name, moved, f"moved {counted(len(moved), 'span')} by up to {largest_ms:.3f} ms")
        if beyond:
            trace.note(self.name, beyond, f"left {counted(len(beyond), 'span')} alone, too far outside the parent")


def _clock(node: Node) -> str:
    """Return the identity of the clock: processes of one machine share it."""
    host = node.operation.host
    return host.partition("/")[0] or host


def _skew_ns(child: Node, parent: Node) -> int:
    """Return what has to be added to the child's times."""
    inside = child.start_ns >= parent.start_ns and child.end_ns <= parent.end_ns
    if inside:
        return 0
    nobody_waits = (
        child.operation.span_kind is SpanKind.CONSUMER or child.operation.trace_id != parent.operation.trace_id
    )
    if child.duration_ns > parent.duration_ns or nobody_waits:
        return max(0, parent.start_ns - child.start_ns)
    return parent.start_ns + (parent.duration_ns - child.duration_ns) // 2 - child.start_ns
