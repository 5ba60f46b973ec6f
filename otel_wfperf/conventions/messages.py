"""What captured content says, without the boilerplate of the library that serialised it.

Two spans that were given the same messages must look the same even though every message carries a fresh id,
and "some of A's output is in B's input" must not be true of JSON keys, type tags and run ids.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_PARSED_CHARS: Final = 1_000_000
_MAX_DEPTH: Final = 40
# Chosen: a million characters of JSON hold fewer values worth reading; a value that holds itself has no end.
_MAX_VALUES: Final = 100_000

_SPEAKERS: Final = frozenset({"human", "ai", "system", "tool", "function", "chat", "AIMessageChunk"})
_MESSAGE_BODY: Final = frozenset({"content", "parts", "tool_calls", "text"})
# Present in messages of LangChain 1.x, OpenAI and the GenAI conventions; none of it is said by anybody.
_MESSAGE_NOISE: Final = frozenset({"id", "type", "index", "tool_call_id", "call_id", "status", "finish_reason"})
_NOISE: Final = frozenset(
    {
        "additional_kwargs",
        "callbacks",
        "generation_info",
        "invalid_tool_calls",
        "llm_output",
        "logprobs",
        "response_metadata",
        "run_id",
        "system_fingerprint",
        "token_usage",
        "usage_metadata",
    }
)
# Kept in the canonical form, but common to unrelated messages, so no evidence that one was made from the other.
_LABELS: Final = frozenset({"role", "name"})
# Shorter numbers are counts and scores; longer ones identify something.
_MIN_IDENTIFYING_NUMBER: Final = 10_000


@dataclass(frozen=True, slots=True)
class Said:
    """Content without boilerplate.

    Attributes:
        canonical: JSON value that is equal for equal content.
        texts: The strings (and identifying numbers) said, in order.
        messages: How many messages were found.
    """

    canonical: Any
    texts: tuple[str, ...]
    messages: int


def said(value: object) -> Said:
    """Read content: text, JSON text, or the value itself."""
    reading = _Reading()
    canonical = reading.read(value, 0)
    return Said(canonical, tuple(reading.texts), reading.messages)


def parsed(value: object) -> object:
    """Parse a string that is a JSON object or array; return anything else unchanged."""
    if isinstance(value, str) and len(value) <= MAX_PARSED_CHARS and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


class _Reading:
    """One walk through a value, collecting what is said on the way."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.messages = 0
        self._room = _MAX_VALUES

    def read(self, value: object, depth: int, *, in_message: bool = False) -> object:
        self._room -= 1
        if depth > _MAX_DEPTH or self._room < 0:
            return None
        value = parsed(value)
        if isinstance(value, str):
            self._say(value)
            return value
        if isinstance(value, Mapping):
            return self._read_mapping(value, depth, in_message=in_message)
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self.read(each, depth + 1, in_message=in_message) for each in value]
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _MIN_IDENTIFYING_NUMBER:
            self._say(f"{value:d}" if abs(value) < 10**40 else "")
        return value

    def _read_mapping(self, value: Mapping[object, object], depth: int, *, in_message: bool) -> object:
        body = _langchain_body(value)
        if body is not None:
            return self.read(body, depth + 1, in_message=True)
        generations = value.get("generations")
        if isinstance(generations, Sequence) and not isinstance(generations, str):
            return self.read(generations, depth + 1)
        message = value.get("message")
        if isinstance(message, Mapping) and "text" in value:  # LangChain's generation says its text twice
            return self.read(message, depth + 1)
        is_message = _is_message(value)
        self.messages += is_message
        return self._read_entries(value, depth, in_message=in_message or is_message)

    def _read_entries(self, value: Mapping[object, object], depth: int, *, in_message: bool) -> object:
        canonical: dict[str, object] = {}
        for key, each in value.items():
            name = str(key)
            if name in _NOISE or (in_message and name in _MESSAGE_NOISE):
                continue
            if in_message and name in _LABELS:
                canonical[name] = each if isinstance(each, str) else None
            else:
                canonical[name] = self.read(each, depth + 1, in_message=in_message)
        return canonical

    def _say(self, text: str) -> None:
        if text:
            self.texts.append(text)


def _langchain_body(value: Mapping[object, object]) -> Mapping[object, object] | None:
    """Return the message inside LangChain's two ways of serialising one (dumps and message_to_dict)."""
    kind = value.get("type")
    if kind == "constructor" and isinstance(body := value.get("kwargs"), Mapping):
        return {"role": body.get("type"), **body}
    if isinstance(kind, str) and len(value) == 2 and isinstance(body := value.get("data"), Mapping):
        return {"role": kind, **body}
    return None


def _is_message(value: Mapping[object, object]) -> bool:
    kind = value.get("type")
    speaks = "role" in value or (isinstance(kind, str) and kind in _SPEAKERS)
    return speaks and not _MESSAGE_BODY.isdisjoint(str(key) for key in value)
