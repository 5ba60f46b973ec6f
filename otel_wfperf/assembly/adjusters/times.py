"""Adjuster: times that cannot be."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace, counted


class ImpossibleTimes:
    """Make a span that ends before it starts take no time, and give one without a start a start.

    A wall clock that is set back during a span gives the first; a broken exporter gives the second.
    """

    name: ClassVar[str] = "impossible_times"

    def adjust(self, trace: Trace) -> None:
        """Clamp the times."""
        first_ns = min((node.start_ns for node in trace.nodes if node.start_ns > 0), default=0)
        changed: list[Node] = []
        for node in trace.nodes:
            if node.start_ns <= 0:
                node.start_ns = max(node.end_ns, 0) or first_ns
                changed.append(node)
            if node.own_times and node.end_ns < node.start_ns:
                node.end_ns = node.start_ns
                changed.append(node)
        if changed:
            trace.note(self.name, changed, f"{counted(len(changed), 'span')} ended before the start or had none")
