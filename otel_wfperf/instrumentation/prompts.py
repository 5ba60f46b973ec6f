"""What is recorded of a prompt and its answer: sizes, hashes and tokens, never their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.content import content_hash, size_bytes
from otel_wfperf.instrumentation.payload import ContentReader, read

# Chosen: more than any context window holds today (1 million tokens), so prompts are hashed whole.
_MAX_PROMPT_CHARS: Final = 4_000_000
# Chosen: looking for fragments in this much new text takes about 10 ms; a model call takes a hundred times that.
_MAX_NEW_CHARS: Final = 65_536
# Chosen: the agents of one execution; of more, the oldest prompt is compared with no more.
_MAX_SPEAKERS: Final = 1_000
_INSTRUCTING: Final = frozenset({"system", "developer"})

# Identity and length (characters) of one message's text within this process.
Signature = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """What one message says.

    Attributes:
        role: Who says it, such as ``user`` or ``tool``.
        texts: Its content, and the arguments of the tool calls it asks for.
        tools: Names of the tools it asks for.
    """

    role: str
    texts: tuple[str, ...]
    tools: tuple[str, ...] = ()

    @classmethod
    def of_chat(cls, message: Mapping[str, Any]) -> Message:
        """Read a message as OpenAI's chat API spells it: role, content, tool_calls."""
        calls = [call.get("function") or {} for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
        said = [
            text
            for value in (message.get("content"), *(call.get("arguments") for call in calls))
            for text in texts_of(value)
        ]
        return cls(str(message.get("role")), tuple(said), tuple(str(call.get("name")) for call in calls))

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


class Prompts:
    """The prompts of one execution: each is compared with the previous one of the same speaker.

    Attributes:
        reader: Reads what is new in them.
    """

    def __init__(self, reader: ContentReader | None = None) -> None:
        """Know no prompt yet."""
        self.reader = reader or ContentReader()
        # Signatures of the messages, and the size (bytes), by speaker.
        self._previous: dict[str, tuple[tuple[Signature, ...], int]] = {}

    def attributes(self, speaker: str, messages: Iterable[Message]) -> dict[str, Any]:
        """Describe a prompt as span attributes.

        Args:
            speaker: The agent, else the phase, that sends it; "" = neither is known.
            messages: Oldest first.
        """
        sent = tuple(messages)
        prompt_bytes = sum(message.size_bytes for message in sent)
        whole = [message.canonical for message in sent]
        system = sum(1 for _ in takewhile(lambda message: message.role in _INSTRUCTING, sent))
        attributes: dict[str, Any] = {
            semconv.CONTEXT_BYTES: prompt_bytes,
            semconv.CONTEXT_MESSAGES: len(sent),
            semconv.INPUT_BYTES: prompt_bytes,
            semconv.PROMPT_HASH: content_hash(whole),
            # Without instructions, the first message is what may stay the same.
            semconv.PROMPT_PREFIX_HASH: content_hash(whole[: max(1, system)]),
        }
        signature = tuple(message.signature for message in sent)
        previous = self._previous.pop(speaker, None)
        if previous is not None:
            attributes[semconv.CONTEXT_REUSED_RATIO] = _reused_ratio(signature, previous[0])
            attributes[semconv.CONTEXT_GROWTH] = prompt_bytes - previous[1]
        self._previous[speaker] = signature, prompt_bytes
        while len(self._previous) > _MAX_SPEAKERS:
            self._previous.pop(next(iter(self._previous)), None)
        texts = [text for message in sent for text in message.texts]
        attributes.update(self.reader.input_fragments(texts, max_new_chars=_MAX_NEW_CHARS))
        return attributes


def answer_attributes(
    answer: Message,
    reader: ContentReader,
    *,
    model: str | None = None,
    response_id: str | None = None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    """Describe the answer of a model as span attributes; what is None is left out.

    Args:
        answer: What it says.
        reader: As for :class:`Prompts`.
        model: The model that answered.
        response_id: The provider's identity of the answer.
        finish_reason: Why it stopped.
    """
    attributes: dict[str, Any] = {
        semconv.RESPONSE_MODEL: model,
        semconv.RESPONSE_ID: response_id,
        semconv.OUTPUT_BYTES: answer.size_bytes,
        semconv.OUTPUT_HASH: content_hash(answer.canonical),
        semconv.FINISH_REASONS: (finish_reason,) if finish_reason else None,
    }
    attributes.update(reader.output_fragments(answer.texts, max_new_chars=_MAX_NEW_CHARS))
    return {name: value for name, value in attributes.items() if value is not None}


def usage_attributes(
    *,
    given: int | None,
    answered: int | None,
    cache_read: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
) -> dict[str, int]:
    """Spell the usage of one model call as span attributes; what is None is left out.

    Args:
        given: Prompt tokens, cached ones included.
        answered: Completion tokens, reasoning included.
        cache_read: Part of ``given`` that came from the provider's cache (tokens).
        cache_write: Part of ``given`` that was written to the cache (tokens).
        reasoning: Part of ``answered`` (tokens).
    """
    counts = {
        semconv.INPUT_TOKENS: given,
        semconv.CONTEXT_TOKENS: given,
        semconv.OUTPUT_TOKENS: answered,
        semconv.CACHE_READ_TOKENS: cache_read,
        semconv.CACHE_WRITE_TOKENS: cache_write,
        semconv.REASONING_TOKENS: reasoning,
    }
    return {name: int(count) for name, count in counts.items() if count is not None}


def texts_of(value: object) -> Sequence[str]:
    """Return the strings in some content: text, parts, or the arguments of a call."""
    if isinstance(value, str):
        return (value,)
    return () if value is None else read(value, max_chars=_MAX_PROMPT_CHARS).texts


def _reused_ratio(now: Sequence[Signature], before: Sequence[Signature]) -> float:
    """Share of the prompt's characters in messages that start both prompts (0..1)."""
    total = sum(length for _, length in now)
    reused = 0
    for message, previous in zip(now, before, strict=False):
        if message != previous:
            break
        reused += message[1]
    return reused / total if total else 0.0
