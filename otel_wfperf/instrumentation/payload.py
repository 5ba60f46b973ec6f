"""What is recorded of content: its size, its hash, and hashes of its fragments; never the text.

Everything here works on the user's live objects, so it reads only what cannot have side
effects: built-in containers, text, numbers, and the stored fields of messages, dataclasses
and pydantic models. Work is bounded: what does not fit is left out, and then no claim is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from otel_wfperf import semconv
from otel_wfperf.analysis.fragments import merged, packed
from otel_wfperf.conventions.content import content_hash, fragments_of, size_bytes
from otel_wfperf.instrumentation.failures import count_failure

# Chosen: looking for fragments in this much new text takes about 3 ms, once per phase or tool call.
MAX_NEW_CHARS: Final = 16_384
# Chosen: hashing this much takes about 1 ms.
MAX_CHARS: Final = 131_072
# Chosen: walking over these takes about 1 ms; a list of embeddings has more.
MAX_VALUES: Final = 2_000
_MAX_DEPTH: Final = 12
_MAX_KNOWN_TEXTS: Final = 4_096

# Of a LangChain message, and of one written as a dict. The rest differs in every run, or nobody said it.
_MESSAGE_FIELDS: Final = ("content", "tool_calls", "name")
_NOISE: Final = frozenset({"additional_kwargs", "response_metadata", "usage_metadata", "run_id", "tool_call_id", "id"})
_LABELS: Final = frozenset({"role", "name", "type"})
# Source: conventions/messages.py; shorter numbers are counts and scores.
_MIN_IDENTIFYING_NUMBER: Final = 10_000


class Payload(NamedTuple):
    """A value, read.

    Attributes:
        canonical: JSON value that is equal for equal content.
        texts: The strings in it that somebody said.
        size_bytes: Length of all text and numbers (bytes, UTF-8).
        is_complete: Whether all of it was read; if not, the other attributes are about a part.
    """

    canonical: object
    texts: Sequence[str]
    size_bytes: int
    is_complete: bool


def read(value: object, *, max_chars: int = MAX_CHARS, max_values: int = MAX_VALUES) -> Payload:
    """Read a value.

    Args:
        value: Anything; objects of unknown type count as their type's name.
        max_chars: Most text to read (characters).
        max_values: Most values to look at (count).
    """
    walk = _Walk(max_chars, max_values)
    canonical = walk.plain(value, 0)
    return Payload(canonical, walk.texts, walk.size_bytes, walk.is_complete)


class ContentReader:
    """Describes content, and remembers the fragments of texts that come again.

    State and prompts grow: most of what an operation is given was read for an earlier one.
    """

    def __init__(self) -> None:
        """Know no text yet."""
        self._known: dict[tuple[int, int, bool], frozenset[int]] = {}

    def input_attributes(self, value: object, *, hashed: bool = True) -> dict[str, Any]:
        """Describe what an operation was given, as span attributes; nothing if it cannot be read.

        Args:
            value: The arguments, or the state.
            hashed: Whether to hash it; the state of a graph is never the same twice.
        """
        try:
            payload = read(value)
            if not payload.is_complete:
                # Of a part, nothing could be trusted: equal hashes would not mean equal values, and a
                # missing fragment would not mean that the input does not hold it.
                return {}
            attributes = self.input_fragments(payload.texts)
            attributes[semconv.INPUT_BYTES] = payload.size_bytes
            if hashed:
                attributes[semconv.INPUT_HASH] = content_hash(payload.canonical)
        except Exception:  # noqa: BLE001 - live objects: another thread may change them, their methods may raise
            count_failure("content.input")
            return {}
        return attributes

    def output_attributes(self, value: object) -> dict[str, Any]:
        """Describe a result, as span attributes; nothing if it cannot be read."""
        try:
            payload = read(value)
            attributes = self.output_fragments(payload.texts)
            if payload.is_complete:
                attributes[semconv.OUTPUT_BYTES] = payload.size_bytes
                attributes[semconv.OUTPUT_HASH] = content_hash(payload.canonical)
        except Exception:  # noqa: BLE001 - as above
            count_failure("content.output")
            return {}
        return attributes

    def input_fragments(self, texts: Sequence[str], *, max_new_chars: int = MAX_NEW_CHARS) -> dict[str, Any]:
        """Write the fragments of an input as an attribute; nothing if there is too much new text to read."""
        samples = self._samples(texts, max_new_chars, searched=True)
        return _attribute(semconv.INPUT_FRAGMENTS, samples) if len(samples) == len(texts) else {}

    def output_fragments(self, texts: Sequence[str], *, max_new_chars: int = MAX_NEW_CHARS) -> dict[str, Any]:
        """Write the fragments of a result as an attribute; some are enough, because any that turns up is proof."""
        return _attribute(semconv.OUTPUT_FRAGMENTS, self._samples(texts, max_new_chars, searched=False))

    def _samples(self, texts: Sequence[str], max_new_chars: int, *, searched: bool) -> list[frozenset[int]]:
        """Look up or find the fragments of each text, as long as there is room for new ones."""
        samples: list[frozenset[int]] = []
        for text in texts:
            key = (hash(text), len(text), searched)
            sample = self._known.get(key)
            if sample is None:
                max_new_chars -= len(text)
                if max_new_chars < 0:
                    break
                sample = self._known[key] = fragments_of((text,), searched=searched)
            samples.append(sample)
        while len(self._known) > _MAX_KNOWN_TEXTS:
            self._known.pop(next(iter(self._known)), None)
        return samples


def _attribute(name: str, samples: Sequence[frozenset[int]]) -> dict[str, Any]:
    text = _packed(tuple(samples))
    return {name: text} if text else {}


# Chosen: what is current in some executions at once; the largest entries together hold about 2 MB.
@lru_cache(maxsize=64)
def _packed(samples: tuple[frozenset[int], ...]) -> str:
    return packed(merged(samples))


class _Walk:
    """One walk through live objects, which turns them into JSON values and collects what is said in them."""

    def __init__(self, max_chars: int, max_values: int) -> None:
        self.texts: list[str] = []
        self.size_bytes = 0
        self.is_complete = True
        self._chars_left = max_chars
        self._values_left = max_values

    def plain(self, value: object, depth: int, *, in_message: bool = False) -> object:
        self._values_left -= 1
        if self._values_left < 0 or depth > _MAX_DEPTH:
            self.is_complete = False
            return None
        if isinstance(value, str):
            return self._said(self._text(value))
        if value is None or isinstance(value, bool | int | float):
            self.size_bytes += 8
            if type(value) is int and _MIN_IDENTIFYING_NUMBER <= abs(value) < 10**40:
                self._said(str(value))
            return value
        if isinstance(value, bytes | bytearray):
            self.size_bytes += len(value)
            return content_hash(value.hex())
        return self._container(value, depth + 1, in_message)

    def _container(self, value: object, depth: int, in_message: bool) -> object:  # noqa: FBT001 - called twice, above
        if isinstance(value, dict):
            return self._mapping(value, depth, in_message or ("content" in value and "role" in value))
        if isinstance(value, list | tuple):
            return [self.plain(each, depth, in_message=in_message) for each in self._some(value)]
        if isinstance(value, set | frozenset):
            # Sets have no order of their own, and that of strings differs from process to process.
            return sorted((self.plain(each, depth) for each in self._some(value)), key=repr)
        return self._object(value, depth)

    def _mapping(self, value: Mapping[Any, object], depth: int, in_message: bool) -> dict[str, object]:  # noqa: FBT001
        plain: dict[str, object] = {}
        for key, each in self._some(value.items()):
            name = self._text(key) if isinstance(key, str) else f"{type(key).__name__} {hash(key)}"
            if name in _NOISE:
                continue
            # Names of roles and tools are part of what is hashed, but nobody said them.
            is_label = in_message and name in _LABELS and isinstance(each, str)
            plain[name] = self._text(str(each)) if is_label else self.plain(each, depth, in_message=in_message)
        return plain

    def _object(self, value: object, depth: int) -> object:
        kind = type(value)
        if hasattr(kind, "__dataclass_fields__"):
            stored = {name: getattr(value, name, None) for name in kind.__dataclass_fields__}
        elif hasattr(kind, "model_fields"):
            stored = vars(value)
            if "content" in stored and "response_metadata" in stored:
                spoken = {name: stored[name] for name in _MESSAGE_FIELDS if stored.get(name)}
                return self._mapping({"role": stored.get("type"), **spoken}, depth, True)  # noqa: FBT003
        else:
            return kind.__name__
        return self._mapping(stored, depth, False)  # noqa: FBT003

    def _some(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items that may still be read; the rest would only be counted one by one."""
        return islice(items, max(0, self._values_left) + 1)

    def _text(self, text: str) -> str:
        self.size_bytes += size_bytes(text)
        if len(text) > self._chars_left:
            self.is_complete = False
            text = text[: max(0, self._chars_left)]
        self._chars_left -= len(text)
        return text

    def _said(self, text: str) -> str:
        if text:
            self.texts.append(text)
        return text
