"""OpenTelemetry GenAI semantic conventions, with the spellings of older releases and of vendors.

Read with opentelemetry-instrumentation-genai-* 1.3b0, pydantic-ai 2.68 (native), autogen-core 0.7.5 and
strands-agents 1.62. Operations that the conventions do not know are mapped where a vendor is known to write them.
Conventions before 1.28 had no ``gen_ai.operation.name``: a span with a system and a model was a model call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import count, number, text, value_of
from otel_wfperf.conventions.encoded import encoded_count
from otel_wfperf.conventions.fields import ContentFields, content_fields, span_fields
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.conventions.requests import finish_reasons, may_ask_for_tools
from otel_wfperf.conventions.streams import first_event_s
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

OPERATION_KINDS: Final[Mapping[str, OperationKind]] = {
    "chat": OperationKind.LLM,
    "generate_content": OperationKind.LLM,
    "text_completion": OperationKind.LLM,
    "embeddings": OperationKind.EMBEDDING,
    "retrieval": OperationKind.RETRIEVAL,
    "execute_tool": OperationKind.TOOL,
    "invoke_agent": OperationKind.AGENT,
    "invoke_workflow": OperationKind.WORKFLOW,
    "plan": OperationKind.PLAN,
    "create_memory_store": OperationKind.MEMORY,
    "delete_memory_store": OperationKind.MEMORY,
    "create_memory": OperationKind.MEMORY,
    "update_memory": OperationKind.MEMORY,
    "upsert_memory": OperationKind.MEMORY,
    "search_memory": OperationKind.MEMORY,
    "delete_memory": OperationKind.MEMORY,
    # Setting an agent up and collecting a background response are no work of the workflow.
    "create_agent": OperationKind.OTHER,
    "fetch_response": OperationKind.OTHER,
    # Not in the conventions, but written by:
    "completion": OperationKind.LLM,  # OpenLLMetry, llm.request.type
    "llm_request": OperationKind.LLM,  # OpenLLMetry
    "response": OperationKind.LLM,  # OpenLLMetry, OpenAI Responses
    "realtime": OperationKind.LLM,  # OpenLLMetry, OpenAI Realtime
    "embedding": OperationKind.EMBEDDING,  # OpenLLMetry, llm.request.type
    "rerank": OperationKind.RETRIEVAL,  # OpenLLMetry, llm.request.type
    "vector_db_retrieve": OperationKind.RETRIEVAL,  # OpenLLMetry
    "execute_task": OperationKind.PHASE,  # OpenLLMetry
    "invoke_node": OperationKind.PHASE,  # Google ADK
    "invoke_graph": OperationKind.WORKFLOW,  # Strands
    "invoke_swarm": OperationKind.WORKFLOW,  # Strands
    "memory.search": OperationKind.MEMORY,  # Strands
    "memory.add": OperationKind.MEMORY,  # Strands
    "memory.inject": OperationKind.MEMORY,  # Strands
    "memory.extract": OperationKind.MEMORY,  # Strands
    "goto": OperationKind.HANDOFF,  # OpenLLMetry, LangGraph's Command
    "handoff": OperationKind.HANDOFF,  # OpenLLMetry
}
# Proposed in semantic-conventions-genai (changelog.d/571): one span for agents and workflows.
_EITHER: Final = frozenset({"handle_conversation_turn", "invocation"})
_NESTED: Final = "gen_ai.invocation.is_nested"
# Names of the time from the request to the first piece of the answer (seconds): util-genai 1.3b0, and before.
_FIRST_PIECE_S: Final = (
    semconv.TIME_TO_FIRST_CHUNK,
    "gen_ai.response.time_to_first_token",
    "gen_ai.time_to_first_token",
)
# Strands 1.62 writes the server's name for it, in milliseconds.
_FIRST_PIECE_MS: Final = "gen_ai.server.time_to_first_token"
# An event for each piece of a streamed answer: OpenLLMetry; and one for the first: OpenInference.
_PIECES: Final = ("gen_ai.content.completion.chunk", "First Token Stream Event")
_HANDOFF_TO: Final = ("gen_ai.handoff.to_agent", "langgraph.command.goto_node", "langgraph.command.goto_nodes")
_INPUT_MODES: Final = ("text", "image", "audio", "video")
_OUTPUT_MODES: Final = ("text", "audio")


class GenAI:
    """GenAI semantic conventions: ``gen_ai.operation.name``."""

    name: ClassVar[str] = "genai"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span names a GenAI operation, or a model as before operations had names."""
        attributes = span.attributes
        return text(attributes, semconv.OPERATION_NAME) is not None or _is_unnamed_call(attributes)

    def operation(self, span: Span) -> Operation:
        """Say what a GenAI span means."""
        attributes = span.attributes
        kind = operation_kind(attributes)
        name = subject(span, kind)
        is_workflow = kind is OperationKind.WORKFLOW
        return Operation(
            **span_fields(span),
            **genai_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=None if is_workflow else agent_name(attributes),
            workflow=name if is_workflow else text(attributes, semconv.WORKFLOW_NAME),
            conversation=conversation(attributes),
            model=model_name(attributes),
            tokens=tokens(attributes, kind),
            turn=turn(span, kind),
            attempt=count(attributes, semconv.RETRY_ATTEMPT),
            temperature=number(attributes, semconv.REQUEST_TEMPERATURE),
            time_to_first_token_s=first_token_s(span),
            handoff_from=handoff_from(attributes) if kind is OperationKind.HANDOFF else None,
            setup=text(attributes, semconv.OPERATION_NAME) == "create_agent",
        )


