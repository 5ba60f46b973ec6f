"""Spans that have lost their attributes but still bear a name of the GenAI semantic conventions.

Attribute filters in a pipeline do that. Only names that nothing else bears count; ``chat {model}`` and
``retrieval {source}`` are such names when the span is a client's.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.fields import span_fields
from otel_wfperf.model import Operation, OperationKind, Span, SpanKind

_KINDS: Final[Mapping[str, OperationKind]] = {
    semconv.INVOKE_WORKFLOW: OperationKind.WORKFLOW,
    semconv.INVOKE_AGENT: OperationKind.AGENT,
    semconv.EXECUTE_TOOL: OperationKind.TOOL,
    "anthropic.tool_use": OperationKind.TOOL,  # Claude API, 2026-10
}
_CLIENT_KINDS: Final[Mapping[str, OperationKind]] = {
    semconv.CHAT: OperationKind.LLM,
    "generate_content": OperationKind.LLM,
    semconv.TEXT_COMPLETION: OperationKind.LLM,
    "embeddings": OperationKind.EMBEDDING,
    semconv.RETRIEVAL: OperationKind.RETRIEVAL,
}
_MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)


class SpanNames:
    """Span names ``{operation} {subject}`` without attributes."""

    name: ClassVar[str] = "span_names"

    def recognises(self, span: Span) -> bool:
        """Tell whether the name is one of the conventions'."""
        return _kind(span) is not None

    def operation(self, span: Span) -> Operation:
        """Read kind and subject from the name."""
        kind = _kind(span) or OperationKind.OTHER
        subject = span.name.partition(" ")[2]
        return Operation(
            **span_fields(span),
            kind=kind,
            name=subject,
            dialect=self.name,
            agent=subject if kind is OperationKind.AGENT else None,
            workflow=subject if kind is OperationKind.WORKFLOW else None,
            model=subject if kind in _MODEL_CALLS else None,
            turn=span.span_id if kind is OperationKind.LLM else None,
        )


def _kind(span: Span) -> OperationKind | None:
    operation, _, subject = span.name.partition(" ")
    if not subject:
        return None
    if span.kind is SpanKind.CLIENT and (kind := _CLIENT_KINDS.get(operation)) is not None:
        return kind
    return _KINDS.get(operation)
