"""Executions and findings for tests."""

from otel_wfperf.model import (
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Saving,
    Severity,
    Subject,
    SubjectKind,
)

SECOND_NS = 1_000_000_000


def execution(trace: int, *, workflow: str = "research", operations: int = 1, start_ns: int = 10**18) -> Execution:
    """Build an execution of two seconds: a root, and tool calls below it."""
    trace_id = f"{trace:032x}"
    root = Operation(
        trace_id=trace_id,
        span_id=f"{1:016x}",
        kind=OperationKind.WORKFLOW,
        name=workflow,
        start_ns=start_ns,
        end_ns=start_ns + 2 * SECOND_NS,
    )
    calls = tuple(
        Operation(
            trace_id=trace_id,
            span_id=f"{number:016x}",
            parent_id=root.span_id,
            kind=OperationKind.TOOL,
            name="search",
            start_ns=start_ns,
            end_ns=start_ns + SECOND_NS,
        )
        for number in range(2, operations + 1)
    )
    return Execution(trace_id=trace_id, workflow=workflow, root_id=root.span_id, operations=(root, *calls))


def finding(
    trace: int,
    *,
    detector: str = "n_plus_one",
    severity: Severity = Severity.HIGH,
    name: str = "search",
    summary: str = "11 calls one after another",
) -> Finding:
    """Build a finding about a tool of one execution."""
    return Finding(
        detector=detector,
        severity=severity,
        confidence=Confidence.OBSERVED,
        workflow="research",
        subject=Subject(kind=SubjectKind.TOOL, name=name),
        trace_ids=(f"{trace:032x}",),
        span_ids=(f"{2:016x}",),
        summary=summary,
        recommendation="Send one request.",
        saving=Saving(median_s=0.5, low_s=0.25, high_s=0.75),
    )
