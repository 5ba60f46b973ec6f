"""Reading pydantic-ai's messages. Checked with pydantic-ai-slim 2.68.0 (``pydantic_ai.messages``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of

_ROLES: Final = {
    "system-prompt": "system",
    "user-prompt": "user",
    "tool-return": "tool",
    "retry-prompt": "tool",
    "retry-feedback": "tool",
}


def prompt_of(messages: Sequence[Any], parameters: Any) -> Iterator[Message]:
    """Yield the messages of a prompt, oldest first; instructions come before them, as they are sent."""
    instructions = _instructions(messages, parameters)
    if instructions:
        yield Message("system", instructions)
    for message in messages:
        if message.kind == "response":
            yield answer_of(message)
            continue
        for part in message.parts:
            role = _ROLES.get(part.part_kind)
            if role is not None:
                yield Message(role, tuple(_said(part.content)))


def answer_of(response: Any) -> Message:
    """Read a model's answer."""
    texts: list[str] = []
    tools: list[str] = []
    for part in response.parts:
        if part.part_kind == "tool-call":
            tools.append(part.tool_name)
            texts += texts_of(part.args)
        else:
            texts += _said(getattr(part, "content", None))
    return Message("assistant", tuple(texts), tuple(tools))


def answer_facts(response: Any, reader: ContentReader) -> dict[str, Any]:
    """Describe an answer as span attributes: what the native span does not tell."""
    attributes = answer_attributes(answer_of(response), reader)
    if response.usage.input_tokens:
        attributes[semconv.CONTEXT_TOKENS] = response.usage.input_tokens
    attempts = getattr(response, "failed_attempts", None) or ()
    if attempts:
        attributes[semconv.RETRY_ATTEMPT] = len(attempts) + 1
    usages = [each.usage for each in attempts if getattr(each, "usage", None) is not None]
    if usages:
        # Answers that were rejected were paid for; their spans are no model calls of their own.
        usages.append(response.usage)
        attributes[semconv.TOTAL_INPUT_TOKENS] = sum(usage.input_tokens for usage in usages)
        attributes[semconv.TOTAL_OUTPUT_TOKENS] = sum(usage.output_tokens for usage in usages)
        attributes[semconv.TOTAL_CACHE_READ_TOKENS] = sum(usage.cache_read_tokens for usage in usages)
        attributes[semconv.TOTAL_CACHE_WRITE_TOKENS] = sum(usage.cache_write_tokens for usage in usages)
    return attributes


def _instructions(messages: Sequence[Any], parameters: Any) -> tuple[str, ...]:
    parts = getattr(parameters, "instruction_parts", None)
    if parts is not None:
        return tuple(part.content for part in parts)
    for message in reversed(messages):
        given = getattr(message, "instructions", None)
        if given:
            return (given,)
    return ()


def _said(content: Any) -> Iterator[str]:
    if isinstance(content, str) or not isinstance(content, list | tuple):
        yield from texts_of(content)
        return
    yield from _each(content)


def _each(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        yield from texts_of(item)
