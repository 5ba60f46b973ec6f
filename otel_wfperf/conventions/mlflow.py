"""MLflow Tracing: ``mlflow.spanType``, every value as JSON text.

Read with mlflow-tracing 3.17.2 (decorators, autologging of OpenAI and LangChain). With
``MLFLOW_ENABLE_OTEL_GENAI_SEMCONV`` it writes GenAI attributes instead, with its own types as
``gen_ai.operation.name`` where the conventions have no word; the names of the spans are lost then.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, value_of
from otel_wfperf.conventions.encoded import encoded_text, json_map
from otel_wfperf.conventions.envelopes import answers, inside
from otel_wfperf.conventions.fields import ContentFields, SpanFields, content_fields, span_fields
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, run_kind
from otel_wfperf.conventions.requests import asks_for_tools, may_ask_for_tools, reason_in
from otel_wfperf.conventions.streams import first_event_s
from otel_wfperf.conventions.usage import usage_in
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_TYPE: Final = "mlflow.spanType"
_INPUTS: Final = "mlflow.spanInputs"
_OUTPUTS: Final = "mlflow.spanOutputs"
_SCOPE: Final = "mlflow."
# "PARSER", "GUARDRAIL" and "EVALUATOR" are no work of the workflow's own kinds.
_KINDS: Final[Mapping[str, OperationKind]] = {
    "WORKFLOW": OperationKind.WORKFLOW,
    "TASK": OperationKind.PHASE,
    "AGENT": OperationKind.AGENT,
    "TOOL": OperationKind.TOOL,
    "LLM": OperationKind.LLM,
    "CHAT_MODEL": OperationKind.LLM,
    "EMBEDDING": OperationKind.EMBEDDING,
    "RETRIEVER": OperationKind.RETRIEVAL,
    "RERANKER": OperationKind.RETRIEVAL,
    "MEMORY": OperationKind.MEMORY,
}
# A decorated function without a type is UNKNOWN: like a chain, it is a run or one step of a run.
_RUNS: Final = ("CHAIN", "UNKNOWN")
_MODEL_CALLS: Final = (OperationKind.LLM, OperationKind.EMBEDDING)
# Events that the autologging adds for each piece of a streamed answer.
_PIECES: Final = ("mlflow.chunk.item.0", "new_token")


class MLflow:
    """MLflow: ``mlflow.*``, or GenAI attributes by its translation."""

    name: ClassVar[str] = "mlflow"

    def recognises(self, span: Span) -> bool:
        """Tell whether MLflow wrote the span."""
        return _TYPE in span.attributes or span.scope.startswith(_SCOPE)

    def operation(self, span: Span) -> Operation:
        """Say what a span of MLflow means."""
        attributes = span.attributes
        task = graph_task(json_map(attributes, "metadata"))
        kind = _operation_kind(span, task)
        model = encoded_text(attributes, "mlflow.llm.model") or genai.model_name(attributes)
        name = _subject(span, kind, task, model)
        is_workflow = kind is OperationKind.WORKFLOW
        is_named = is_workflow and _written(attributes) == "WORKFLOW"
        return Operation(
            **_fields(span, kind),
            **_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=name if kind is OperationKind.AGENT else (None if is_workflow else task.agent),
            workflow=name if is_named else None,
            conversation=_conversation(attributes, task),
            model=model if kind in _MODEL_CALLS else None,
            tokens=_tokens(attributes, kind) if kind in _MODEL_CALLS else None,
            turn=_turn(span) if kind is OperationKind.LLM else None,
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=_temperature(attributes),
            time_to_first_token_s=first_event_s(span, _PIECES) if kind is OperationKind.LLM else None,
        )


def _written(attributes: Attributes) -> str:
    return (encoded_text(attributes, _TYPE, semconv.OPERATION_NAME) or "").upper()


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    written = _written(span.attributes)
    if written in _RUNS:
        # By translation the name of the span is lost; the node is in the metadata.
        name = task.node or task.agent or span.name if span.name == written else span.name
        return run_kind(name, task, is_root=span.parent_id is None)
    return _KINDS.get(written) or genai.operation_kind(span.attributes)


def _subject(span: Span, kind: OperationKind, task: GraphTask, model: str | None) -> str:
    if kind in _MODEL_CALLS:
        return model or span.name
    if kind is OperationKind.PHASE:
        return task.node or span.name
    if _TYPE not in span.attributes:
        return (task.agent if kind is OperationKind.AGENT else None) or genai.subject(span, kind)
    return span.name


def _conversation(attributes: Attributes, task: GraphTask) -> str | None:
    return encoded_text(attributes, "mlflow.trace.session", "session.id", semconv.CONVERSATION_ID) or task.thread


def _fields(span: Span, kind: OperationKind) -> SpanFields:
    fields = span_fields(span)
    if kind is OperationKind.LLM:
        answer = span.attributes.get(_OUTPUTS)
        reasons = reason_in(answer)
        asks = bool(reasons) and may_ask_for_tools(reasons)
        fields["requested"] = fields["requested"] or asks or asks_for_tools(answer)
    return fields


def _tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    usage = usage_in(json_map(attributes, "mlflow.chat.tokenUsage"))
    return genai.tokens(attributes, kind) if usage is None else usage


def _turn(span: Span) -> str | None:
    answer = span.attributes.get(_OUTPUTS)
    if answer is None:
        return genai.turn(span, OperationKind.LLM)
    asks = may_ask_for_tools(reason_in(answer)) or asks_for_tools(answer)
    return span.span_id if asks else None


def _temperature(attributes: Attributes) -> float | None:
    written = text(attributes, "temperature")
    if written is not None:
        try:
            return number({"temperature": float(written)}, "temperature")
        except ValueError:
            return None
    return number(attributes, semconv.REQUEST_TEMPERATURE)


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    if kind is OperationKind.OTHER:  # routers and links of chains
        return ContentFields()
    given, result = value_of(attributes, _INPUTS), value_of(attributes, _OUTPUTS)
    if given is None and result is None:
        return genai.genai_content(attributes, kind)
    if kind is OperationKind.LLM:
        given, result = inside(given, "messages"), answers(inside(result, "choices"))
    return content_fields(given, result)
