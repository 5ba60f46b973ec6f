"""Our own spans: ``wfperf.span.kind``, with GenAI attributes where the conventions have them.

Content is not captured; the instrumentation has hashed and measured it already.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.analysis.fragments import produced
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import count, fragments, number, text, texts
from otel_wfperf.conventions.fields import ContentFields, span_fields
from otel_wfperf.conventions.figures import resources
from otel_wfperf.model import (
    Attributes,
    ContextSize,
    Operation,
    OperationKind,
    Span,
    TokenUsage,
)

_KINDS: Final[Mapping[str, OperationKind]] = {kind.value: kind for kind in OperationKind}
_SUBJECTS: Final[Mapping[OperationKind, tuple[str, ...]]] = {
    OperationKind.PHASE: (semconv.PHASE_NAME,),
    OperationKind.WAIT: (semconv.WAIT_RESOURCE, semconv.WAIT_KIND),
    OperationKind.CONTEXT: (semconv.CONTEXT_OPERATION,),
    OperationKind.HANDOFF: (semconv.HANDOFF_TO,),
}


class Wfperf:
    """Spans of this project's instrumentation."""

    name: ClassVar[str] = "wfperf"

    def recognises(self, span: Span) -> bool:
        """Tell whether our instrumentation wrote the span."""
        return text(span.attributes, semconv.SPAN_KIND) is not None or span.scope == semconv.INSTRUMENTATION_SCOPE

    def operation(self, span: Span) -> Operation:
        """Say what one of our spans means."""
        attributes = span.attributes
        kind = _KINDS.get(text(attributes, semconv.SPAN_KIND) or "") or genai.operation_kind(attributes)
        name = _subject(span, kind)
        is_workflow = kind is OperationKind.WORKFLOW
        return Operation(
            **span_fields(span),
            **_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=None if is_workflow else genai.agent_name(attributes),
            workflow=name if is_workflow else text(attributes, semconv.WORKFLOW_NAME),
            conversation=genai.conversation(attributes),
            model=genai.model_name(attributes),
            tokens=_tokens(attributes, kind),
            turn=text(attributes, semconv.TURN_ID) or genai.turn(span, kind),
            step=count(attributes, semconv.PHASE_STEP),
            parallel_group=text(attributes, semconv.PARALLEL_GROUP),
            depends_on=texts(attributes, semconv.DEPENDS_ON),
            attempt=count(attributes, semconv.RETRY_ATTEMPT),
            temperature=number(attributes, semconv.REQUEST_TEMPERATURE),
            context=_context(attributes),
            resources=resources(attributes),
            time_to_first_token_s=number(attributes, semconv.TIME_TO_FIRST_CHUNK),
            handoff_from=text(attributes, semconv.HANDOFF_FROM),
            spans_started=count(attributes, semconv.SPANS_STARTED),
            spans_dropped=count(attributes, semconv.SPANS_DROPPED),
            wait_kind=text(attributes, semconv.WAIT_KIND),
            queue_depth=count(attributes, semconv.QUEUE_DEPTH),
            concurrency_limit=count(attributes, semconv.CONCURRENCY_LIMIT),
        )


def _subject(span: Span, kind: OperationKind) -> str:
    names = _SUBJECTS.get(kind)
    if names is None:
        return genai.subject(span, kind)
    return text(span.attributes, *names) or span.name.removeprefix(f"{kind.value} ") or span.name


def _tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    given = count(attributes, semconv.TOTAL_INPUT_TOKENS)
    answered = count(attributes, semconv.TOTAL_OUTPUT_TOKENS)
    if given is None and answered is None:
        return genai.tokens(attributes, kind)
    return TokenUsage(
        input=given or 0,
        output=answered or 0,
        cache_read=count(attributes, semconv.TOTAL_CACHE_READ_TOKENS) or 0,
        cache_write=count(attributes, semconv.TOTAL_CACHE_WRITE_TOKENS) or 0,
        reasoning=count(attributes, semconv.TOTAL_REASONING_TOKENS) or 0,
    )


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    """Read the hashes, else the content that the user chose to record."""
    fields = genai.genai_content(attributes, kind)
    given = fragments(attributes, semconv.INPUT_FRAGMENTS)
    result = fragments(attributes, semconv.OUTPUT_FRAGMENTS)
    if (input_hash := text(attributes, semconv.INPUT_HASH, semconv.PROMPT_HASH)) is not None:
        fields["input_hash"] = input_hash
    if (output_hash := text(attributes, semconv.OUTPUT_HASH)) is not None:
        fields["output_hash"] = output_hash
    if (prefix_hash := text(attributes, semconv.PROMPT_PREFIX_HASH)) is not None:
        fields["prefix_hash"] = prefix_hash
    if (input_bytes := count(attributes, semconv.INPUT_BYTES)) is not None:
        fields["input_bytes"] = input_bytes
    if (output_bytes := count(attributes, semconv.OUTPUT_BYTES)) is not None:
        fields["output_bytes"] = output_bytes
    if given:
        fields["input_fragments"] = given
    if result:
        fields["output_fragments"] = produced(result, given)
    return fields


def _context(attributes: Attributes) -> ContextSize | None:
    size = ContextSize(
        size_bytes=count(attributes, semconv.CONTEXT_BYTES),
        tokens=count(attributes, semconv.CONTEXT_TOKENS),
        messages=count(attributes, semconv.CONTEXT_MESSAGES),
        limit_tokens=count(attributes, semconv.CONTEXT_LIMIT),
        reused_ratio=number(attributes, semconv.CONTEXT_REUSED_RATIO),
        growth_bytes=_bytes(attributes, semconv.CONTEXT_GROWTH),
    )
    return None if size == ContextSize() else size


def _bytes(attributes: Attributes, name: str) -> int | None:
    """Read a number of bytes that may be negative."""
    value = number(attributes, name)
    return None if value is None else int(value)
