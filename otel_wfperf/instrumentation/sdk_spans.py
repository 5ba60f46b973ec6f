"""What a span of the SDK means, before it is sent: the same reading as in the sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import normalize
from otel_wfperf.model import Event, Operation, OperationKind, Span, SpanKind, StatusCode

# Source: OpenTelemetry API, SpanKind counts from 0, OTLP from 1.
_KIND_OFFSET: Final = 1
# Chosen: longer than any name, and than token counts in JSON.
_MAX_CHARACTERS: Final = 2_000
# The attribute that holds what an operation is about, by kind: as our own spans write it.
_SUBJECTS: Final[Mapping[OperationKind, str]] = {
    OperationKind.WORKFLOW: semconv.WORKFLOW_NAME,
    OperationKind.PHASE: semconv.PHASE_NAME,
    OperationKind.AGENT: semconv.AGENT_NAME,
    OperationKind.TOOL: semconv.TOOL_NAME,
    OperationKind.LLM: semconv.REQUEST_MODEL,
    OperationKind.EMBEDDING: semconv.REQUEST_MODEL,
    OperationKind.RETRIEVAL: semconv.DATA_SOURCE_ID,
    OperationKind.WAIT: semconv.WAIT_RESOURCE,
    OperationKind.CONTEXT: semconv.CONTEXT_OPERATION,
    OperationKind.HANDOFF: semconv.HANDOFF_TO,
}


def understood(span: Any) -> Operation | None:
    """Say what a span means, be it open or ended; None for one that is not to be analysed.

    Args:
        span: The SDK's span or readable span.
    """
    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    attributes = {name: value for name, value in dict(span.attributes or {}).items() if _is_short(value)}
    status = StatusCode(span.status.status_code.value)
    return normalize(
        Span(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            parent_id=None if parent is None else f"{parent.span_id:016x}",
            name=span.name,
            kind=SpanKind(span.kind.value + _KIND_OFFSET),
            start_ns=span.start_time or 0,
            end_ns=span.end_time or 0,
            attributes=attributes,
            status=status,
            events=_events(span) if status is StatusCode.ERROR else (),
            scope="" if scope is None else scope.name,
        )
    )


def attributes_of(operation: Operation) -> dict[str, Any]:
    """Spell an operation as our own spans do: its kind, its names and its place, never what it was told or answered."""
    given = {
        semconv.SPAN_KIND: operation.kind.value,
        semconv.WORKFLOW_NAME: operation.workflow,
        semconv.AGENT_NAME: operation.agent,
        semconv.REQUEST_MODEL: operation.model,
        semconv.CONVERSATION_ID: operation.conversation,
        semconv.PHASE_STEP: operation.step,
        semconv.PARALLEL_GROUP: operation.parallel_group,
        semconv.RETRY_ATTEMPT: operation.attempt,
        semconv.WAIT_KIND: operation.wait_kind,
        semconv.HANDOFF_FROM: operation.handoff_from,
    }
    subject = _SUBJECTS.get(operation.kind)
    if subject is not None:
        given[subject] = operation.name
    return {name: value for name, value in given.items() if value is not None}


def _is_short(value: Any) -> bool:
    """Leave prompts and answers out: nobody asks for their hashes here, and hashing takes time."""
    return not isinstance(value, str) or len(value) <= _MAX_CHARACTERS


def _events(span: Any) -> tuple[Event, ...]:
    return tuple(
        Event(name=event.name, time_ns=event.timestamp, attributes=dict(event.attributes or {}))
        for event in span.events
    )
