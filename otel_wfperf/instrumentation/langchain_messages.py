"""What the messages of a model call say: sizes, hashes and tokens, never their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.content import content_hash, size_bytes
from otel_wfperf.instrumentation.payload import ContentReader, read

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

# Chosen: more than any context window holds today (1 million tokens), so prompts are hashed whole.
_MAX_PROMPT_CHARS: Final = 4_000_000
# Chosen: looking for fragments in this much new text takes about 10 ms; a model call takes a hundred times that.
_MAX_NEW_CHARS: Final = 65_536
_INSTRUCTING: Final = frozenset({"system", "developer"})

# Identity and length (characters) of one message's text within this process.
Signature = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """What one message says.

    Attributes:
        role: Who says it, such as ``human`` or ``tool``.
        texts: Its content, and the arguments of the tool calls it asks for.
        tools: Names of the tools it asks for.
    """

    role: str
    texts: tuple[str, ...]
    tools: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: BaseMessage) -> Message:
        """Read a LangChain message."""
        content = message.content
        calls = getattr(message, "tool_calls", None) or ()
        texts = (content,) if isinstance(content, str) else _texts(content)
        arguments = [text for call in calls for text in _texts(call.get("args"))]
        return cls(message.type, (*texts, *arguments), tuple(str(call.get("name")) for call in calls))

    @property
    def size_bytes(self) -> int:
        """Length of the texts (bytes)."""
        return sum(map(size_bytes, self.texts))

    @property
    def signature(self) -> Signature:
        """Compare messages of one process by this."""
        return hash(self), sum(map(len, self.texts))

    @property
    def canonical(self) -> list[object]:
        """Hash this."""
        return [self.role, self.texts, self.tools]


class Prompt:
    """The messages sent to a model.

    Attributes:
        messages: Oldest first.
        signature: Identity of each message, to compare with the next call.
    """

    __slots__ = ("messages", "signature")

    def __init__(self, messages: Iterable[Message]) -> None:
        """Sign each message."""
        self.messages = tuple(messages)
        self.signature = tuple(message.signature for message in self.messages)

    def attributes(self, previous: Sequence[Signature] | None, reader: ContentReader) -> dict[str, Any]:
        """Describe the prompt as span attributes.

        Args:
            previous: Signature of the same agent's previous prompt; None = this is the first.
            reader: Reads what is new in it.
        """
        prompt_bytes = sum(message.size_bytes for message in self.messages)
        whole = [message.canonical for message in self.messages]
        system = sum(1 for _ in takewhile(lambda message: message.role in _INSTRUCTING, self.messages))
        attributes: dict[str, Any] = {
            semconv.CONTEXT_BYTES: prompt_bytes,
            semconv.CONTEXT_MESSAGES: len(self.messages),
            semconv.INPUT_BYTES: prompt_bytes,
            semconv.PROMPT_HASH: content_hash(whole),
            # Without instructions, the first message is what may stay the same.
            semconv.PROMPT_PREFIX_HASH: content_hash(whole[: max(1, system)]),
        }
        if previous is not None:
            attributes[semconv.CONTEXT_REUSED_RATIO] = _reused_ratio(self.signature, previous)
        texts = [text for message in self.messages for text in message.texts]
        attributes.update(reader.input_fragments(texts, max_new_chars=_MAX_NEW_CHARS))
        return attributes


def _texts(value: object) -> Sequence[str]:
    return read(value, max_chars=_MAX_PROMPT_CHARS).texts


def response_attributes(result: LLMResult, reader: ContentReader) -> dict[str, Any]:
    """Describe the answer of a model as span attributes."""
    message = response_message(result)
    generation = result.generations[0][0] if result.generations and result.generations[0] else None
    metadata: Mapping[str, Any] = getattr(message, "response_metadata", None) or {}
    info: Mapping[str, Any] = getattr(generation, "generation_info", None) or {}
    answer = Message.of(message) if message is not None else Message("ai", (str(getattr(generation, "text", "")),))
    attributes: dict[str, Any] = {
        semconv.RESPONSE_MODEL: metadata.get("model_name") or metadata.get("model"),
        semconv.RESPONSE_ID: response_id(message),
        semconv.OUTPUT_BYTES: answer.size_bytes,
        semconv.OUTPUT_HASH: content_hash(answer.canonical),
    }
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or info.get("finish_reason")
    if isinstance(reason, str):
        attributes[semconv.FINISH_REASONS] = (reason,)
    attributes.update(_token_attributes(message, result))
    attributes.update(reader.output_fragments(answer.texts, max_new_chars=_MAX_NEW_CHARS))
    return {name: value for name, value in attributes.items() if value is not None}


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
    counts = {
        semconv.INPUT_TOKENS: usage.get("input_tokens"),
        semconv.CONTEXT_TOKENS: usage.get("input_tokens"),
        semconv.OUTPUT_TOKENS: usage.get("output_tokens"),
        semconv.CACHE_READ_TOKENS: read_from.get("cache_read"),
        semconv.CACHE_WRITE_TOKENS: read_from.get("cache_creation"),
        semconv.REASONING_TOKENS: written_to.get("reasoning"),
    }
    return {name: int(count) for name, count in counts.items() if count is not None}


def _reused_ratio(now: Sequence[Signature], before: Sequence[Signature]) -> float:
    """Share of the prompt's characters in messages that start both prompts (0..1)."""
    total = sum(length for _, length in now)
    reused = 0
    for message, previous in zip(now, before, strict=False):
        if message != previous:
            break
        reused += message[1]
    return reused / total if total else 0.0
