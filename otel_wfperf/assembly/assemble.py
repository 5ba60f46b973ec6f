"""From operations to executions, once all operations are here."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from otel_wfperf.assembly.adjusters import ADJUSTERS
from otel_wfperf.assembly.adjusters.duplicates import unique
from otel_wfperf.assembly.stitching import Piece, Standing, are_apart, conversation_of, stitch
from otel_wfperf.assembly.trace import Trace
from otel_wfperf.assembly.workflow import status, workflow_name
from otel_wfperf.model import Execution, Operation


def assemble(operations: Iterable[Operation]) -> list[Execution]:
    """Make one execution of each run, ordered by start; what only sets something up is left out."""
    by_trace: dict[str, list[Operation]] = {}
    for operation in operations:
        by_trace.setdefault(operation.trace_id, []).append(operation)
    executions = [assemble_trace(trace_id, found) for trace_id, found in _runs(by_trace).items()]
    return sorted(executions, key=lambda execution: (execution.start_ns, execution.trace_id))


def assemble_trace(trace_id: str, operations: Collection[Operation], *, version: int = 1) -> Execution:
    """Make an execution of the operations of one run, at least one; their order makes no difference.

    Args:
        trace_id: What the execution is to be known by.
        operations: All of one trace, or of several that are one run.
        version: Counts the hand-outs of the same run.
    """
    trace_ids, host = _traces(trace_id, operations)
    trace = Trace.of(trace_id, operations, host=host, is_stitched=len(trace_ids) > 1)
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
        trace_ids=trace_ids,
    )


def _runs(by_trace: Mapping[str, Sequence[Operation]]) -> Mapping[str, Sequence[Operation]]:
    """Put the operations of each run together, by the trace that gives it its name."""
    tied = {trace_id: unique(by_trace[trace_id]) for trace_id in _tied(by_trace)}
    if not tied:
        return by_trace
    runs = {trace_id: found for trace_id, found in by_trace.items() if trace_id not in tied}
    for pieces in stitch(Piece.of(trace_id, found) for trace_id, found in tied.items()):
        members = {piece.trace_id: tied[piece.trace_id] for piece in pieces}
        if len(members) > 1 and not are_apart(members.values()):
            runs |= members
        elif pieces[0].standing is not Standing.SETUP:
            runs[pieces[0].trace_id] = [each for found in members.values() for each in found]
    return runs


def _tied(by_trace: Mapping[str, Sequence[Operation]]) -> set[str]:
    """Collect the traces that may be no run of their own: those with something that ties them to others."""
    tied = {trace_id for trace_id, found in by_trace.items() if any(each.setup for each in found)}
    if len(by_trace) == 1:
        return tied
    of_conversation: dict[str, str] = {}
    for trace_id, operations in by_trace.items():
        for conversation in {conversation_of(each) for each in operations}:
            if conversation is not None and (first := of_conversation.setdefault(conversation, trace_id)) != trace_id:
                tied.update((first, trace_id))
        for link in [link for each in operations if each.links for link in each.links]:
            if link.trace_id != trace_id:
                tied.update((trace_id, link.trace_id))
    return tied & by_trace.keys()


def _traces(trace_id: str, operations: Collection[Operation]) -> tuple[tuple[str, ...], str | None]:
    """List the traces of a run, and name the one that has its root; None when all are fragments."""
    if len({each.trace_id for each in operations}) == 1:
        return (trace_id,), trace_id
    by_trace: dict[str, list[Operation]] = {}
    for operation in operations:
        by_trace.setdefault(operation.trace_id, []).append(operation)
    pieces = [Piece.of(each, found) for each, found in by_trace.items()]
    pieces.sort(key=lambda piece: (piece.trace_id != trace_id, piece.start_ns, piece.trace_id))
    hosts = sorted(piece.trace_id for piece in pieces if piece.standing is Standing.RUN)
    return tuple(piece.trace_id for piece in pieces), hosts[0] if hosts else None
