"""Which children a span waits for, and how exactly two spans must follow each other.

Both the critical path and the what-if replay rest on these two questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otel_wfperf.model import Execution, Operation, SpanKind

OVERLAP_RATIO = 0.01
OVERLAP_LIMIT_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class WaitedChild:
    """A child that its parent waits for, cut to the parent's own interval.

    Attributes:
        start_ns: Start within the parent (nanoseconds since the Unix epoch).
        end_ns: End within the parent (nanoseconds since the Unix epoch).
    """

    operation: Operation
    start_ns: int
    end_ns: int


def overlap_tolerance_ns(parent: Operation) -> int:
    """Return how much two children may overlap and still count as one after the other (nanoseconds).

    Clocks of milliseconds and hand-over in the run time make a successor seem to start early.

    Source: CRISP (Zhang et al., USENIX ATC 2022) tolerates 1 % of the parent. Chosen: at most 5 ms of it, as
    1 % of a workflow of ten minutes would join spans that truly ran together.
    """
    return min(int(parent.duration_ns * OVERLAP_RATIO), OVERLAP_LIMIT_NS)


def is_detached(parent: Operation, child: Operation) -> bool:
    """Tell whether the parent goes on without the child: a consumer below its producer.

    Source: Jaeger UI, CriticalPath/utils (PRODUCER to CONSUMER children do not block).
    """
    return parent.span_kind is SpanKind.PRODUCER and child.span_kind is SpanKind.CONSUMER


def waited_children(execution: Execution, parent: Operation) -> Sequence[WaitedChild]:
    """List the children that the parent waits for, in order of start.

    Left out are detached children, and children that lie outside the parent.
    """
    waited = []
    for child in execution.children(parent.span_id):
        outside = child.start_ns >= parent.end_ns or child.end_ns < parent.start_ns
        if not outside and not is_detached(parent, child):
            start_ns = max(child.start_ns, parent.start_ns)
            waited.append(WaitedChild(child, start_ns, max(start_ns, min(child.end_ns, parent.end_ns))))
    return waited
