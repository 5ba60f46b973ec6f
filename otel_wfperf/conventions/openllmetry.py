"""OpenLLMetry (Traceloop): ``traceloop.span.kind`` around GenAI attributes.

Read with traceloop-sdk and opentelemetry-instrumentation-{langchain,crewai,mcp,openai-agents,openai} 0.62.4:

* A LangGraph run is written twice (``invoke_agent {graph}`` and ``{graph}.workflow``); the assembler makes one of them.
  Within a node only the task span has children, and the ``invoke_agent`` beside it repeats it.
* Nodes, routers, agents of ``create_agent`` and retrievers are all tasks: the name in LangGraph's metadata and
  ``gen_ai.operation.name`` tell them apart.
* CrewAI's crew has no kind and no name, and says ``invoke_agent`` as its tasks and agents do.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, value_of
from otel_wfperf.conventions.fields import ContentFields, content_fields, span_fields
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, is_chain_link
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.conventions.openinference import flattened_messages
from otel_wfperf.model import Attributes, Operation, OperationKind, Span

_KIND: Final = "traceloop.span.kind"
_ENTITY: Final = "traceloop.entity.name"
_WORKFLOW: Final = "traceloop.workflow.name"
_PROPERTIES: Final = "traceloop.association.properties."
_KINDS: Final[Mapping[str, OperationKind]] = {
    "workflow": OperationKind.WORKFLOW,
    "task": OperationKind.PHASE,
    "agent": OperationKind.AGENT,
    "tool": OperationKind.TOOL,
    "handoff": OperationKind.HANDOFF,
}
# Of a task that says what it does by gen_ai.operation.name.
_TASKS: Final[Mapping[str, OperationKind]] = {
    "vector_db_retrieve": OperationKind.RETRIEVAL,
    "goto": OperationKind.HANDOFF,
}
_CREW: Final = "crewai.workflow"
_REQUEST_TYPE: Final = "llm.request.type"
_MAX_NAME_CHARS: Final = 80
_ENDS: Final = (".workflow", ".task", ".agent", ".tool", ".mcp", ".handoff")
# These also write spans with plain GenAI attributes only; the official packages are called ...genai.langchain etc.
_SCOPES: Final = frozenset(
    f"opentelemetry.instrumentation.{name}"
    for name in ("agno", "crewai", "haystack", "langchain", "llamaindex", "mcp", "openai_agents")
)


class OpenLLMetry:
    """OpenLLMetry: ``traceloop.*``."""

    name: ClassVar[str] = "openllmetry"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span was written by OpenLLMetry."""
        attributes = span.attributes
        if _KIND in attributes or _WORKFLOW in attributes or _ENTITY in attributes or _REQUEST_TYPE in attributes:
            return True
        return span.scope in _SCOPES and (semconv.OPERATION_NAME in attributes or span.name.endswith(_ENDS))

    def operation(self, span: Span) -> Operation:
        """Say what an OpenLLMetry span means."""
        attributes = span.attributes
        task = graph_task(attributes, _PROPERTIES)
        kind = _operation_kind(span, task)
        name = _subject(span, kind)
        is_workflow = kind is OperationKind.WORKFLOW
        return Operation(
            **span_fields(span),
            **_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=None if is_workflow else _agent(attributes, kind, name, task),
            workflow=name if is_workflow else text(attributes, _WORKFLOW),
            conversation=genai.conversation(attributes) or task.thread,
            model=genai.model_name(attributes),
            tokens=genai.tokens(attributes, kind),
            turn=genai.turn(span, kind),
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=number(attributes, semconv.REQUEST_TEMPERATURE),
            time_to_first_token_s=genai.first_token_s(span),
            handoff_from=genai.handoff_from(attributes) if kind is OperationKind.HANDOFF else None,
            setup=text(attributes, semconv.OPERATION_NAME) == "create_agent",
            repeats=_is_echo(attributes, task),
        )


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    attributes = span.attributes
    written = text(attributes, _KIND)
    if written is None:
        return _kind_by_operation(span, task)
    kind = _KINDS.get(written, OperationKind.OTHER)
    if kind is not OperationKind.PHASE:
        return kind
    says = _TASKS.get(text(attributes, semconv.OPERATION_NAME) or "")
    if says is not None:
        return says
    entity = text(attributes, _ENTITY) or ""
    if task.agent is not None and task.agent == entity:
        return OperationKind.AGENT
    is_router = task.node is not None and task.node != entity
    return OperationKind.OTHER if is_router or is_chain_link(entity) else OperationKind.PHASE


