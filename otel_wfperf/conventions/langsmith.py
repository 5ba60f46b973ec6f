"""LangSmith's OpenTelemetry export: ``langsmith.span.kind`` beside GenAI attributes.

Read with langsmith 0.15.1 (``LANGSMITH_OTEL_ENABLED``). Its ``gen_ai.operation.name`` cannot be relied on: retrievers
are called ``embeddings`` and prompt templates ``chat``. Decorated functions and LangChain's chains are both ``chain``.
``langsmith.trace.session_name`` is the project, not the conversation.
"""

import ast
import re
from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, value_of
from otel_wfperf.conventions.encoded import json_map
from otel_wfperf.conventions.envelopes import answers, inside
from otel_wfperf.conventions.fields import ContentFields, SpanFields, content_fields, span_fields
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, run_kind
from otel_wfperf.conventions.requests import asks_for_tools, finish_reasons, may_ask_for_tools, reason_in
from otel_wfperf.conventions.usage import usage_in
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_KIND: Final = "langsmith.span.kind"
_METADATA: Final = "langsmith.metadata."
_PROMPT: Final = "gen_ai.prompt"
_COMPLETION: Final = "gen_ai.completion"
# "prompt" and "parser" are links of chains.
_KINDS: Final[Mapping[str, OperationKind]] = {
    "llm": OperationKind.LLM,
    "tool": OperationKind.TOOL,
    "retriever": OperationKind.RETRIEVAL,
    "embedding": OperationKind.EMBEDDING,
}
_MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)
# The exporter records every error as ``Exception`` with the text ``ValueError('...')`` and the traceback.
_UNTYPED: Final = "Exception"
_REPRESENTATION: Final = re.compile(r"([A-Za-z_][\w.]*)\(")
_MAX_LITERAL_CHARS: Final = 1000


class LangSmith:
    """LangSmith: ``langsmith.*``."""

    name: ClassVar[str] = "langsmith"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span has a LangSmith run type."""
        return _KIND in span.attributes

    def operation(self, span: Span) -> Operation:
        """Say what a LangSmith run means."""
        attributes = span.attributes
        task = graph_task(attributes, _METADATA)
        kind = _operation_kind(span, task)
        return Operation(
            **_fields(span, kind),
            **_content(attributes, kind),
            kind=kind,
            name=_subject(span, kind),
            dialect=self.name,
            agent=task.agent if kind is not OperationKind.WORKFLOW else None,
            conversation=task.thread or genai.conversation(attributes),
            model=_model(attributes) if kind in _MODEL_CALLS else None,
            tokens=_tokens(attributes) if kind in _MODEL_CALLS else None,
            turn=_turn(span) if kind is OperationKind.LLM else None,
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=number(attributes, semconv.REQUEST_TEMPERATURE, f"{_METADATA}ls_temperature"),
        )


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    written = text(span.attributes, _KIND) or ""
    if written == "chain":
        return run_kind(span.name, task, is_root=span.parent_id is None)
    return _KINDS.get(written, OperationKind.OTHER)


def _subject(span: Span, kind: OperationKind) -> str:
    attributes = span.attributes
    if kind in _MODEL_CALLS:
        return _model(attributes) or span.name
    if kind is OperationKind.TOOL:
        return text(attributes, semconv.TOOL_NAME) or span.name
    return span.name


def _model(attributes: Attributes) -> str | None:
    return genai.model_name(attributes) or text(attributes, f"{_METADATA}ls_model_name")


def _fields(span: Span, kind: OperationKind) -> SpanFields:
    fields = span_fields(span)
    if fields["error"] == _UNTYPED:
        fields["error"] = _error_type(span)
    if kind is OperationKind.LLM and (reasons := _reasons(span.attributes)):
        fields["requested"] = may_ask_for_tools(reasons)
    return fields


def _error_type(span: Span) -> str:
    for event in reversed(span.events):
        found = _REPRESENTATION.match(text(event.attributes, "exception.message") or "")
        if found is not None:
            return found[1][:200]
    return _UNTYPED


def _tokens(attributes: Attributes) -> TokenUsage | None:
    usage = usage_in(json_map(attributes, f"{_METADATA}usage_metadata"))
    if usage is not None:
        return usage
    plain = genai.tokens(attributes, OperationKind.LLM)
    if plain is None:
        return None
    given = _literal_map(attributes, "gen_ai.usage.input_token_details")
    answered = _literal_map(attributes, "gen_ai.usage.output_token_details")
    return usage_in(
        {
            "input_tokens": plain.input,
            "output_tokens": plain.output,
            "input_token_details": given,
            "output_token_details": answered,
        }
    )


def _literal_map(attributes: Attributes, name: str) -> Attributes:
    """Read a map that was written with ``str``: neither JSON nor free of surprises."""
    value = text(attributes, name)
    if value is None or len(value) > _MAX_LITERAL_CHARS:
        return {}
    try:
        found = ast.literal_eval(value.replace("null", "None"))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return {}
    return {key: each for key, each in found.items() if isinstance(key, str)} if isinstance(found, dict) else {}


def _reasons(attributes: Attributes) -> tuple[str, ...]:
    return finish_reasons(attributes) or reason_in(attributes.get(_COMPLETION))


def _turn(span: Span) -> str | None:
    reasons = _reasons(span.attributes)
    asks = may_ask_for_tools(reasons) or asks_for_tools(span.attributes.get(_COMPLETION))
    return span.span_id if asks else None


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    if kind is OperationKind.OTHER:  # routers and links of chains
        return ContentFields()
    given, result = value_of(attributes, _PROMPT), value_of(attributes, _COMPLETION)
    if kind is OperationKind.LLM:
        return content_fields(inside(given, "messages"), answers(inside(result, "choices")))
    if kind is OperationKind.TOOL:
        result = inside(result, "output")
    return content_fields(given, result)
