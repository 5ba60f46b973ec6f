"""What is recorded of content: its size, its hash, and hashes of its fragments; never the text.

Work is bounded: what does not fit is left out, and then no claim is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeGuard

from opentelemetry.trace import Span

from otel_wfperf import semconv
from otel_wfperf.conventions.content import content_hash
from otel_wfperf.instrumentation.describing import describe
from otel_wfperf.instrumentation.failures import count_failure
from otel_wfperf.instrumentation.fragmenting import Fragments, fragments_of_text, packed, sampled
from otel_wfperf.instrumentation.walk import MAX_CHARS, MAX_VALUES, Known, Payload, ReadMessage, canonical_json, read

__all__ = ["MAX_CHARS", "MAX_VALUES", "ContentReader", "Payload", "hash_of", "read"]

# Chosen: looking for fragments in this much new text takes about 3 ms, once per phase or tool call.
MAX_NEW_CHARS: Final = 16_384
_MAX_KNOWN_TEXTS: Final = 4_096
_UNKNOWN: Final = Fragments(None, None)
_TEXT: Final = {str}
# Chosen: more than any context window holds today (1 million tokens), so that prompts are hashed whole.
_MAX_MESSAGE_CHARS: Final = 4_000_000
# Chosen: hashing less takes no longer than looking it up.
_LONG_CHARS: Final = 1_000
# What a node that changes nothing returns.
_NOTHING: Final[Sequence[Any]] = ({}, [], None)
_HASHES_OF_NOTHING: Final = {type(each): content_hash(each) for each in _NOTHING}
_DESCRIBED_NOTHING: Final[Mapping[type, Mapping[str, Any]]] = {
    type(each): {semconv.OUTPUT_BYTES: read(each).size_bytes, semconv.OUTPUT_HASH: content_hash(each)}
    for each in _NOTHING
}


class ContentReader:
    """Describes content, and remembers the fragments of texts that come again.

    State and prompts grow: most of what an operation is given was read for an earlier one.
    """

    def __init__(self) -> None:
        """Know no text yet."""
        self._known: dict[tuple[int, int], Fragments] = {}
        # Texts of the latest input with what was found: most nodes of a graph are given what the one before them was.
        self._latest: tuple[Sequence[str], dict[str, Any]] = ((), {})
        self._seen = Known()
        self._same: _Input | None = None
        self._digests: dict[tuple[int, int], bytes] = {}

    def message(self, message: object) -> ReadMessage:
        """Read a message, whole; once, as long as it stays what it is."""
        found = self._seen.messages.find(message, vars(message))
        if found is None:
            payload = read(message, max_chars=_MAX_MESSAGE_CHARS, known=self._seen)
            # A message whose content is more than one text is not remembered.
            found = self._seen.messages.find(message, vars(message)) or ReadMessage(
                str(payload.canonical), payload.texts, payload.size_bytes, 0, 0
            )
        return found

    def describe_input(self, span: Span, value: object, *, hashed: bool = True) -> None:
        """Describe on its span what an operation was given; nothing if it cannot be read.

        Args:
            span: It has not ended.
            value: The arguments, or the state.
            hashed: Whether to hash it; the state of a graph is never the same twice.
        """
        same = self._same
        if hashed or same is None or not same.is_again(value):
            payload = self._read_input(value)
            if hashed or not _is_flat(value):
                if payload is not None:
                    describe(span, lambda: self._input_attributes(payload, hashed=hashed))
                return
            make = None if payload is None else lambda: self._input_attributes(payload, hashed=False)
            same = self._same = _Input(value, make)
        if same.is_readable:
            describe(span, same.attributes)

    def describe_output(self, span: Span, value: object) -> Mapping[str, Any]:
        """Describe a result on the span of the operation that ends now; return what is to be set when it ends."""
        kind = type(value)
        if kind in _DESCRIBED_NOTHING and not value:
            return _DESCRIBED_NOTHING[kind]
        payload = self._read_output(value)
        if payload is not None:
            describe(span, lambda: self._output_attributes(payload))
        return {}

    def input_attributes(self, value: object, *, hashed: bool = True) -> dict[str, Any]:
        """Do what :meth:`describe_input` does for whoever writes the attributes."""
        payload = self._read_input(value)
        return {} if payload is None else self._input_attributes(payload, hashed=hashed)

    def output_attributes(self, value: object) -> dict[str, Any]:
        """Do what :meth:`describe_output` does for whoever writes the attributes."""
        payload = self._read_output(value)
        return {} if payload is None else self._output_attributes(payload)

    def _read_input(self, value: object) -> Payload | None:
        try:
            payload = read(value, in_part=False, known=self._seen)
        except Exception:  # noqa: BLE001 - live objects: another thread may change them, their methods may raise
            count_failure("content.input")
            return None
        # Of a part, nothing could be trusted: equal hashes would not mean equal values, and a missing fragment would
        # not mean that the input does not hold it.
        return payload if payload.is_complete else None

    def _read_output(self, value: object) -> Payload | None:
        try:
            return read(value, known=self._seen)
        except Exception:  # noqa: BLE001 - as above
            count_failure("content.output")
            return None

    def _input_attributes(self, payload: Payload, *, hashed: bool) -> dict[str, Any]:
        try:
            attributes = self.input_fragments(payload.texts)
            attributes[semconv.INPUT_BYTES] = payload.size_bytes
            if hashed:
                attributes[semconv.INPUT_HASH] = hash_of(payload.canonical)
        except Exception:  # noqa: BLE001 - text may be of any kind
            count_failure("content.input")
            return {}
        return attributes

    def _output_attributes(self, payload: Payload) -> dict[str, Any]:
        try:
            attributes = self.output_fragments(payload.texts)
            if payload.is_complete:
                attributes[semconv.OUTPUT_BYTES] = payload.size_bytes
                attributes[semconv.OUTPUT_HASH] = hash_of(payload.canonical)
        except Exception:  # noqa: BLE001 - as above
            count_failure("content.output")
            return {}
        return attributes

    def input_fragments(self, texts: Sequence[str], *, max_new_chars: int = MAX_NEW_CHARS) -> dict[str, Any]:
        """Write the fragments of an input as an attribute; nothing if there is too much new text to read."""
        latest_texts, found = self._latest
        if texts != latest_texts:
            samples = self.samples(texts, max_new_chars=max_new_chars, searched=True)
            if len(samples) < len(texts):
                return {}
            found = _attribute(semconv.INPUT_FRAGMENTS, samples)
            self._latest = texts, found
        return found.copy()

    def output_fragments(self, texts: Sequence[str], *, max_new_chars: int = MAX_NEW_CHARS) -> dict[str, Any]:
        """Write the fragments of a result as an attribute; some are enough, because any that turns up is proof."""
        samples = self.samples(texts, max_new_chars=max_new_chars, searched=False)
        return _attribute(semconv.OUTPUT_FRAGMENTS, samples)

    def digest(self, text: str) -> bytes:
        """Hash a text (32 bytes); a long one that comes again is not hashed again."""
        if len(text) < _LONG_CHARS:
            return sha256(text.encode(errors="backslashreplace")).digest()
        key = (hash(text), len(text))
        digest = self._digests.get(key)
        if digest is None:
            digest = self._digests[key] = sha256(text.encode(errors="backslashreplace")).digest()
            if len(self._digests) > _MAX_KNOWN_TEXTS:
                self._digests.pop(next(iter(self._digests)), None)
        return digest

    def samples(self, texts: Sequence[str], *, max_new_chars: int, searched: bool) -> list[frozenset[int]]:
        """Look up or find the fragments of each text, as long as there is room for new ones.

        Args:
            texts: What somebody said.
            max_new_chars: Most text to look for fragments in (characters).
            searched: Whether results are to be found in them, or they are results.
        """
        samples: list[frozenset[int]] = []
        for text in texts:
            key = (hash(text), len(text))
            known = self._known.get(key, _UNKNOWN)
            sample = known.searched if searched else known.result
            if sample is None:
                max_new_chars -= len(text)
                if max_new_chars < 0:
                    break
                found = fragments_of_text(text, searched=searched)
                known = self._known[key] = Fragments(found.result or known.result, found.searched or known.searched)
                sample = (known.searched if searched else known.result) or frozenset()
            samples.append(sample)
        while len(self._known) > _MAX_KNOWN_TEXTS:
            self._known.pop(next(iter(self._known)), None)
        return samples


class _Input:
    """The latest state that a node was given, which is often that of the next one, too: that is not read again.

    Attributes:
        is_readable: Whether there is something to say about it.
    """

    __slots__ = ("_found", "_make", "_value", "is_readable")

    def __init__(self, value: Mapping[str, Any], make: Callable[[], Mapping[str, Any]] | None) -> None:
        """Keep a copy of a flat state; ``make`` finds out its attributes, once somebody asks; None = unreadable."""
        self._value = {name: list(each) if type(each) is list else each for name, each in value.items()}
        self._make = make
        self._found: Mapping[str, Any] = {}
        self.is_readable = make is not None

    def is_again(self, value: object) -> bool:
        """Compare, which takes no time where the texts are the same objects."""
        try:
            return type(value) is dict and self._value == value
        except Exception:  # noqa: BLE001 - what stands there now may be anything
            return False

    def attributes(self) -> Mapping[str, Any]:
        """Return what is recorded of it."""
        make = self._make
        if make is not None:
            self._found, self._make = make(), None
        return self._found


def _is_flat(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a state consists of texts and lists of texts: of these, those that are equal say the same."""
    return (
        type(value) is dict
        and set(map(type, value)) <= _TEXT
        and all(type(each) is str or (type(each) is list and set(map(type, each)) <= _TEXT) for each in value.values())
    )


def hash_of(canonical: object) -> str:
    """Hash a canonical value as ``content_hash`` does, which takes twice as long for a small one."""
    if not canonical or isinstance(canonical, str):
        return _HASHES_OF_NOTHING.get(type(canonical)) or content_hash(canonical)
    try:
        text = canonical_json(canonical)
    except (ValueError, TypeError, RecursionError):
        return content_hash(canonical)
    return sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]


def _attribute(name: str, samples: Sequence[frozenset[int]]) -> dict[str, Any]:
    text = packed(sampled(samples))
    return {name: text} if text else {}
