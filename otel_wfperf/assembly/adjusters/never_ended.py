"""Adjuster: spans that never ended."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace, counted


class NeverEnded:
    """Let a span without an end last until its last descendant ended, and for as long as it is known to have lasted.

    One without descendants that ended lasts until the root ended, else until the last moment seen in the trace.
    ``Operation.ended`` stays False, so that nobody takes the length for a measurement.
    """

    name: ClassVar[str] = "never_ended"

    def adjust(self, trace: Trace) -> None:
        """Choose the ends, children before parents."""
        open_nodes = [node for node in trace.nodes if not node.own_times]
        if not open_nodes or trace.root is None:
            return
        last_seen_ns = max(max(node.start_ns, node.end_ns) for node in trace.nodes)
        fallback_ns = trace.root.end_ns if trace.root.own_times else last_seen_ns
        last_end_ns: dict[Node, int] = {}
        for node in trace.bottom_up():
            below_ns = max((last_end_ns[child] for child in node.children), default=0)
            if not node.own_times:
                known_ns = node.end_ns
                node.end_ns = max(node.start_ns, known_ns, below_ns or fallback_ns)
                last_end_ns[node] = max(known_ns, below_ns)
            else:
                last_end_ns[node] = max(below_ns, node.end_ns)
        real: list[Node] = [node for node in open_nodes if not node.operation.synthetic]
        if real:
            trace.note(self.name, real, f"{counted(len(real), 'span')} never ended; the end was chosen")
