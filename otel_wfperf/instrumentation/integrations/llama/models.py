"""Reading LlamaIndex's model calls: messages, answers and usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes

# Source: usage objects of OpenAI (chat, responses), Anthropic and Google as their LlamaIndex packages pass them on.
_GIVEN: Final = ("prompt_tokens", "input_tokens", "prompt_token_count")
_ANSWERED: Final = ("completion_tokens", "output_tokens", "candidates_token_count")
_READ: Final = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("cache_read_input_tokens",),
    ("cached_content_token_count",),
)
_WRITTEN: Final = (("cache_creation_input_tokens",),)
_REASONED: Final = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("thoughts_token_count",),
)


def message_of(message: Any) -> Message:
    """Read a ``ChatMessage``: text blocks, and the tool calls it asks for."""
    texts: list[str] = []
    tools: list[str] = []
    for block in getattr(message, "blocks", None) or ():
        name = getattr(block, "tool_name", None)
        if name:
            tools.append(str(name))
            texts += texts_of(getattr(block, "tool_kwargs", None))
        else:
            texts += texts_of(getattr(block, "text", None))
    return Message(str(getattr(message.role, "value", message.role)), tuple(texts), tuple(tools))


def completion_of(response: Any) -> Message:
    """Read a ``CompletionResponse``."""
    return Message("assistant", tuple(texts_of(getattr(response, "text", None))))


def response_attributes(response: Any, reader: ContentReader) -> dict[str, Any]:
    """Describe a ``ChatResponse`` or ``CompletionResponse`` as span attributes."""
    message = getattr(response, "message", None)
    answer = message_of(message) if message is not None else completion_of(response)
    raw = getattr(response, "raw", None)
    choices = _field(raw, "choices")
    choice = choices[0] if isinstance(choices, list | tuple) and choices else None
    attributes = answer_attributes(
        answer,
        reader,
        model=_text(_field(raw, "model")),
        response_id=_text(_field(raw, "id")),
        finish_reason=_text(_field(choice, "finish_reason")) or _text(_field(raw, "stop_reason")),
    )
    return attributes | _usage(raw, getattr(response, "additional_kwargs", None))


def tool_call_ids(response: Any) -> list[str]:
    """List the ids of the tool calls that an answer asks for."""
    message = getattr(response, "message", None)
    calls = [getattr(block, "tool_call_id", None) for block in getattr(message, "blocks", None) or ()]
    kwargs = getattr(message, "additional_kwargs", None) or {}
    calls += [_field(call, "id") for call in kwargs.get("tool_calls") or ()]
    return list(dict.fromkeys(str(call) for call in calls if call))


def model_of(described: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the name of a model and of its provider, from what ``to_payload`` says of it."""
    class_name = str(described.get("class_name") or "")
    model = described.get("model") or described.get("model_name") or class_name or "unknown"
    provider = class_name.lower().removesuffix("_llm").partition("_")[0] or None
    return str(model), provider


def _usage(raw: Any, extra: object) -> dict[str, int]:
    usage = _field(raw, "usage") or _field(raw, "usage_metadata") or extra
    return usage_attributes(
        given=_count(usage, *((name,) for name in _GIVEN)),
        answered=_count(usage, *((name,) for name in _ANSWERED)),
        cache_read=_count(usage, *_READ),
        cache_write=_count(usage, *_WRITTEN),
        reasoning=_count(usage, *_REASONED),
    )


def _count(usage: object, *paths: tuple[str, ...]) -> int | None:
    for path in paths:
        value = usage
        for name in path:
            value = _field(value, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
