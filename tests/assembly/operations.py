"""Operations for the tests of assembly; times are milliseconds since the start of the trace."""

from typing import Any

from otel_wfperf.assembly import assemble
from otel_wfperf.model import Execution, Operation, OperationKind

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
TRACE_ID = "f" * 32


def op(
    span_id: str,
    parent_id: str | None,
    start_ms: float,
    end_ms: float | None,
    *,
    kind: OperationKind = OperationKind.OTHER,
    name: str = "",
    trace_id: str = TRACE_ID,
    **fields: Any,
) -> Operation:
    """Build an operation; an end of None = it never ended. Without a dialect it is the user's own."""
    fields.setdefault("outside", fields.get("dialect", "") in {"", "leaves"})
    return Operation(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        kind=kind,
        name=name or span_id,
        span_name=name or span_id,
        start_ns=START_NS + round(start_ms * MS),
        end_ns=0 if end_ms is None else START_NS + round(end_ms * MS),
        ended=end_ms is not None,
        **fields,
    )


def assembled(*operations: Operation) -> Execution:
    """Assemble operations of one trace."""
    [execution] = assemble(operations)
    return execution


def times(execution: Execution, span_id: str) -> tuple[float, float]:
    """Return start and end of an operation in milliseconds."""
    operation = execution.by_id[span_id]
    return (operation.start_ns - START_NS) / MS, (operation.end_ns - START_NS) / MS


def notes(execution: Execution) -> list[str]:
    """List the adjusters that changed something."""
    return [adjustment.adjuster for adjustment in execution.adjustments]
