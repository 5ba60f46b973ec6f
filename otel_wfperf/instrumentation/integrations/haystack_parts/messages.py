"""Reading Haystack's messages, replies and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes

# Source: `meta["usage"]` of Haystack's generators: OpenAI's chat and responses spellings, and Anthropic's.
_GIVEN: Final = ("prompt_tokens", "input_tokens")
_ANSWERED: Final = ("completion_tokens", "output_tokens")


def message_of(message: Any) -> Message:
    """Read a ``ChatMessage``, or the prompt of a generator that takes text."""
    if isinstance(message, str):
        return Message("user", (message,))
    calls = getattr(message, "tool_calls", None) or ()
    results = getattr(message, "tool_call_results", None) or ()
    texts = [
        *(text for each in getattr(message, "texts", None) or () for text in texts_of(each)),
        *(text for call in calls for text in texts_of(getattr(call, "arguments", None))),
        *(text for result in results for text in texts_of(getattr(result, "result", None))),
    ]
    role = getattr(message, "role", "user")
    return Message(str(getattr(role, "value", role)), tuple(texts), tuple(str(call.tool_name) for call in calls))


def prompt_of(given: object) -> list[Message]:
    """Return the messages among what a generator is given."""
    if not isinstance(given, Mapping):
        return []
    messages = given.get("messages")
    if messages is None:
        messages = [given["prompt"]] if isinstance(given.get("prompt"), str) else []
    return [message_of(each) for each in messages] if isinstance(messages, list | tuple) else [message_of(messages)]


def replies_of(result: object) -> Sequence[Any]:
    """Return the replies among what a generator returned."""
    replies = result.get("replies") if isinstance(result, Mapping) else None
    return replies if isinstance(replies, list | tuple) else ()


def reply_attributes(result: Any, reader: ContentReader, *, start_ns: int) -> dict[str, Any]:
    """Describe what a generator returned as span attributes.

    Args:
        result: Its output: ``replies``, and of a generator of text ``meta``.
        reader: Reads content.
        start_ns: When the call began (nanoseconds since the Unix epoch).
    """
    replies = replies_of(result)
    if not replies:
        return {}
    meta: Any = getattr(replies[0], "meta", None) or (result.get("meta") or [{}])[0]
    if not isinstance(meta, Mapping):
        meta = {}
    model = _text(meta.get("model"))
    answer = message_of(replies[0])
    attributes = answer_attributes(
        Message("assistant", answer.texts, answer.tools),
        reader,
        model=model,
        response_id=_text(meta.get("id")),
        finish_reason=_text(meta.get("finish_reason")),
    )
    first = _moment_ns(meta.get("completion_start_time"))
    if first is not None and first >= start_ns:
        attributes[semconv.TIME_TO_FIRST_CHUNK] = (first - start_ns) / 1e9
    return attributes | _usage(meta.get("usage"))


def _usage(usage: object) -> dict[str, int]:
    if not isinstance(usage, Mapping):
        return {}
    read = _part(usage, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens")
    reasoned = _part(usage, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    return usage_attributes(
        given=_count(usage, *_GIVEN),
        answered=_count(usage, *_ANSWERED),
        cache_read=read if read is not None else _count(usage, "cache_read_input_tokens"),
        cache_write=_count(usage, "cache_creation_input_tokens"),
        reasoning=reasoned,
    )


def _part(usage: Mapping[str, Any], details: Sequence[str], name: str) -> int | None:
    for each in details:
        if isinstance(usage.get(each), Mapping):
            return _count(usage[each], name)
    return None


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    found = (usage.get(name) for name in names)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment_ns(text: object) -> int | None:
    """Read the local time that Haystack notes for the first chunk of a stream."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9) if isinstance(text, str) else None
    except ValueError:
        return None
