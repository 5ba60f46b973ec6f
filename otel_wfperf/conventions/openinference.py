"""OpenInference (Arize): ``openinference.span.kind``.

Read with openinference-instrumentation-langchain 0.1.80, -crewai 1.1.21, -openai-agents 2.6.0, -autogen-agentchat
0.1.22, -smolagents 0.1.43, -llama-index 4.6.1, -google-adk 1.0.5, -agent-framework 0.1.13, -strands-agents 0.1.12,
-pydantic-ai 0.1.30, -agno 1.0.15 and -haystack 0.1.46.

* LangGraph's metadata comes as JSON text in ``metadata``; a CHAIN is a node when it bears the node's name, a router
  otherwise.
* Several call spans by the method that was patched: ``{Team}.run_stream``, ``{agent}.run``, ``{crew}.kickoff``.
* The processors for Google ADK, Agent Framework, Strands and pydantic-ai put their kind on spans that those
  frameworks wrote themselves; the framework's own attributes, which stay, say more.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import count, number, text, value_of
from otel_wfperf.conventions.encoded import json_map
from otel_wfperf.conventions.fields import ContentFields, content_fields, span_fields
from otel_wfperf.conventions.genai import token_usage
from otel_wfperf.conventions.langgraph import GraphTask, graph_task, run_kind
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
_TOTALLED: Final = (OperationKind.LLM, OperationKind.EMBEDDING, OperationKind.AGENT, OperationKind.WORKFLOW)
# The methods that the instrumentations patch; what is before them is the name of the team, agent, workflow or step.
_METHOD: Final = re.compile(
    r"\.(?:kickoff|on_messages(?:_stream)?|a?run(?:_stream|_async|_async_generator)?|a?execute(?:_stream)?)$"
)
# "invocation [app]", "agent_run [agent]" (Google ADK); "Step 3" (smolagents).
_BRACKETED: Final = re.compile(r"(?:invocation|agent_run) \[(.+)\]$")
_STEP: Final = re.compile(r"Step \d+$")
_HANDOFF: Final = "handoff to "
_COMPACTION: Final = "compact_events"
# What Agent Framework writes round executors is how messages travel.
_BUILD: Final = "workflow.build"
_HOPS: Final = ("edge_group.process", "message.send", _BUILD)
_WORKFLOW_RUN: Final = "workflow.run"
_EXECUTOR: Final = "executor.process"
# Ids that stand for no name: Strands, Agent Framework, Agno.
_NAMELESS_ID: Final = re.compile(
    r"strands_agent$|[0-9a-f]{16}$|(?:agent|llm|tool|cycle|chain|workflow|executor|edge_group)_"
)


class OpenInference:
    """OpenInference: ``openinference.span.kind`` and flattened messages."""

    name: ClassVar[str] = "openinference"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span has an OpenInference kind."""
        return text(span.attributes, _KIND) is not None

    def operation(self, span: Span) -> Operation:
        """Say what an OpenInference span means."""
        attributes = span.attributes
        task = graph_task(json_map(attributes, "metadata"))
        kind = _operation_kind(span, task)
        name = _subject(span, kind)
        settings = json_map(attributes, "llm.invocation_parameters") if kind is OperationKind.LLM else {}
        return Operation(
            **span_fields(span),
            **_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=_agent(span, kind, task),
            workflow=name if kind is OperationKind.WORKFLOW and _is_declared(span) else None,
            conversation=text(attributes, "session.id", semconv.CONVERSATION_ID) or task.thread,
            model=_model(attributes),
            tokens=_tokens(attributes, kind) if kind in _TOTALLED else None,
            turn=_turn(span, kind),
            step=task.step,
            task=task.task if kind is OperationKind.PHASE else None,
            temperature=number(settings, "temperature"),
            time_to_first_token_s=genai.first_token_s(span) if kind is OperationKind.LLM else None,
            setup=span.name.startswith(_BUILD),
        )


def _operation_kind(span: Span, task: GraphTask) -> OperationKind:
    written = (text(span.attributes, _KIND) or "").upper()
    if written == "AGENT" and task.node is not None and task.node == span.name:
        return run_kind(span.name, task, is_root=span.parent_id is None)  # the name looked like an agent's
    if written == "TOOL" and span.name.startswith(_HANDOFF):
        return OperationKind.HANDOFF
    if written in ("CHAIN", "UNKNOWN"):
        return _chain_kind(span, task, is_chain=written == "CHAIN")
    return _KINDS.get(written, OperationKind.OTHER)