def operation_kind(attributes: Attributes) -> OperationKind:
    """Map the operation's name; one that is not known is ``OTHER``."""
    operation = text(attributes, semconv.OPERATION_NAME) or ""
    if operation in _EITHER:
        names_agent = text(attributes, semconv.AGENT_NAME) is not None
        is_outermost = attributes.get(_NESTED) is False and not names_agent
        is_workflow = is_outermost or text(attributes, semconv.WORKFLOW_NAME) is not None
        return OperationKind.WORKFLOW if is_workflow else OperationKind.AGENT
    if not operation and _is_unnamed_call(attributes):
        return OperationKind.LLM
    return OPERATION_KINDS.get(operation, OperationKind.OTHER)


def _is_unnamed_call(attributes: Attributes) -> bool:
    """Tell whether a span describes a model call as the conventions before 1.28 did."""
    if "gen_ai.system" not in attributes or semconv.OPERATION_NAME in attributes:
        return False
    return semconv.REQUEST_MODEL in attributes and "agent_name" not in attributes


def subject(span: Span, kind: OperationKind) -> str:
    """Name what the operation is about; a span's name reads ``{operation} {subject}``."""
    attributes = span.attributes
    found: str | None
    match kind:
        case OperationKind.WORKFLOW:
            found = text(attributes, semconv.WORKFLOW_NAME, semconv.AGENT_NAME)
        case OperationKind.AGENT | OperationKind.PLAN:
            found = agent_name(attributes)
        case OperationKind.TOOL:
            found = text(attributes, semconv.TOOL_NAME)
        case OperationKind.PHASE:
            found = text(attributes, "gen_ai.task.name")
        case OperationKind.LLM | OperationKind.EMBEDDING:
            return model_name(attributes) or span.name
        case OperationKind.RETRIEVAL:
            found = text(attributes, semconv.DATA_SOURCE_ID)
        case OperationKind.MEMORY:  # the name of the operation, and of the store where there is one
            store = text(attributes, "gen_ai.memory.store.name", "gen_ai.memory.store.id")
            operation = text(attributes, semconv.OPERATION_NAME)
            return f"{operation} {store}" if operation and store else span.name
        case OperationKind.HANDOFF:
            found = _handed_to(attributes)
        case _:
            return span.name
    operation = text(attributes, semconv.OPERATION_NAME)
    return found or span.name.removeprefix(f"{operation} ") or span.name


def _handed_to(attributes: Attributes) -> str | None:
    """Name who gets the work; several nodes are written as a JSON array."""
    named = text(attributes, *_HANDOFF_TO)
    several = parsed(named)
    return ", ".join(map(str, several)) if isinstance(several, list) else named


def handoff_from(attributes: Attributes) -> str | None:
    """Name the agent, or the node, that passes the work on."""
    return text(attributes, "gen_ai.handoff.from_agent", "langgraph.command.source_node", semconv.AGENT_NAME)


def first_token_s(span: Span) -> float | None:
    """Return the time from the start to the first piece of a streamed answer (seconds)."""
    seconds = number(span.attributes, *_FIRST_PIECE_S)
    if seconds is None and (milliseconds := number(span.attributes, _FIRST_PIECE_MS)) is not None:
        seconds = milliseconds / 1000
    if seconds is None and span.events:
        return first_event_s(span, _PIECES)
    return seconds


def agent_name(attributes: Attributes) -> str | None:
    """Name the agent that the span itself names."""
    return text(attributes, semconv.AGENT_NAME, "agent_name")


