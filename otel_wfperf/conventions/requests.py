"""Whether the telemetry itself shows that a model asked for tool calls."""

from typing import Final

from otel_wfperf import semconv
from otel_wfperf.model import Attributes

# Source: finish reasons of OpenAI (tool_calls, function_call), Anthropic (tool_use) and the GenAI semantic conventions
# (tool_call).
_TOOL_REASONS: Final = frozenset({"tool_calls", "tool_call", "tool_use", "function_call", "function_calls"})
_REASONS: Final = (semconv.FINISH_REASONS, "llm.finish_reason", "llm.response.finish_reason")
# Source: GenAI semantic conventions, OpenInference, LangChain's tool messages.
_CALL_IDS: Final = (semconv.TOOL_CALL_ID, "tool_call.id", "tool.call.id", "tool_call_id")
_MESSAGES: Final = ("gen_ai.output.messages", "gen_ai.completion")


def shows_request(attributes: Attributes) -> bool:
    """Tell whether a model call asks for tools, or a tool call carries the id of such a request."""
    if any(name in attributes for name in _CALL_IDS):
        return True
    for name in _REASONS:
        reasons = attributes.get(name)
        listed = reasons if isinstance(reasons, tuple) else (reasons,)
        if any(isinstance(reason, str) and reason in _TOOL_REASONS for reason in listed):
            return True
    # The calls in the answer, where content is recorded: as attributes of their own, or as JSON.
    if any(".tool_calls." in name and ("output_messages" in name or "completion" in name) for name in attributes):
        return True
    messages = (attributes.get(name) for name in _MESSAGES)
    return any(isinstance(value, str) and '"tool_call' in value for value in messages)


def may_ask_for_tools(finish_reasons: tuple[str, ...] | None) -> bool:
    """Tell whether a model call may have asked for tools: it did, or its finish reason is not known."""
    return not finish_reasons or not _TOOL_REASONS.isdisjoint(finish_reasons)
