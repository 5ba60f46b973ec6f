"""From operations to executions, once all operations are here."""

from collections.abc import Iterable

from otel_wfperf.assembly.adjusters import ADJUSTERS
from otel_wfperf.assembly.trace import Trace
from otel_wfperf.assembly.workflow import status, workflow_name
from otel_wfperf.model import Execution, Operation


def assemble(operations: Iterable[Operation]) -> list[Execution]:
    """Make one execution of each trace, ordered by start."""
    by_trace: dict[str, list[Operation]] = {}
    for operation in operations:
        by_trace.setdefault(operation.trace_id, []).append(operation)
    executions = [assemble_trace(trace_id, found) for trace_id, found in by_trace.items()]
    return sorted(executions, key=lambda execution: (execution.start_ns, execution.trace_id))


def assemble_trace(trace_id: str, operations: Iterable[Operation], *, version: int = 1) -> Execution:
    """Make an execution of the operations of one trace, at least one; their order makes no difference."""
    trace = Trace.of(trace_id, operations)
    for adjuster in ADJUSTERS:
        adjuster.adjust(trace)
    root = trace.root
    if root is None:
        raise ValueError(f"trace {trace_id!r} has no operations; nothing can be assembled from it")
    finished = sorted(
        (node.finished() for node in trace.nodes), key=lambda each: (each.start_ns, -each.end_ns, each.span_id)
    )
    return Execution(
        trace_id=trace_id,
        workflow=workflow_name(trace, root),
        root_id=root.span_id,
        operations=tuple(finished),
        status=status(trace, root),
        completeness=trace.completeness,
        adjustments=tuple(trace.adjustments),
        version=version,
    )
