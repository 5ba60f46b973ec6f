"""One walk through live objects, which turns them into JSON values and collects what is said in them.

It reads only what cannot have side effects: built-in containers, text, numbers, and the stored fields of messages,
dataclasses and pydantic models. Work is bounded: what does not fit is left out, and the payload says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum, auto
from hashlib import sha256
from json import JSONEncoder
from typing import Any, Final, NamedTuple

from otel_wfperf.conventions.content import content_hash, size_bytes
from otel_wfperf.instrumentation.known_messages import KnownMessages

# Chosen: hashing this much takes about 1 ms.
MAX_CHARS: Final = 131_072
# Chosen: walking over these takes about 1 ms; a list of embeddings has more.
MAX_VALUES: Final = 2_000
_MAX_DEPTH: Final = 12
# Chosen: shorter sequences are read value by value in the same time.
_MANY: Final = 8
# Chosen: the large lists that a state holds, each with its copy.
_MAX_LISTS: Final = 64
# Chosen: more classes than a program passes through its state.
_MAX_CLASSES: Final = 512

# Of a message or a tool call written as a dict: differs in every run, or nobody said it.
_NOISE: Final = frozenset({"additional_kwargs", "response_metadata", "usage_metadata", "run_id", "tool_call_id", "id"})
# Of a tool call: what stands in there is the program's own.
_ARGUMENTS: Final = frozenset({"args", "arguments"})
_LABELS: Final = frozenset({"role", "name", "type"})
# Source: conventions/messages.py; shorter numbers are counts and scores.
_MIN_IDENTIFYING_NUMBER: Final = 10_000

canonical_json: Final = JSONEncoder(sort_keys=True, separators=(",", ":"), default=repr).encode


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


class ReadMessage(NamedTuple):
    """What reading one message came to.

    Attributes:
        digest: Equal for equal messages (16 hex digits).
        texts: As in :class:`Payload`, as is the next one.
        chars: Text read (characters).
        values: Values looked at (count).
    """

    digest: str
    texts: Sequence[str]
    size_bytes: int
    chars: int
    values: int


class KnownTexts(NamedTuple):
    """A list of texts that was read.

    Attributes:
        texts: A copy of it.
        chars: Text in it (characters).
        size_bytes: The same (bytes).
    """

    texts: list[str]
    chars: int
    size_bytes: int


class Known:
    """What walks through the values of one execution have found, so that the next one need not look again.

    Attributes:
        messages: Messages.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.messages: KnownMessages[ReadMessage] = KnownMessages()
        self._texts: dict[int, KnownTexts] = {}

    def texts(self, values: Sequence[Any]) -> KnownTexts | None:
        """Count the text in a list of texts; None for any other list.

        To compare it with a copy takes a hundredth of the time: what is the same object is not looked at.
        """
        known = self._texts.get(id(values))
        if known is not None and known.texts == values:
            return known
        if set(map(type, values)) != {str}:
            return None
        chars = sum(map(len, values))
        size = chars if all(map(str.isascii, values)) else sum(map(size_bytes, values))
        known = self._texts[id(values)] = KnownTexts(list(values), chars, size)
        if len(self._texts) > _MAX_LISTS:
            self._texts.pop(next(iter(self._texts)), None)
        return known


class Shape(IntEnum):
    """How objects of one class are read."""

    TEXT = auto()
    SCALAR = auto()
    INTEGER = auto()
    MAPPING = auto()
    SEQUENCE = auto()
    MESSAGE = auto()
    DATACLASS = auto()
    MODEL = auto()
    TEXT_OF_ANOTHER_CLASS = auto()
    BYTES = auto()
    SET = auto()
    OPAQUE = auto()


def read(
    value: object,
    *,
    max_chars: int = MAX_CHARS,
    max_values: int = MAX_VALUES,
    in_part: bool = True,
    known: Known | None = None,
) -> Payload:
    """Read a value.

    Args:
        value: Anything; objects of unknown type count as their type's name.
        max_chars: Most text to read (characters).
        max_values: Most values to look at (count).
        in_part: Whether some of a value that is too large is of use; if not, it is given up as early as possible.
        known: What was read before.
    """
    walk = _Walk(max_chars, max_values, in_part=in_part, known=known)
    try:
        canonical = walk.plain(value, 0)
    except _TooMuchError:
        canonical = None
        walk.is_complete = False
    return Payload(canonical, walk.texts, walk.size_bytes, walk.is_complete)


