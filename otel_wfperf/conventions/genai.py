"""OpenTelemetry GenAI semantic conventions, with the spellings of older releases and of vendors.

Read with opentelemetry-instrumentation-genai-* 1.3b0, pydantic-ai 2.68 (native), autogen-core 0.7.5 and
strands-agents 1.62. Operations that the conventions do not know are mapped where a vendor is known to write them.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import count, number, text, texts, value_of
from otel_wfperf.conventions.fields import ContentFields, content_fields, span_fields
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.conventions.requests import may_ask_for_tools
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
}
# Proposed in semantic-conventions-genai (changelog.d/571): one span for agents and workflows.
_EITHER: Final = "handle_conversation_turn"


class GenAI:
    """GenAI semantic conventions: ``gen_ai.operation.name``."""

    name: ClassVar[str] = "genai"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span names a GenAI operation."""
        return text(span.attributes, semconv.OPERATION_NAME) is not None

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
            time_to_first_token_s=number(attributes, semconv.TIME_TO_FIRST_CHUNK),
        )


def operation_kind(attributes: Attributes) -> OperationKind:
    """Map the operation's name; one that is not known is ``OTHER``."""
    operation = text(attributes, semconv.OPERATION_NAME) or ""
    if operation == _EITHER:
        return OperationKind.WORKFLOW if text(attributes, semconv.WORKFLOW_NAME) else OperationKind.AGENT
    return OPERATION_KINDS.get(operation, OperationKind.OTHER)


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
        case _:
            return span.name
    operation = text(attributes, semconv.OPERATION_NAME)
    return found or span.name.removeprefix(f"{operation} ") or span.name


def agent_name(attributes: Attributes) -> str | None:
    """Name the agent that the span itself names."""
    return text(attributes, semconv.AGENT_NAME, "agent_name")


def model_name(attributes: Attributes) -> str | None:
    """Name the model that was asked for, else the one that answered."""
    return text(attributes, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)


def conversation(attributes: Attributes) -> str | None:
    """Name the conversation, session or thread."""
    return text(attributes, semconv.CONVERSATION_ID, "session.id")


def tokens(attributes: Attributes, kind: OperationKind) -> TokenUsage | None:
    """Read token usage; agents and workflows have totals of what is below them."""
    prefixes: tuple[str, ...] = ("gen_ai.usage",)
    if kind in (OperationKind.AGENT, OperationKind.WORKFLOW):
        prefixes = ("gen_ai.aggregated_usage", "gen_ai.usage")
    elif kind not in (OperationKind.LLM, OperationKind.EMBEDDING):
        return None
    for prefix in prefixes:
        given = count(attributes, f"{prefix}.input_tokens", f"{prefix}.prompt_tokens")
        answered = count(attributes, f"{prefix}.output_tokens", f"{prefix}.completion_tokens")
        if given is not None or answered is not None:
            return _usage(attributes, prefix, given or 0, answered or 0)
    return None


def turn(span: Span, kind: OperationKind) -> str | None:
    """Mark a model call that may have asked for tools, so that the assembler can bind the tool calls to it."""
    if kind is not OperationKind.LLM:
        return None
    return span.span_id if may_ask_for_tools(texts(span.attributes, semconv.FINISH_REASONS)) else None


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


def _usage(attributes: Attributes, prefix: str, given: int, answered: int) -> TokenUsage:
    read = count(attributes, f"{prefix}.cache_read.input_tokens", f"{prefix}.cache_read_input_tokens") or 0
    names = ("cache_write.input", "cache_creation.input", "cache_creation_input", "cache_write_input")
    written = count(attributes, *(f"{prefix}.{name}_tokens" for name in names)) or 0
    reasoning = count(attributes, f"{prefix}.reasoning.output_tokens", f"{prefix}.reasoning_tokens") or 0
    return token_usage(given=given, answered=answered, read=read, written=written, reasoning=reasoning)


def token_usage(*, given: int, answered: int, read: int, written: int, reasoning: int) -> TokenUsage:
    """Make a usage whose input includes what was cached.

    Source: the conventions demand that input includes the cached tokens. Emitters that pass Anthropic's figures
    on unchanged leave them out, which shows when the part is greater than the whole.
    """
    if read + written > given:
        given += read + written
    return TokenUsage(input=given, output=answered, cache_read=read, cache_write=written, reasoning=reasoning)
