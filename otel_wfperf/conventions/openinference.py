"""OpenInference (Arize): ``openinference.span.kind``.

Read with openinference-instrumentation-langchain 0.1.80, -crewai 1.1.21 and -openai-agents 2.6.0. LangGraph's
metadata comes as JSON text in ``metadata``; a CHAIN is a node when it bears the node's name, a router otherwise.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf.conventions.attributes import count, number, text, value_of
from otel_wfperf.conventions.fields import ContentFields, content_fields, span_fields
from otel_wfperf.conventions.genai import token_usage
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, is_chain_link
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.conventions.requests import may_ask_for_tools
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_KIND: Final = "openinference.span.kind"
_KINDS: Final[Mapping[str, OperationKind]] = {
    "AGENT": OperationKind.AGENT,
    "TOOL": OperationKind.TOOL,
    "LLM": OperationKind.LLM,
    "RETRIEVER": OperationKind.RETRIEVAL,
    "RERANKER": OperationKind.RETRIEVAL,
    "EMBEDDING": OperationKind.EMBEDDING,
}
_KICKOFF: Final = ".kickoff"


class OpenInference:
    """OpenInference: ``openinference.span.kind`` and flattened messages."""

    name: ClassVar[str] = "openinference"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span has an OpenInference kind."""
        return text(span.attributes, _KIND) is not None

    def operation(self, span: Span) -> Operation:
        """Say what an OpenInference span means."""
        attributes = span.attributes
        metadata = _json_map(attributes, "metadata")
        task = graph_task(metadata)
        kind = _operation_kind(span, task)
        settings = _json_map(attributes, "llm.invocation_parameters") if kind is OperationKind.LLM else {}
        return Operation(
            **span_fields(span),
            **_content(attributes, kind),
            kind=kind,
            name=_subject(span, kind),
            dialect=self.name,
            agent=_agent(attributes) if kind is not OperationKind.WORKFLOW else None,
            conversation=text(attributes, "session.id") or task.thread,
            model=_model(attributes),
            tokens=_tokens(attributes) if kind in (OperationKind.LLM, OperationKind.EMBEDDING) else None,
            turn=_turn(span, kind),
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=number(settings, "temperature"),
        )


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    """Map the kind.

    A chain outside a graph may be the run itself or one step of it, which only its ancestors tell: it is called
    a workflow here without naming one (``Operation.workflow`` is None), and the assembler decides.
    """
    written = (text(span.attributes, _KIND) or "").upper()
    if written in ("CHAIN", "AGENT") and task.node is not None and task.node == span.name:
        return OperationKind.PHASE
    if written == "CHAIN":
        if text(span.attributes, "flow.node.name") is not None:  # a method of a CrewAI flow
            return OperationKind.PHASE
        is_link = task.node is not None or (span.parent_id is not None and is_chain_link(span.name))
        return OperationKind.OTHER if is_link else OperationKind.WORKFLOW
    return _KINDS.get(written, OperationKind.OTHER)


def _subject(span: Span, kind: OperationKind) -> str:
    attributes = span.attributes
    match kind:
        case OperationKind.AGENT:
            return _agent(attributes) or span.name
        case OperationKind.TOOL:
            return text(attributes, "tool.name") or span.name
        case OperationKind.LLM | OperationKind.EMBEDDING:
            return _model(attributes) or span.name
        case OperationKind.WORKFLOW:
            return span.name.removesuffix(_KICKOFF) or span.name
        case _:
            return span.name


def _agent(attributes: Attributes) -> str | None:
    return text(attributes, "agent.name", "graph.node.id")


def _model(attributes: Attributes) -> str | None:
    return text(
        attributes, "llm.model_name", "llm.request.model_name", "llm.response.model_name", "embedding.model_name"
    )


def _tokens(attributes: Attributes) -> TokenUsage | None:
    prefix = "llm.token_count"
    given = count(attributes, f"{prefix}.prompt")
    answered = count(attributes, f"{prefix}.completion")
    if given is None and answered is None:
        return None
    return token_usage(
        given=given or 0,
        answered=answered or 0,
        read=count(attributes, f"{prefix}.prompt_details.cache_read") or 0,
        written=count(attributes, f"{prefix}.prompt_details.cache_write") or 0,
        reasoning=count(attributes, f"{prefix}.completion_details.reasoning") or 0,
    )


def _turn(span: Span, kind: OperationKind) -> str | None:
    if kind is not OperationKind.LLM:
        return None
    reason = text(span.attributes, "llm.finish_reason")
    return span.span_id if may_ask_for_tools((reason,) if reason else None) else None


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    if (
        kind is OperationKind.OTHER
    ):  # routers and links of chains: reading their copy of the state costs and tells nothing
        return ContentFields()
    given, result = value_of(attributes, "input.value"), value_of(attributes, "output.value")
    if kind in (OperationKind.LLM, OperationKind.EMBEDDING):
        # The raw values wrap the messages in generation boilerplate.
        given = flattened_messages(attributes, "llm.input_messages.") or given
        result = flattened_messages(attributes, "llm.output_messages.") or result
    elif kind is OperationKind.AGENT and "crew_id" in attributes:
        given, result = _crew_input(given), _crew_output(result)
    return content_fields(given, result)


def flattened_messages(attributes: Attributes, prefix: str) -> tuple[Mapping[str, object], ...] | None:
    """Put messages together that are spread over attributes such as ``{prefix}0.message.content``."""
    found: dict[int, list[tuple[str, str]]] = {}
    for name, value in attributes.items():
        if name.startswith(prefix) and isinstance(value, str):
            index, _, rest = name[len(prefix) :].partition(".")
            if index.isdecimal() and len(index) < 10:
                found.setdefault(int(index), []).append((rest, value))
    return tuple(_message(sorted(found[index])) for index in sorted(found)) or None


def _message(entries: list[tuple[str, str]]) -> Mapping[str, object]:
    said: dict[str, list[str]] = {"content": [], "arguments": []}
    labels: dict[str, str] = {}
    for name, value in entries:
        last = name.rpartition(".")[2]
        if last == "role":
            labels["role"] = value
        elif last == "name":
            labels["name"] = value
        elif last in ("content", "text"):
            if value not in said["content"]:  # OpenAI's responses are written as message.content and as its parts
                said["content"].append(value)
        elif last in ("arguments", "arguments_json"):
            said["arguments"].append(value)
    return {"role": "", **labels, **said}


def _crew_input(value: object) -> object:
    """Keep of a CrewAI agent's arguments what it works from; its settings and ids say nothing."""
    arguments = parsed(value)
    if not isinstance(arguments, Mapping) or not isinstance(agent := arguments.get("agent"), Mapping):
        return value
    return {"context": arguments.get("context"), **{key: agent.get(key) for key in ("role", "goal", "backstory")}}


def _crew_output(value: object) -> object:
    """Keep of CrewAI's task output the answer; the rest repeats the prompt."""
    output = parsed(value)
    return output.get("raw") if isinstance(output, Mapping) and "raw" in output else value


def _json_map(attributes: Attributes, name: str) -> Attributes:
    value = parsed(attributes.get(name))
    return value if isinstance(value, Mapping) else {}