class _TooMuchError(Exception):
    """A value is larger than what may be read of it."""


class _Walk:
    __slots__ = ("_chars_left", "_in_part", "_known", "_values_left", "is_complete", "size_bytes", "texts")

    def __init__(self, max_chars: int, max_values: int, *, in_part: bool, known: Known | None) -> None:
        self.texts: list[str] = []
        self.size_bytes = 0
        self.is_complete = True
        self._chars_left = max_chars
        self._values_left = max_values
        self._in_part = in_part
        self._known = known or Known()

    def plain(self, value: Any, depth: int, in_message: bool = False) -> object:  # noqa: FBT001, FBT002, PLR0911 - hot
        self._values_left -= 1
        if self._values_left < 0:
            raise _TooMuchError
        kind = type(value)
        shape = _shapes.get(kind) or _shape_of(kind)
        if shape is _TEXT:
            if self._text(value):
                self.texts.append(value)
            return value
        if shape is _SCALAR:
            self.size_bytes += 8
            return value
        if depth > _MAX_DEPTH:
            self.is_complete = False
            return None
        if shape is _MAPPING:
            return self._mapping(value, depth + 1, in_message or _is_said(value))
        if shape is _SEQUENCE:
            return self._sequence(value, depth + 1, in_message)
        if shape is _MESSAGE:
            return self._message(value, value.__dict__, depth + 1)
        return self._rare(shape, value, depth + 1)

    def _rare(self, shape: Shape, value: Any, depth: int) -> object:
        if shape is Shape.INTEGER:
            self.size_bytes += 8
            if _MIN_IDENTIFYING_NUMBER <= abs(value) < 10**40:
                self.texts.append(str(value))
            return value
        if shape is Shape.TEXT_OF_ANOTHER_CLASS:
            self._values_left += 1
            return self.plain(str.__str__(value), depth)
        if shape is Shape.BYTES:
            self.size_bytes += len(value)
            return content_hash(value.hex())
        if shape is Shape.SET:
            # Sets have no order of their own, and that of strings differs from process to process.
            return sorted((self.plain(each, depth) for each in value), key=repr)
        if shape is Shape.DATACLASS:
            stored = {name: getattr(value, name, None) for name in type(value).__dataclass_fields__}
            return self._mapping(stored, depth, False)  # noqa: FBT003
        return self._mapping(vars(value), depth, False) if shape is Shape.MODEL else type(value).__name__  # noqa: FBT003

    def _mapping(self, value: Mapping[Any, object], depth: int, in_message: bool) -> dict[str, object]:  # noqa: FBT001
        plain: dict[str, object] = {}
        for key, each in value.items():
            name = self._text(key) if isinstance(key, str) else f"{type(key).__name__} {hash(key)}"
            if in_message and name in _NOISE:
                continue
            # Names of roles and tools are part of what is hashed, but nobody said them.
            is_label = in_message and name in _LABELS and isinstance(each, str)
            inside = in_message and name not in _ARGUMENTS
            plain[name] = self._text(str(each)) if is_label else self.plain(each, depth, inside)
        return plain

    def _sequence(self, values: Sequence[Any], depth: int, in_message: bool) -> list[object]:  # noqa: FBT001
        if len(values) > self._values_left and not self._in_part:
            raise _TooMuchError
        if _MANY <= len(values) <= self._values_left:
            kind = type(values[0])
            if (kind is str and self._has_read_texts(values)) or (kind is float and self._has_read_numbers(values)):
                return list(values)
        return [self.plain(each, depth, in_message) for each in values]

    def _has_read_texts(self, values: Sequence[Any]) -> bool:
        """Read all of them at once, if they are texts and fit: each for itself takes ten times as long."""
        known = self._known.texts(values)
        if known is None:
            return False
        if known.chars > self._chars_left:
            if not self._in_part:
                raise _TooMuchError
            return False
        self._values_left -= len(values)
        self._chars_left -= known.chars
        self.size_bytes += known.size_bytes
        self.texts.extend(filter(None, known.texts))
        return True

    def _has_read_numbers(self, values: Sequence[Any]) -> bool:
        """Do the same with an embedding."""
        if set(map(type, values)) != {float}:
            return False
        self._values_left -= len(values)
        self.size_bytes += 8 * len(values)
        return True

    def _message(self, message: object, stored: Mapping[str, object], depth: int) -> object:
        known = self._known.messages.find(message, stored)
        if known is None:
            return self._new_message(message, stored, depth)
        self._values_left -= known.values
        self._chars_left -= known.chars
        if self._values_left < 0 or self._chars_left < 0:
            raise _TooMuchError
        self.size_bytes += known.size_bytes
        self.texts += known.texts
        return known.digest

    def _new_message(self, message: object, stored: Mapping[str, Any], depth: int) -> object:
        texts, size, chars, values = len(self.texts), self.size_bytes, self._chars_left, self._values_left
        # Not the name: agents give themselves as the author of an answer only after it was recorded.
        content, calls, role = stored.get("content"), stored.get("tool_calls"), str(stored.get("type"))
        # As much as the same message takes as a dict; what is empty is left out.
        self._text(f"role{role}{'content' if content else ''}{'tool_calls' if calls else ''}")
        head = [role, self.plain(calls, depth, True) if calls else None]  # noqa: FBT003
        said = self.plain(content, depth, True) if content else ""  # noqa: FBT003
        # The content apart: as JSON, a long text would take three times as long as hashing it.
        body = said if isinstance(said, str) else canonical_json(said)
        digest = sha256(f"{canonical_json(head)}{body}".encode(errors="backslashreplace")).hexdigest()[:16]
        if self.is_complete:
            own = ReadMessage(
                digest,
                self.texts[texts:],
                self.size_bytes - size,
                chars - self._chars_left,
                values - self._values_left,
            )
            self._known.messages.remember(message, stored, own)
        return digest

    def _text(self, text: str) -> str:
        length = len(text)
        self._chars_left -= length
        if self._chars_left < 0:
            raise _TooMuchError
        self.size_bytes += length if text.isascii() else size_bytes(text)
        return text


