"""Reading LangChain's messages and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from otel_wfperf import semconv
from otel_wfperf.instrumentation.known_messages import KnownMessages
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, usage_attributes

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult


class Conversation:
    """The messages of one execution, each read once."""

    __slots__ = ("_known", "_latest", "_reader")

    def __init__(self, reader: ContentReader) -> None:
        """Know no message yet.

        Args:
            reader: Reads their content.
        """
        self._reader = reader
        self._known: KnownMessages[Message] = KnownMessages()
        self._latest: tuple[Sequence[BaseMessage], list[Message]] = ((), [])

    def read(self, message: BaseMessage) -> Message:
        """Read a message, unless it was read before."""
        stored = vars(message)
        found = self._known.find(message, stored)
        if found is not None:
            return found
        read = self._reader.message(message)
        calls = stored.get("tool_calls") or ()
        found = Message(message.type, tuple(read.texts), tuple([str(call.get("name")) for call in calls]))
        found.measured_as(read.digest.encode())
        return self._known.remember(message, stored, found)

    def answer_attributes(self, result: LLMResult) -> dict[str, Any]:
        """Describe what the answer of a model says as span attributes."""
        message = response_message(result)
        if message is not None:
            return answer_attributes(self.read(message), self._reader)
        generation = result.generations[0][0] if result.generations and result.generations[0] else None
        return answer_attributes(Message("ai", (str(getattr(generation, "text", "")),)), self._reader)

    def read_all(self, messages: Sequence[BaseMessage]) -> list[Message]:
        """Read a prompt; one that goes on from the one before it is read from there."""
        before, found = self._latest
        goes_on = len(messages) >= len(before) and all(map(is_, messages, before))
        found = found + list(map(self.read, messages[len(before) :])) if goes_on else list(map(self.read, messages))
        self._latest = tuple(messages), found
        return found


def response_attributes(result: LLMResult) -> dict[str, Any]:
    """Describe the answer of a model as span attributes, but for what it says."""
    message = response_message(result)
    metadata: Mapping[str, Any] = getattr(message, "response_metadata", None) or {}
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    if reason is None and result.generations and result.generations[0]:
        reason = (getattr(result.generations[0][0], "generation_info", None) or {}).get("finish_reason")
    attributes = {
        semconv.RESPONSE_MODEL: metadata.get("model_name") or metadata.get("model"),
        semconv.RESPONSE_ID: response_id(message),
        semconv.FINISH_REASONS: (reason,) if isinstance(reason, str) and reason else None,
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return known | _token_attributes(message, result)


def response_message(result: LLMResult) -> BaseMessage | None:
    """Return the first answer; None for a model that is not a chat model."""
    if not result.generations or not result.generations[0]:
        return None
    return getattr(result.generations[0][0], "message", None)


def response_id(message: BaseMessage | None) -> str | None:
    """Return the provider's identity of an answer, or LangChain's own."""
    if message is None:
        return None
    given = message.response_metadata.get("id")
    return given if isinstance(given, str) and given else message.id


def tool_call_ids(message: BaseMessage | None) -> list[str]:
    """List the tool calls that an answer asks for."""
    return [str(call["id"]) for call in getattr(message, "tool_calls", None) or () if call.get("id")]


def _token_attributes(message: BaseMessage | None, result: LLMResult) -> dict[str, int]:
    usage = getattr(message, "usage_metadata", None)
    if not usage:
        old = (result.llm_output or {}).get("token_usage") or {}
        usage = {"input_tokens": old.get("prompt_tokens"), "output_tokens": old.get("completion_tokens")}
    read_from = usage.get("input_token_details") or {}
    written_to = usage.get("output_token_details") or {}
    return usage_attributes(
        given=usage.get("input_tokens"),
        answered=usage.get("output_tokens"),
        cache_read=read_from.get("cache_read"),
        cache_write=read_from.get("cache_creation"),
        reasoning=written_to.get("reasoning"),
    )