def model_name(attributes: Attributes) -> str | None:
    """Name the model that was asked for, else the one that answered."""
    return text(attributes, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)


def conversation(attributes: Attributes) -> str | None:
    """Name the conversation, session or thread."""
    return text(attributes, semconv.CONVERSATION_ID, "session.id")


@dataclass(frozen=True, slots=True)
class _UsageNames:
    """Names of token counts with one prefix."""

    given: tuple[str, ...]
    answered: tuple[str, ...]
    given_by_mode: tuple[str, ...]
    answered_by_mode: tuple[str, ...]
    read: tuple[str, ...]
    written: tuple[str, ...]
    reasoning: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str) -> _UsageNames:
        written = ("cache_write.input", "cache_creation.input", "cache_creation_input", "cache_write_input")
        return cls(
            (f"{prefix}.input_tokens", f"{prefix}.prompt_tokens"),
            (f"{prefix}.output_tokens", f"{prefix}.completion_tokens"),
            tuple(f"{prefix}.{mode}.input_tokens" for mode in _INPUT_MODES),
            tuple(f"{prefix}.{mode}.output_tokens" for mode in _OUTPUT_MODES),
            (f"{prefix}.cache_read.input_tokens", f"{prefix}.cache_read_input_tokens"),
            tuple(f"{prefix}.{name}_tokens" for name in written),
            (f"{prefix}.reasoning.output_tokens", f"{prefix}.reasoning_tokens"),
        )


_USAGE: Final[tuple[_UsageNames, ...]] = (_UsageNames.of("gen_ai.usage"),)
_TOTALS: Final[tuple[_UsageNames, ...]] = (_UsageNames.of("gen_ai.aggregated_usage"), *_USAGE)


def tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    """Read token usage; agents and workflows have totals of what is below them."""
    if kind in (OperationKind.LLM, OperationKind.EMBEDDING):
        names = _USAGE
    elif kind in (OperationKind.AGENT, OperationKind.WORKFLOW):
        names = _TOTALS
    else:
        return None
    for each in names:
        given, answered = encoded_count(attributes, *each.given), encoded_count(attributes, *each.answered)
        given = _by_mode(attributes, each.given_by_mode) if given is None else given
        answered = _by_mode(attributes, each.answered_by_mode) if answered is None else answered
        if given is not None or answered is not None:
            return token_usage(
                given=given or 0,
                answered=answered or 0,
                read=count(attributes, *each.read) or 0,
                written=count(attributes, *each.written) or 0,
                reasoning=count(attributes, *each.reasoning) or 0,
            )
    return None


def _by_mode(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    """Sum the tokens of text, images and so on, where no emitter summed them."""
    known = [each for name in names if (each := count(attributes, name)) is not None]
    return sum(known) if known else None


def turn(span: Span, kind: OperationKind) -> str | None:
    """Mark a model call that may have asked for tools, so that the assembler can bind the tool calls to it."""
    if kind is not OperationKind.LLM:
        return None
    return span.span_id if may_ask_for_tools(finish_reasons(span.attributes)) else None


def genai_content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    """Read the content of an operation, where the emitter was asked to capture it."""
    match kind:
        case OperationKind.TOOL:
            return content_fields(
                value_of(attributes, "gen_ai.tool.call.arguments", "tool_arguments"),
                value_of(attributes, "gen_ai.tool.call.result", "tool_response"),
            )
        case OperationKind.RETRIEVAL:
            return content_fields(
                value_of(attributes, "gen_ai.retrieval.query.text"),
                value_of(attributes, "gen_ai.retrieval.documents"),
            )
        case OperationKind.LLM | OperationKind.AGENT | OperationKind.WORKFLOW:
            given = value_of(attributes, "gen_ai.input.messages")
            instructions = value_of(attributes, "gen_ai.system_instructions")
            if instructions is not None and given is not None:
                given = ({"role": "system", "content": parsed(instructions)}, parsed(given))
            return content_fields(given, value_of(attributes, "gen_ai.output.messages"))
        case _:
            return ContentFields()


def token_usage(*, given: int, answered: int, read: int, written: int, reasoning: int) -> TokenUsage:
    """Make a usage whose input includes what was cached.

    Source: the conventions demand that input includes the cached tokens. Emitters that pass Anthropic's figures
    on unchanged leave them out, which shows when the part is greater than the whole.
    """
    if read + written > given:
        given += read + written
    return TokenUsage(input=given, output=answered, cache_read=read, cache_write=written, reasoning=reasoning)
