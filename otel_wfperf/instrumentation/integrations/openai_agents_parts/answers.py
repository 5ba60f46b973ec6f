"""Reading the SDK's prompts and answers: messages of the chat API and items of the responses API.

Checked with openai-agents 0.24.0: ``GenerationSpanData.input`` holds chat messages; its output one chat message, or a
whole response when it was streamed. ``ResponseSpanData`` holds a response and the items of its input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes

# The SDK's own id of an answer that the provider gave none.
_NO_ID: Final = "__fake_id__"
_TOOL_CALLS: Final = "tool_calls"


def prompt_of(data: Any) -> list[Message]:
    """List the messages of the prompt, oldest first; empty when the user keeps them out of traces."""
    given = data.input
    messages: list[Message] = []
    instructions = getattr(getattr(data, "response", None), "instructions", None)
    if instructions and given:
        messages.append(Message("system", tuple(_said(instructions))))
    if isinstance(given, str):
        messages.append(Message("user", (given,)))
    else:
        messages += [_message(item) for item in given or ()]
    return messages


def answer_of(data: Any, reader: ContentReader) -> dict[str, Any]:
    """Describe an answer as span attributes; nothing when the user keeps it out of traces."""
    response = getattr(data, "response", None)
    output = getattr(data, "output", None) or ()
    if response is None and output and _field(output[0], "output") is not None:
        response = output[0]
    items: Sequence[Any] = output if response is None else _field(response, "output") or ()
    if not items:
        return {}
    messages = [_message(item) for item in items]
    tools = tuple(name for message in messages for name in message.tools)
    answer = Message("assistant", tuple(text for message in messages for text in message.texts), tools)
    response_id = _field(response, "id")
    attributes = answer_attributes(
        answer,
        reader,
        model=_text(_field(response, "model")),
        response_id=None if response_id == _NO_ID else _text(response_id),
        finish_reason=_TOOL_CALLS if tools else _finish_reason(response),
    )
    temperature = _field(response, "temperature")
    if isinstance(temperature, int | float):
        attributes[semconv.REQUEST_TEMPERATURE] = float(temperature)
    return attributes


def usage_of(data: Any) -> dict[str, int]:
    """Spell the usage as span attributes; nothing when the provider told none (the SDK then writes zeros)."""
    usage: Mapping[str, Any] = data.usage or {}
    given, answered = usage.get("input_tokens"), usage.get("output_tokens")
    if not given and not answered:
        return {}
    read = usage.get("input_tokens_details") or {}
    written = usage.get("output_tokens_details") or {}
    return usage_attributes(
        given=given,
        answered=answered,
        cache_read=read.get("cached_tokens") or None,
        cache_write=read.get("cache_write_tokens") or None,
        reasoning=written.get("reasoning_tokens") or None,
    )


def _message(item: Any) -> Message:
    kind = _field(item, "type")
    if kind == "function_call":
        return Message("assistant", tuple(texts_of(_field(item, "arguments"))), (str(_field(item, "name")),))
    if isinstance(kind, str) and kind.endswith("_output"):
        return Message("tool", tuple(_said(_field(item, "output"))))
    if isinstance(item, Mapping) and item.get("tool_calls"):
        return Message.of_chat(item)
    content = _field(item, "summary") if kind == "reasoning" else _field(item, "content")
    role = _text(_field(item, "role")) or "assistant"
    return Message(role, tuple(_said(content)))


def _said(content: Any) -> Iterator[str]:
    if isinstance(content, str) or content is None:
        yield from texts_of(content)
        return
    for part in content if isinstance(content, Iterable) else ():
        text = _field(part, "text")
        if isinstance(text, str):
            yield text
        else:
            yield from texts_of(part)


def _finish_reason(response: Any) -> str | None:
    """Say why a response stopped; the SDK drops the reason that the chat API gives."""
    if _field(response, "status") == "incomplete":
        return _text(_field(_field(response, "incomplete_details"), "reason"))
    return "stop" if _field(response, "status") == "completed" else None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
