"""Finished spans as an OTLP request, for a fifth of what the SDK's encoder costs.

That one builds a protobuf message for each attribute: 44 µs for a span with ten of them (opentelemetry-sdk 1.44), as
much as all other work on it, and under the same lock as the program. Spans of one program repeat each other: of an
attribute that was seen before the bytes are remembered.

Source: opentelemetry-proto 1.3, trace.proto, common.proto and resource.proto, for the field numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import count_failure
from otel_wfperf.instrumentation.spans import LeanSpan

# Chosen: the names and labels of a large program; together about 500 kB.
_MAX_REMEMBERED: Final = 2_000
# Chosen: longer than any name; texts are not repeated.
_MAX_REMEMBERED_CHARS: Final = 100
# Of these texts only the latest is remembered: they are the same for some nodes, and never come again.
_SELDOM_REPEATED: Final = frozenset(
    {
        semconv.INPUT_HASH,
        semconv.OUTPUT_HASH,
        semconv.PROMPT_HASH,
        semconv.INPUT_FRAGMENTS,
        semconv.OUTPUT_FRAGMENTS,
        semconv.RESPONSE_ID,
        semconv.TOOL_CALL_ID,
        semconv.TURN_ID,
    }
)
_INT64: Final = range(-(1 << 63), 1 << 63)
_UINT64_MASK: Final = (1 << 64) - 1
_SMALL: Final = tuple(bytes((number,)) for number in range(128))
_SPAN_KINDS: Final = tuple(b"0" + bytes((value + 1,)) for value in range(5))
_double: Final = Struct("<d").pack
_time: Final = Struct("<Q").pack
_times: Final = Struct("<BQBQ").pack


class Encoded(NamedTuple):
    """A span as bytes, and where it belongs.

    Attributes:
        data: ``Span`` message, as a field of ``ScopeSpans``.
    """

    resource: Any
    scope: Any
    data: bytes


class SpanEncoder:
    """Writes ``ExportTraceServiceRequest`` messages; used by one thread at a time."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        # Bytes of whole attributes: of texts and of numbers apart, because 1 == True == 1.0.
        self._texts: dict[tuple[str, str], bytes] = {}
        self._integers: dict[tuple[str, int], bytes] = {}
        self._latest: dict[str, tuple[str, bytes]] = {}
        # What comes before the number in an attribute that is one.
        self._reals: dict[str, bytes] = {}
        self._keys: dict[str, bytes] = {}
        self._names: dict[str, bytes] = {}

    def encoded(self, span: ReadableSpan) -> Encoded | None:
        """Encode a span; None if that is not possible, which is counted as a failure."""
        try:
            return Encoded(span.resource, span.instrumentation_scope, _field(b"\x12", self._span(span)))
        except Exception:  # noqa: BLE001 - a span of somebody else's class; the others are sent
            count_failure("encoding.span")
            return None

    def request(self, spans: Iterable[Encoded]) -> bytes:
        """Put spans together, grouped by resource and scope as the SDK does."""
        grouped: dict[Any, dict[Any, list[bytes]]] = {}
        # Resources are hashed as JSON: once for each object, not once for each span.
        places: dict[tuple[int, int], list[bytes]] = {}
        for resource, scope, data in spans:
            place = places.get((id(resource), id(scope)))
            if place is None:
                place = grouped.setdefault(resource, {}).setdefault(scope, [])
                places[id(resource), id(scope)] = place
            place.append(data)
        return b"".join([_field(b"\n", self._resource_spans(*each)) for each in grouped.items()])

    def _resource_spans(self, resource: Any, scopes: Mapping[Any, Sequence[bytes]]) -> bytes:
        parts = [_field(b"\n", b"".join(self._attributes(b"\n", resource.attributes)))]
        for scope, spans in scopes.items():
            about, schema_url = b"", None
            if scope is not None:
                attributes = b"".join(self._attributes(b"\x1a", getattr(scope, "attributes", None)))
                about = _text(b"\n", scope.name) + _text(b"\x12", scope.version) + attributes
                schema_url = scope.schema_url
            parts.append(_field(b"\x12", _field(b"\n", about) + b"".join(spans) + _text(b"\x1a", schema_url)))
        parts.append(_text(b"\x1a", resource.schema_url))
        return b"".join(parts)

    def _span(self, span: ReadableSpan) -> bytes:
        context: Any = span.context
        trace_id, span_id, _, _, trace_state, *_ = context
        parent, name, status = span.parent, span.name, span.status
        parts = [b"\n\x10", trace_id.to_bytes(16, "big"), b"\x12\x08", span_id.to_bytes(8, "big")]
        if trace_state:
            parts.append(_state(b"\x1a", trace_state))
        if parent is not None:
            parts += b'"\x08', parent.span_id.to_bytes(8, "big")
        parts += (
            self._names.get(name) or self._name(name),
            # SpanKind counts from 0 in the API, from 1 in OTLP. `_value_` is the fast way to an enum's value.
            _SPAN_KINDS[span.kind._value_],
            _times(0x39, span.start_time or 0, 0x41, span.end_time or 0),
        )
        if isinstance(span, LeanSpan) and span.is_simple:
            span.settle()
            parts += self._attributes(b"J", span.recorded)
        else:
            self._rest(span, parts)
        is_plain = status.status_code is StatusCode.UNSET and not status.description
        parts += b"z\x00" if is_plain else _status(status), _flags(parent)
        return b"".join(parts)

    def _rest(self, span: ReadableSpan, parts: list[bytes]) -> None:
        parts += self._attributes(b"J", span.attributes)
        parts.append(_count(b"P", span.dropped_attributes))
        parts += [_field(b"Z", self._event(event)) for event in span.events]
        parts.append(_count(b"`", span.dropped_events))
        parts += [_field(b"j", self._link(link)) for link in span.links]
        parts.append(_count(b"p", span.dropped_links))

    def _name(self, name: str) -> bytes:
        encoded = _text(b"*", name)
        _remember(self._names, name, encoded)
        return encoded

    def _event(self, event: Any) -> bytes:
        attributes = b"".join(self._attributes(b"\x1a", event.attributes))
        dropped = _count(b" ", getattr(event, "dropped_attributes", 0))
        return b"\t" + _time(event.timestamp) + _text(b"\x12", event.name) + attributes + dropped

    def _link(self, link: Any) -> bytes:
        context = link.context
        return b"".join(
            (
                b"\n\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big"),
                *self._attributes(b'"', link.attributes),
                _count(b"(", getattr(link, "dropped_attributes", 0)),
                b"5\x00\x03\x00\x00" if context.is_remote else b"5\x00\x01\x00\x00",
            )
        )

    def _attributes(self, tag: bytes, attributes: Mapping[str, Any] | None) -> list[bytes]:
        """Encode attributes, each after the tag of the field that it stands in."""
        parts: list[bytes] = []
        texts, integers, reals = self._texts, self._integers, self._reals
        # A copy: the program may still set attributes of a span that another thread has ended.
        for key, value in list(attributes.items()) if attributes else ():
            kind = type(value)
            if kind is str:
                encoded = texts.get((key, value)) or self._attribute(key, value)
            elif kind is int:
                encoded = integers.get((key, value)) or self._attribute(key, value)
            elif kind is float:
                encoded = (reals.get(key) or self._real(key)) + _double(value)
            else:
                encoded = self._attribute(key, value)
            if encoded:
                parts += tag, encoded
        return parts

    def _attribute(self, key: str, value: Any) -> bytes:
        """Encode a ``KeyValue`` with its length; nothing if OTLP has no such value."""
        latest = self._latest.get(key)
        if latest is not None and latest[0] == value:
            return latest[1]
        try:
            body = self._key(key) + _field(b"\x12", _any(value))
        except Exception:  # noqa: BLE001 - as the SDK: one attribute less
            count_failure("encoding.attribute")
            return b""
        encoded = _length(len(body)) + body
        if type(value) is str:
            if key in _SELDOM_REPEATED:
                self._latest[key] = value, encoded
            elif len(value) <= _MAX_REMEMBERED_CHARS:
                _remember(self._texts, (key, value), encoded)
        elif type(value) is int:
            _remember(self._integers, (key, value), encoded)
        return encoded

    def _key(self, key: str) -> bytes:
        head = self._keys.get(key)
        if head is None:
            head = _text(b"\n", key)
            _remember(self._keys, key, head)
        return head

    def _real(self, key: str) -> bytes:
        head = self._key(key)
        before = _length(len(head) + 11) + head + b"\x12\t!"
        _remember(self._reals, key, before)
        return before