def _chain_kind(span: Span, task: GraphTask, *, is_chain: bool) -> OperationKind:
    """Tell what a chain is: by the framework's own words where it has some, else by its place in a graph."""
    attributes, name = span.attributes, span.name
    native = genai.operation_kind(attributes)
    if native is not OperationKind.OTHER:
        return native
    if name.startswith(_HOPS) or "event_loop.cycle_id" in attributes:
        return OperationKind.OTHER
    if name.startswith(_COMPACTION):
        return OperationKind.CONTEXT
    is_step = text(attributes, "flow.node.name") is not None or name.startswith(_EXECUTOR)
    if is_step:  # a method of a CrewAI flow, an executor of Agent Framework
        return OperationKind.PHASE
    if not is_chain or _STEP.match(name):
        return OperationKind.OTHER
    return run_kind(name, task, is_root=span.parent_id is None)


def _is_declared(span: Span) -> bool:
    """Tell whether the framework itself calls the span a workflow."""
    return semconv.OPERATION_NAME in span.attributes or span.name.startswith(_WORKFLOW_RUN)


def _subject(span: Span, kind: OperationKind) -> str:
    attributes, name = span.attributes, span.name
    found: str | None = None
    match kind:
        case OperationKind.AGENT:
            found = _agent_name(attributes) or _without_method(name)
        case OperationKind.TOOL:
            found = text(attributes, "tool.name", semconv.TOOL_NAME)
        case OperationKind.LLM | OperationKind.EMBEDDING:
            found = _model(attributes)
        case OperationKind.WORKFLOW:
            found = _workflow_name(span)
        case OperationKind.PHASE:
            executor = text(attributes, "executor.id") if name.startswith(_EXECUTOR) else None
            found = executor or name.removeprefix("invoke_node ")
        case OperationKind.HANDOFF:
            found = name.removeprefix(_HANDOFF)
        case OperationKind.CONTEXT:
            found = "compact"
    return found or ("Step" if _STEP.match(name) else name)


def _workflow_name(span: Span) -> str | None:
    if span.name.startswith(_WORKFLOW_RUN):
        return text(span.attributes, "workflow.name", "graph.node.name")
    return text(span.attributes, semconv.WORKFLOW_NAME) or _without_method(span.name.removeprefix("invoke_workflow "))


def _without_method(name: str) -> str:
    bracketed = _BRACKETED.match(name)
    if bracketed is not None:
        return bracketed[1]
    # LlamaIndex names steps by their qualified names.
    return _METHOD.sub("", name).rpartition("<locals>.")[2] or name


def _agent(span: Span, kind: OperationKind, task: GraphTask) -> str | None:
    if kind is OperationKind.WORKFLOW:
        return None
    named = _agent_name(span.attributes) or task.agent
    if named is None and kind is OperationKind.AGENT:
        # A trace of the OpenAI Agents SDK is an agent without a name; the assembler finds out that it is none.
        stem = _without_method(span.name)
        return None if stem == span.name else stem
    return named


def _agent_name(attributes: Attributes) -> str | None:
    named = text(attributes, "agent.name", semconv.AGENT_NAME)
    if named is None and attributes.get(_KIND) in ("AGENT", "agent"):
        named = text(attributes, "graph.node.name")
    if named is None and (node := text(attributes, "graph.node.id")) is not None and not _NAMELESS_ID.match(node):
        named = node
    return named


def _model(attributes: Attributes) -> str | None:
    return text(
        attributes, "llm.model_name", "llm.request.model_name", "llm.response.model_name", "embedding.model_name"
    )


def _tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    prefix = "llm.token_count"
    given = count(attributes, f"{prefix}.prompt")
    answered = count(attributes, f"{prefix}.completion")
    if given is None and answered is None:
        # A pipeline may keep the framework's own attributes only.
        is_native = "gen_ai.system" in attributes or semconv.PROVIDER_NAME in attributes
        return genai.tokens(attributes, kind) if is_native else None
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
    if kind is OperationKind.OTHER:  # routers, links of chains: reading their copy of the state costs and tells nothing
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