def _kind_by_operation(span: Span, task: GraphTask) -> OperationKind:
    attributes = span.attributes
    if span.name == _CREW:
        return OperationKind.WORKFLOW
    if semconv.OPERATION_NAME in attributes:
        return OperationKind.OTHER if _is_echo(attributes, task) else genai.operation_kind(attributes)
    return genai.OPERATION_KINDS.get(text(attributes, _REQUEST_TYPE) or "", OperationKind.OTHER)


def _is_echo(attributes: Attributes, task: GraphTask) -> bool:
    """Tell whether the span is that of a graph within a node, which has a task span with the work beside it."""
    if _KIND in attributes or task.node is None:
        return False
    return genai.operation_kind(attributes) is OperationKind.AGENT


def _agent(attributes: Attributes, kind: OperationKind, name: str, task: GraphTask) -> str | None:
    if kind is OperationKind.AGENT:
        return name
    if kind is OperationKind.OTHER:
        return None
    return genai.agent_name(attributes) or task.agent


def _subject(span: Span, kind: OperationKind) -> str:
    attributes = span.attributes
    found: str | None = None
    match kind:
        case OperationKind.WORKFLOW:
            found = text(attributes, _ENTITY, _WORKFLOW, "crewai.crew.name")
            if found is None and span.name == _CREW:
                return "crew"
        case OperationKind.TOOL:
            found = text(attributes, semconv.TOOL_NAME, _ENTITY)
        case OperationKind.AGENT:
            found = text(attributes, _ENTITY, semconv.AGENT_NAME)
        case OperationKind.PHASE | OperationKind.RETRIEVAL:
            found = text(attributes, _ENTITY, "crewai.task.name")
    found = found or genai.subject(span, kind)
    # CrewAI's tasks are called by their descriptions, which are prompts.
    return _without_end(found)[:_MAX_NAME_CHARS] if found == span.name else found


def _without_end(name: str) -> str:
    """Take the kind off a span's name: ``search.tool``, ``A \N{RIGHTWARDS ARROW} B.handoff``."""
    stem, _, end = name.rpartition(".")
    return stem if stem and f".{end}" in _ENDS else name


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    if kind is OperationKind.OTHER:  # routers and links of chains, see openinference
        return ContentFields()
    if kind in (OperationKind.LLM, OperationKind.EMBEDDING):
        given = flattened_messages(attributes, "gen_ai.prompt.")
        result = flattened_messages(attributes, "gen_ai.completion.")
        return content_fields(given, result) if given or result else genai.genai_content(attributes, kind)
    return content_fields(
        _payload(value_of(attributes, "traceloop.entity.input", "gen_ai.tool.call.arguments"), "inputs"),
        _payload(value_of(attributes, "traceloop.entity.output", "gen_ai.tool.call.result"), "outputs", "output"),
    )


def _payload(value: object, *names: str) -> object:
    """Take the content out of the envelope of run metadata that LangChain spans put round it.

    Traceloop's decorators write ``args`` and ``kwargs``: both are content, and either may be empty.
    """
    envelope = parsed(value)
    if isinstance(envelope, Mapping):
        for name in names:
            if envelope.get(name) is not None:
                return envelope[name]
        if "args" in envelope:
            return (envelope["args"], envelope["kwargs"]) if envelope.get("kwargs") else envelope["args"]
    return value
