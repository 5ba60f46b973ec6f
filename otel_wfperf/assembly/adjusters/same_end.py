"""Adjuster: an emitter that ends all its spans at once."""

from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class SameEnd:
    """Note when most spans end together with the root, which makes self time and order of ends meaningless.

    Changes nothing; detectors read the note.

    Source: seen in beeai (Langfuse's example trace of 2025-08-01); ratio and window from there. Chosen: the spans must
    also have started at ``min_starts`` or more different moments and hold no other such span, because equal
    branches of a fan-out and spans nested in each other rightly end together.

    Attributes:
        window_ns: How near to the root's end counts (nanoseconds).
        min_ratio: Share of the spans below the root that must end there.
        min_spans: Fewest spans below the root.
        min_starts: Fewest different moments of start.
    """

    name: ClassVar[str] = "same_end"
    window_ns: int = 5_000_000
    min_ratio: float = 0.5
    min_spans: int = 4
    min_starts: int = 3

    def adjust(self, trace: Trace) -> None:
        """Count and note."""
        root = trace.root
        if root is None:
            return
        below = [node for node in trace.in_order() if node is not root and node.operation.ended]
        together = {node for node in below if abs(node.end_ns - root.end_ns) <= self.window_ns}
        if len(below) < self.min_spans or len(together) < self.min_ratio * len(below):
            return
        innermost = [node for node in below if node in together and together.isdisjoint(node.children)]
        if self._moments(innermost) >= self.min_starts:
            trace.note(self.name, innermost, f"{len(together)} of {len(below)} spans end together with the root")

    def _moments(self, nodes: list[Node]) -> int:
        """Count starts that are further apart than the window."""
        moments = 0
        last_ns: int | None = None
        for start_ns in sorted(node.start_ns for node in nodes):
            if last_ns is None or start_ns - last_ns > self.window_ns:
                moments += 1
                last_ns = start_ns
        return moments
