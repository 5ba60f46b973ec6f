"""Reading LangChain's messages and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult


def message_of(message: BaseMessage) -> Message:
    """Read a message."""
    calls = getattr(message, "tool_calls", None) or ()
    arguments = [text for call in calls for text in texts_of(call.get("args"))]
    return Message(
        message.type, (*texts_of(message.content), *arguments), tuple(str(call.get("name")) for call in calls)
    )


def response_attributes(result: LLMResult, reader: ContentReader) -> dict[str, Any]:
    """Describe the answer of a model as span attributes."""
    message = response_message(result)
    generation = result.generations[0][0] if result.generations and result.generations[0] else None
    metadata: Mapping[str, Any] = getattr(message, "response_metadata", None) or {}
    info: Mapping[str, Any] = getattr(generation, "generation_info", None) or {}
    answer = message_of(message) if message is not None else Message("ai", (str(getattr(generation, "text", "")),))
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or info.get("finish_reason")
    attributes = answer_attributes(
        answer,
        reader,
        model=metadata.get("model_name") or metadata.get("model"),
        response_id=response_id(message),
        finish_reason=reason if isinstance(reason, str) else None,
    )
    return attributes | _token_attributes(message, result)


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
