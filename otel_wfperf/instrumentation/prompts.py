"""What is recorded of a prompt and its answer: sizes, hashes and tokens, never their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import takewhile
from typing import Any, Final, NamedTuple

from otel_wfperf import semconv
from otel_wfperf.conventions.content import size_bytes
from otel_wfperf.instrumentation.fragmenting import packed, sampled
from otel_wfperf.instrumentation.payload import ContentReader, read

# Chosen: more than any context window holds today (1 million tokens), so prompts are hashed whole.
_MAX_PROMPT_CHARS: Final = 4_000_000
# Chosen: looking for fragments in this much new text takes about 10 ms; a model call takes a hundred times that.
_MAX_NEW_CHARS: Final = 65_536
# Chosen: the agents of one execution; of more, the oldest prompt is compared with no more.
_MAX_SPEAKERS: Final = 1_000
_INSTRUCTING: Final = frozenset({"system", "developer"})


class Measure(NamedTuple):
    """What a prompt needs of one of its messages.

    Attributes:
        digest: Hash of what it says, of who says it, and of the tools that it asks for.
        size_bytes: Length of its texts (bytes).
        chars: The same (characters).
    """

    digest: bytes
    size_bytes: int
    chars: int


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
    # Kept here, because a message that comes again is often the same object.
    _measure: Measure | None = field(default=None, init=False, repr=False, compare=False)

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

    def measured(self, reader: ContentReader) -> Measure:
        """Hash and count it; once, however often this is asked."""
        measure = self._measure
        if measure is None:
            head = repr((self.role, self.tools)).encode(errors="backslashreplace")
            measure = self.measured_as(sha256(b"".join((head, *map(reader.digest, self.texts)))).digest())
        return measure

    def measured_as(self, digest: bytes) -> Measure:
        """Count it, and take what somebody hashed already for its hash."""
        measure = Measure(digest, self.size_bytes, sum(map(len, self.texts)))
        object.__setattr__(self, "_measure", measure)
        return measure


class _Prompt:
    """What a prompt came to, so that one that goes on from it needs to be looked at from there only.

    Attributes:
        messages: Oldest first.
        size_bytes: Length of their texts (bytes).
        chars: The same (characters).
        fragments: A sample of them all; None = there was too much new text to read.
        prefix_hash: Of the messages at the start that stay the same.
    """

    __slots__ = ("_hashed", "_instructions", "chars", "fragments", "messages", "prefix_hash", "size_bytes")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.size_bytes = 0
        self.chars = 0
        self.fragments: Sequence[int] | None = ()
        self.prefix_hash = ""
        self._hashed = sha256()
        self._instructions = True

    @property
    def hash(self) -> str:
        return self._hashed.hexdigest()[:16]

    def followed_by(self, messages: Sequence[Message], reader: ContentReader) -> _Prompt:
        """Describe a prompt that begins with this one."""
        longer = _Prompt()
        longer.messages, longer._hashed = [*self.messages, *messages], self._hashed.copy()
        longer.size_bytes, longer.chars = self.size_bytes, self.chars
        longer.prefix_hash, longer._instructions = self.prefix_hash, self._instructions
        for message in messages:
            measure = message.measured(reader)
            longer.size_bytes += measure.size_bytes
            longer.chars += measure.chars
            longer._hashed.update(measure.digest)
            if longer._instructions:
                # Without instructions, the first message is what may stay the same.
                longer._instructions = message.role in _INSTRUCTING
                if longer._instructions or not longer.prefix_hash:
                    longer.prefix_hash = longer.hash
        texts = [text for message in messages for text in message.texts]
        samples = reader.samples(texts, max_new_chars=_MAX_NEW_CHARS, searched=True)
        is_complete = self.fragments is not None and len(samples) == len(texts)
        longer.fragments = sampled([frozenset(self.fragments or ()), *samples]) if is_complete else None
        return longer


class Prompts:
    """The prompts of one execution: each is compared with the previous one of the same speaker.

    Attributes:
        reader: Reads what is new in them.
    """

    def __init__(self, reader: ContentReader | None = None) -> None:
        """Know no prompt yet."""
        self.reader = reader or ContentReader()
        self._previous: dict[str, _Prompt] = {}

    def attributes(self, speaker: str, messages: Iterable[Message]) -> dict[str, Any]:
        """Describe a prompt as span attributes.

        Args:
            speaker: The agent, else the phase, that sends it; "" = neither is known.
            messages: Oldest first.
        """
        sent = list(messages)
        previous = self._previous.pop(speaker, None)
        goes_on = previous is not None and previous.fragments is not None and _starts_with(sent, previous.messages)
        base = previous if previous is not None and goes_on else _Prompt()
        prompt = base.followed_by(sent[len(base.messages) :], self.reader)
        attributes: dict[str, Any] = {
            semconv.CONTEXT_BYTES: prompt.size_bytes,
            semconv.CONTEXT_MESSAGES: len(sent),
            semconv.INPUT_BYTES: prompt.size_bytes,
            semconv.PROMPT_HASH: prompt.hash,
            semconv.PROMPT_PREFIX_HASH: prompt.prefix_hash or prompt.hash,
        }
        if previous is not None:
            reused = previous.chars if goes_on else self._chars_in_both(sent, previous.messages)
            attributes[semconv.CONTEXT_REUSED_RATIO] = reused / prompt.chars if prompt.chars else 0.0
            attributes[semconv.CONTEXT_GROWTH] = prompt.size_bytes - previous.size_bytes
        if prompt.fragments:
            attributes[semconv.INPUT_FRAGMENTS] = packed(prompt.fragments)
        self._previous[speaker] = prompt
        if len(self._previous) > _MAX_SPEAKERS:
            self._previous.pop(next(iter(self._previous)), None)
        return attributes

    def _chars_in_both(self, now: Sequence[Message], before: Sequence[Message]) -> int:
        """Count the characters of the messages that start both prompts."""
        pairs = zip(now, before, strict=False)
        same = takewhile(lambda pair: pair[0] is pair[1] or pair[0] == pair[1], pairs)
        return sum(message.measured(self.reader).chars for message, _ in same)


def _starts_with(messages: list[Message], start: list[Message]) -> bool:
    return messages[: len(start)] == start


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
    measure = answer.measured(reader)
    attributes: dict[str, Any] = {
        semconv.RESPONSE_MODEL: model,
        semconv.RESPONSE_ID: response_id,
        semconv.OUTPUT_BYTES: measure.size_bytes,
        semconv.OUTPUT_HASH: sha256(measure.digest).hexdigest()[:16],
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