def _is_said(value: Mapping[Any, object]) -> bool:
    """Tell whether a mapping is a message or a tool call: in any other, an ``id`` is what is asked for."""
    if "content" in value:
        return "role" in value or "type" in value
    return "name" in value and not _ARGUMENTS.isdisjoint(value)


def _shape_of(kind: type) -> Shape:
    shape = next((shape for test, shape in _TESTS if test(kind)), Shape.OPAQUE)
    if len(_shapes) >= _MAX_CLASSES:
        _shapes.clear()
    _shapes[kind] = shape
    return shape


def _is_message(kind: type) -> bool:
    fields = getattr(kind, "model_fields", None)
    return isinstance(fields, Mapping) and "content" in fields and "response_metadata" in fields


def _subclass_of(*bases: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, bases)


_TESTS: Final[Sequence[tuple[Callable[[type], bool], Shape]]] = (
    (lambda kind: kind is str, Shape.TEXT),
    (_subclass_of(str), Shape.TEXT_OF_ANOTHER_CLASS),
    (_subclass_of(bool, float, type(None)), Shape.SCALAR),
    (_subclass_of(int), Shape.INTEGER),
    (_subclass_of(bytes, bytearray), Shape.BYTES),
    (_subclass_of(dict), Shape.MAPPING),
    (_subclass_of(list, tuple), Shape.SEQUENCE),
    (_subclass_of(set, frozenset), Shape.SET),
    (_is_message, Shape.MESSAGE),
    (lambda kind: hasattr(kind, "__dataclass_fields__"), Shape.DATACLASS),
    (lambda kind: hasattr(kind, "model_fields"), Shape.MODEL),
)
# By class; a class that is defined anew again and again is not kept for ever.
_shapes: Final[dict[type, Shape]] = {}
# Looked at more often than anything else: an attribute of an enum's class takes three times as long.
_TEXT: Final = Shape.TEXT
_SCALAR: Final = Shape.SCALAR
_MAPPING: Final = Shape.MAPPING
_SEQUENCE: Final = Shape.SEQUENCE
_MESSAGE: Final = Shape.MESSAGE
