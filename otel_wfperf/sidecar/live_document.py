"""A running execution as JSON, for the HTTP interface and the page.

As in the Findings JSON: fields may be added, and none is renamed or removed without a new version in the path.
"""

from typing import Any, TypeAlias

from otel_wfperf.report.units import seconds
from otel_wfperf.sidecar.live import LiveExecution, LiveSpan

Document: TypeAlias = dict[str, Any]


def live_document(execution: LiveExecution, *, now_unix_ns: int) -> Document:
    """Describe an execution that is not complete.

    Args:
        execution: What is known of it.
        now_unix_ns: The present, which ages are counted from (nanoseconds since the Unix epoch).
    """
    return {
        "trace_id": execution.trace_id,
        "workflow": execution.workflow,
        "start_unix_ns": execution.start_ns,
        "age_s": _age_s(execution.start_ns, now_unix_ns),
        "first_seen_unix_ns": execution.first_seen_ns,
        "last_seen_unix_ns": execution.last_seen_ns,
        "span_count": execution.spans,
        "root_ended": execution.root_ended,
        "stalled": execution.stalled is not None,
        "stalled_reason": execution.stalled,
        "open_spans": [_open_span(each, now_unix_ns) for each in execution.running],
    }


def _open_span(span: LiveSpan, now_unix_ns: int) -> Document:
    operation = span.operation
    return {
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "name": operation and (operation.name or operation.span_name),
        "kind": operation and operation.kind.value,
        "agent": span.agent,
        "phase": span.phase,
        "start_unix_ns": span.start_ns,
        "age_s": _age_s(span.start_ns, now_unix_ns),
        "stalled": span.stalled is not None,
        "stalled_reason": span.stalled,
    }


def _age_s(start_unix_ns: int, now_unix_ns: int) -> float:
    # The clocks of two machines differ.
    return seconds(max(0, now_unix_ns - start_unix_ns))