def _remember(memory: dict[Any, bytes], key: object, encoded: bytes) -> None:
    if len(memory) >= _MAX_REMEMBERED:
        memory.clear()
    memory[key] = encoded


def _any(value: Any) -> bytes:
    """Encode an ``AnyValue``; the order of the tests is that of the SDK."""
    encode = _EXACT.get(type(value))
    if encode is not None:
        return encode(value)
    for kind, encode in _KINDS:
        if isinstance(value, kind):
            return encode(value)
    raise TypeError(f"no such value in OTLP: {type(value).__name__}")


def _any_text(value: str) -> bytes:
    return _field(b"\n", value.encode(errors="replace"))


def _any_int(value: int) -> bytes:
    if value not in _INT64:
        raise ValueError("an integer of more than 64 bits")
    return b"\x18" + _length(int(value) & _UINT64_MASK)


def _any_sequence(value: Iterable[Any]) -> bytes:
    return _field(b"*", b"".join(_field(b"\n", _any(each)) for each in value))


def _any_mapping(value: Mapping[Any, Any]) -> bytes:
    pairs = (_text(b"\n", str(key)) + _field(b"\x12", _any(each)) for key, each in value.items())
    return _field(b"2", b"".join(_field(b"\n", pair) for pair in pairs))


_EXACT: Final[Mapping[type, Callable[[Any], bytes]]] = {
    str: _any_text,
    bool: lambda value: b"\x10\x01" if value else b"\x10\x00",
    int: _any_int,
    float: lambda value: b"!" + _double(value),
    type(None): lambda _: b"",
    bytes: lambda value: _field(b":", value),
    tuple: _any_sequence,
}
_KINDS: Final[Sequence[tuple[type, Callable[[Any], bytes]]]] = (
    (str, _any_text),
    (int, _any_int),
    (float, _EXACT[float]),
    (bytes, _EXACT[bytes]),
    (Sequence, _any_sequence),
    (Mapping, _any_mapping),
)


def _status(status: Any) -> bytes:
    body = _text(b"\x12", status.description) + _count(b"\x18", status.status_code._value_)
    return _field(b"z", body)


def _flags(parent: SpanContext | None) -> bytes:
    """Encode ``SpanFlags``: bit 8 says that it is known whether the parent is remote, bit 9 that it is."""
    is_remote = parent is not None and parent.is_remote
    return b"\x85\x01\x00\x03\x00\x00" if is_remote else b"\x85\x01\x00\x01\x00\x00"


def _state(tag: bytes, trace_state: Any) -> bytes:
    return _text(tag, ",".join(f"{key}={value}" for key, value in trace_state.items()))


def _text(tag: bytes, text: str | None) -> bytes:
    """Encode a string field; protobuf leaves an empty one out."""
    return _field(tag, text.encode(errors="replace")) if text else b""


def _count(tag: bytes, count: int) -> bytes:
    return tag + _length(count) if count else b""


def _field(tag: bytes, body: bytes) -> bytes:
    return tag + _length(len(body)) + body


def _length(number: int) -> bytes:
    """Encode a varint."""
    if number < 128:
        return _SMALL[number]
    encoded = bytearray()
    while number >= 128:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
