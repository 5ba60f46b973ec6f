"""Langfuse SDK: ``langfuse.observation.*``, values as JSON text.

Read with langfuse 5.0.4 (decorators, OpenAI wrapper, LangChain handler), which encodes every value of metadata; 3.x and
4.x write strings without quotes. A decorated function without a type is a ``span``: like a chain, it is a run or one
step of a run. Spans of other instrumentations that pass through Langfuse have no observation type.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Final

from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, value_of
from otel_wfperf.conventions.encoded import encoded_text, json_map
from otel_wfperf.conventions.fields import ContentFields, SpanFields, content_fields, kind_of_error, span_fields
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, run_kind
from otel_wfperf.conventions.requests import asks_for_tools, may_ask_for_tools
from otel_wfperf.conventions.usage import usage_in
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_OBSERVATION: Final = "langfuse.observation."
_TYPE: Final = f"{_OBSERVATION}type"
_METADATA: Final = f"{_OBSERVATION}metadata."
_OUTPUT: Final = f"{_OBSERVATION}output"
# "event", "guardrail" and "evaluator" are no work of the workflow's own kinds.
_KINDS: Final[Mapping[str, OperationKind]] = {
    "generation": OperationKind.LLM,
    "embedding": OperationKind.EMBEDDING,
    "agent": OperationKind.AGENT,
    "tool": OperationKind.TOOL,
    "retriever": OperationKind.RETRIEVAL,
}
_RUNS: Final = ("span", "chain")
_MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)


class Langfuse:
    """Langfuse: ``langfuse.observation.type``."""

    name: ClassVar[str] = "langfuse"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span is an observation of Langfuse's SDK."""
        return _TYPE in span.attributes

    def operation(self, span: Span) -> Operation:
        """Say what an observation means."""
        attributes = span.attributes
        task = graph_task(attributes, _METADATA)
        kind = _operation_kind(span, task)
        model = text(attributes, f"{_OBSERVATION}model.name") or genai.model_name(attributes)
        is_call = kind in _MODEL_CALLS
        settings = json_map(attributes, f"{_OBSERVATION}model.parameters") if is_call else {}
        return Operation(
            **_fields(span, kind),
            **_content(attributes, kind),
            kind=kind,
            name=(model if is_call else None) or span.name,
            dialect=self.name,
            agent=_agent(span, kind, task),
            conversation=text(attributes, "session.id") or task.thread,
            model=model if is_call else None,
            tokens=_tokens(attributes, kind) if is_call else None,
            turn=_turn(span) if kind is OperationKind.LLM else None,
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=number(settings, "temperature"),
            time_to_first_token_s=_first_token_s(span) if is_call else None,
        )


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    written = (text(span.attributes, _TYPE) or "").lower()
    if written in _RUNS:
        return run_kind(span.name, task, is_root=span.parent_id is None)
    kind = _KINDS.get(written, OperationKind.OTHER)
    if kind is OperationKind.AGENT and task.node == span.name and task.agent != span.name:
        return OperationKind.PHASE  # the handler takes nodes for agents by their names
    return kind


def _agent(span: Span, kind: OperationKind, task: GraphTask) -> str | None:
    if kind is OperationKind.AGENT:
        return span.name
    return task.agent if kind is not OperationKind.WORKFLOW else None


def _fields(span: Span, kind: OperationKind) -> SpanFields:
    fields = span_fields(span)
    attributes = span.attributes
    if fields["error"] is None and text(attributes, f"{_OBSERVATION}level") == "ERROR":
        message = text(attributes, f"{_OBSERVATION}status_message") or ""
        fields["error"] = kind_of_error(message.strip())
    if kind is OperationKind.LLM:
        fields["requested"] |= asks_for_tools(attributes.get(_OUTPUT))
    elif kind is OperationKind.TOOL:
        fields["requested"] |= f"{_METADATA}tool_call_id" in attributes
    return fields


def _tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    usage = usage_in(json_map(attributes, f"{_OBSERVATION}usage_details"), parts_beside=True)
    return genai.tokens(attributes, kind) if usage is None else usage


def _turn(span: Span) -> str | None:
    attributes = span.attributes
    reason = encoded_text(attributes, f"{_METADATA}finish_reason")
    if reason is None:
        answer = attributes.get(_OUTPUT)
        # The answer as a message lists the calls, if any.
        may_ask = asks_for_tools(answer) or not (isinstance(answer, str) and answer.startswith('{"role"'))
    else:
        may_ask = may_ask_for_tools((reason,))
    return span.span_id if may_ask else None


def _first_token_s(span: Span) -> float | None:
    """Return the delay from the start to the moment that the SDK wrote down (seconds)."""
    written = encoded_text(span.attributes, f"{_OBSERVATION}completion_start_time")
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    delay_s = seconds - span.start_ns / 1e9
    return max(0.0, delay_s) if delay_s > -1 else None


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    if kind is OperationKind.OTHER:  # routers and links of chains
        return ContentFields()
    return content_fields(value_of(attributes, f"{_OBSERVATION}input"), value_of(attributes, _OUTPUT))
