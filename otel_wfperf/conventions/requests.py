"""Whether the telemetry itself shows that a model asked for tool calls."""

import re
from typing import Final

from otel_wfperf import semconv
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.model import Attributes

# Source: finish reasons of OpenAI (tool_calls, function_call), Anthropic (tool_use) and the GenAI semantic conventions
# (tool_call).
_TOOL_REASONS: Final = frozenset({"tool_calls", "tool_call", "tool_use", "function_call", "function_calls"})
_REASONS: Final = (semconv.FINISH_REASONS, "llm.finish_reason", "llm.response.finish_reason")
# Source: GenAI semantic conventions, OpenInference, LangChain's tool messages.
_CALL_IDS: Final = frozenset({semconv.TOOL_CALL_ID, "tool_call.id", "tool.call.id", "tool_call_id"})
_MESSAGES: Final = ("gen_ai.output.messages", "gen_ai.completion")
_TELLING: Final = frozenset({*_REASONS, *_MESSAGES})
# JSON text; quotes within a string are escaped, so what somebody said is not taken for it. LangChain and OpenAI write
# an empty list, or null, when no tool was asked for.
_CALLS: Final = re.compile(r'(?<!\\)"tool_call"|(?<!\\)"tool_calls"\s*:\s*\[\s*\{')
_REASON: Final = re.compile(r'(?<!\\)"(?:finish|stop)_reason"\s*:\s*"(\w+)"')


def shows_request(attributes: Attributes) -> bool:
    """Tell whether a model call asks for tools, or a tool call carries the id of such a request."""
    if not _CALL_IDS.isdisjoint(attributes):
        return True
    # One look for all that is in most spans absent: this is asked of every span.
    if not _TELLING.isdisjoint(attributes):
        reasons = (finish_reasons(attributes, name) for name in _REASONS if name in attributes)
        if any(not _TOOL_REASONS.isdisjoint(each) for each in reasons):
            return True
        if any(asks_for_tools(attributes[name]) for name in _MESSAGES if name in attributes):
            return True
    # The calls in the answer, where content is recorded as attributes of their own.
    return any(".tool_calls." in name and ("output_messages" in name or "completion" in name) for name in attributes)


def finish_reasons(attributes: Attributes, name: str = semconv.FINISH_REASONS) -> tuple[str, ...]:
    """Return the finish reasons of a model call: an array, one string, or (Logfire) an array as JSON text."""
    value = parsed(attributes.get(name))
    listed = value if isinstance(value, tuple | list) else (value,)
    return tuple(reason for reason in listed if isinstance(reason, str) and reason)


def may_ask_for_tools(reasons: tuple[str, ...] | None) -> bool:
    """Tell whether a model call may have asked for tools: it did, or its finish reason is not known."""
    return not reasons or not _TOOL_REASONS.isdisjoint(reasons)


def asks_for_tools(answer: object) -> bool:
    """Tell whether a recorded answer (JSON text) holds a request for a tool call."""
    return isinstance(answer, str) and _CALLS.search(answer) is not None


def reason_in(answer: object) -> tuple[str, ...]:
    """Find the finish reason in a recorded answer (JSON text), without parsing it; empty when there is none."""
    found = _REASON.search(answer) if isinstance(answer, str) else None
    return (found[1],) if found else ()
