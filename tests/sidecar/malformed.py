"""Some thousand requests that are wrong in one way each, and the right answer to each.

What is right for damaged protobuf is what the official decoder says of it.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.log import Signal
from tests.sidecar.judging import Case
from tests.sidecar.otlp_documents import DOCUMENTS, SPAN_ID, good
from tests.sidecar.requests import zip_bomb

#: Largest request of the receiver that is judged (bytes): small, so that cases over it are quick.
LIMIT_BYTES: Final = 256 * 1024
_REQUESTS: Final[Mapping[Signal, Any]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


def cases() -> Iterator[Case]:
    """Make all cases; always the same ones."""
    for signal in Signal:
        yield from _truncated(signal)
        yield from _flipped(signal)
        yield from _wrong_wire_types(signal)
        yield from _wrong_json(signal)
        yield from _unknown_fields(signal)
    yield from _gzip()
    yield from _sizes()
    yield from _texts()
    yield from _ids()
    yield from _times_and_numbers()
    yield from _depths()


def _judged_by_the_official_decoder(name: str, signal: Signal, body: bytes) -> Case:
    try:
        message = _REQUESTS[signal].FromString(body)
    except DecodeError:
        return Case(name=name, body=body, status=400, signal=signal)
    rejected = 0
    if isinstance(message, ExportTraceServiceRequest):
        spans = [span for r in message.resource_spans for s in r.scope_spans for span in s.spans]
        rejected = sum(not _has_ids(span.trace_id, span.span_id, span.parent_span_id) for span in spans)
    return Case(name=name, body=body, status=200, rejected=rejected, signal=signal)


def _has_ids(trace_id: bytes, span_id: bytes, parent_id: bytes) -> bool:
    return len(trace_id) == 16 and any(trace_id) and len(span_id) == 8 and any(span_id) and len(parent_id) in {0, 8}


def _truncated(signal: Signal) -> Iterator[Case]:
    whole = good(signal)
    for length in range(1, len(whole), 3):
        yield Case(name=f"{signal} cut after {length} bytes", body=whole[:length], status=400, signal=signal)
    text = json.dumps(DOCUMENTS[signal]).encode()
    for length in range(0, len(text), 29):
        yield Case(name=f"{signal} JSON cut after {length}", body=text[:length], status=400, signal=signal, json=True)
    packed = gzip.compress(whole, mtime=0)
    for length in range(3, len(packed) - 1, 11):
        yield Case(name=f"{signal} gzip cut after {length}", body=packed[:length], status=400, signal=signal, gzip=True)


def _flipped(signal: Signal) -> Iterator[Case]:
    chance = random.Random(21)
    whole = good(signal)
    for number in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        yield _judged_by_the_official_decoder(f"{signal} with bits flipped, {number}", signal, bytes(damaged))
    for number in range(50):
        noise = chance.randbytes(chance.randint(1, 200))
        yield _judged_by_the_official_decoder(f"noise instead of {signal}, {number}", signal, noise)


def _wrong_wire_types(signal: Signal) -> Iterator[Case]:
    whole = good(signal)
    for wire_type in range(8):
        tag = bytes([1 << 3 | wire_type])
        yield _judged_by_the_official_decoder(f"{signal} in wire type {wire_type}", signal, tag + whole[1:])
        yield _judged_by_the_official_decoder(
            f"{signal} and a field of type {wire_type}", signal, whole + tag + b"\x01"
        )
    for number in (0, 2**29 - 1, 2**29):
        field = _varint(number << 3) + b"\x01"
        yield _judged_by_the_official_decoder(f"{signal} and field {number}", signal, whole + field)
    yield _judged_by_the_official_decoder(f"{signal} and an endless varint", signal, whole + b"\x08" + b"\xff" * 20)
    for length in (2**31 - 1, 2**32, 2**63):
        yield _judged_by_the_official_decoder(
            f"{signal} and a field of {length} bytes", signal, whole + b"\x0a" + _varint(length)
        )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


# What cannot stand where a value of that kind stands.
_OBJECT: Final[tuple[Any, ...]] = (1, "x", [], True)
_LIST: Final[tuple[Any, ...]] = (1, "x", {}, True)
_TEXT: Final[tuple[Any, ...]] = (1, {}, [], True)
_WRONG: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("traceId", "spanId", "parentSpanId"), (1, {}, [], "zz", "abc")),
    **dict.fromkeys(("kind", "code", "severityNumber", "aggregationTemporality"), ("NAME", 1.5, {}, [], True, 2**40)),
    **dict.fromkeys(("flags", "droppedAttributesCount"), ("x", 1.5, {}, [], True, -1, 2**32)),
    **dict.fromkeys(("boolValue", "isMonotonic"), ("true", 1, {}, [])),
    **dict.fromkeys(("doubleValue", "asDouble", "sum_value"), ("x", {}, [], True)),
    "bytesValue": ("***", 1, {}, [], "AQID-*"),
}
_INTEGER: Final[tuple[Any, ...]] = ("x", "1.5", 1.5, {}, [], True, 2**64, "1e3", "")


def _wrong_json(signal: Signal) -> Iterator[Case]:
    document = DOCUMENTS[signal]
    for path in _paths(document):
        for wrong in _wrong_for(path[-1], _at(document, path)):
            changed = deepcopy(document)
            _at(changed, path[:-1])[path[-1]] = wrong
            name = f"{signal} JSON with {'.'.join(map(str, path))} = {wrong!r}"
            yield Case(name=name, body=json.dumps(changed).encode(), status=400, signal=signal, json=True)
    for whole in (b"", b"null", b"1", b'"x"', b"[]", b"{", b"{}x", b"\xef\xbb\xbf{}", b"{'a': 1}", b'{"a": NaN}'):
        yield Case(name=f"{signal} JSON {whole!r}", body=whole, status=400, signal=signal, json=True)


def _wrong_for(key: Any, value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return _OBJECT
    if isinstance(value, list):
        return _LIST
    if key in _WRONG:
        return _WRONG[key]
    if isinstance(value, str):
        return _INTEGER if value.isdigit() and key != "version" else _TEXT
    return ("x", {}, [], True)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _at(node: Any, path: Sequence[Any]) -> Any:
    for key in path:
        node = node[key]
    return node


def _unknown_fields(signal: Signal) -> Iterator[Case]:
    document = DOCUMENTS[signal]
    for path in ((), *_paths(document)):
        if isinstance(_at(document, path), dict) and not str(path[-1:]).endswith("value',)"):
            changed = deepcopy(document)
            _at(changed, path)["fromTheFuture"] = {"a": [1, None]}
            name = f"{signal} JSON with an unknown key in {'.'.join(map(str, path))}"
            yield Case(name=name, body=json.dumps(changed).encode(), status=200, signal=signal, json=True)
    for field in (b"\xfa\x3f\x03abc", b"\xf8\x3f\x01", b"\xfd\x3f\x01\x02\x03\x04", b"\xf9\x3f" + bytes(8)):
        yield Case(
            name=f"{signal} with an unknown field {field!r}", body=good(signal) + field, status=200, signal=signal
        )


def _gzip() -> Iterator[Case]:
    whole = good(Signal.TRACES)
    packed = gzip.compress(whole, mtime=0)
    for factor in (2, 100, 1000):
        bomb = zip_bomb(factor * LIMIT_BYTES // 1024**2 * 1024**2 or 1024**2)
        yield Case(name=f"a bomb of {factor} times the limit", body=bomb, status=413, gzip=True)
    twice = gzip.compress(packed, mtime=0)
    yield Case(name="gzip in gzip", body=twice, status=400, gzip=True)
    yield Case(name="gzip of nothing", body=gzip.compress(b"", mtime=0), status=200, gzip=True)
    yield Case(name="two members", body=gzip.compress(whole[:9]) + gzip.compress(whole[9:]), status=200, gzip=True)
    for place in range(0, len(packed), 9):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        name = f"gzip with byte {place} inverted"
        # Of the header, only the magic number, the method and the flags matter (RFC 1952, section 2.3.1).
        if place not in range(4, 10) and place != 0:
            yield Case(name=name, body=bytes(damaged), status=400, gzip=True)


def _sizes() -> Iterator[Case]:
    for name, size, status in (("at", LIMIT_BYTES, 200), ("over", LIMIT_BYTES + 1, 413), ("far over", 2**23, 413)):
        yield Case(name=f"{name} the limit", body=_padded(size), status=status)
        yield Case(name=f"{name} the limit, packed", body=gzip.compress(_padded(size)), status=status, gzip=True)


def _padded(size: int) -> bytes:
    """Make a good request of exactly this size, with an unknown field."""
    whole = good(Signal.TRACES)
    head = b"\xfa\x3f"
    rest = size - len(whole) - len(head)
    room = next(rest - digits for digits in range(1, 6) if len(_varint(rest - digits)) == digits)
    return whole + head + _varint(room) + bytes(room)


def _texts() -> Iterator[Case]:
    for text in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"ok\x80"):
        for marker in (b"a span", b"some text", b"text", b"event", b"scope"):
            body = good(Signal.TRACES).replace(marker, text.ljust(len(marker), b".")[: len(marker)])
            yield _judged_by_the_official_decoder(f"{text!r} in the place of {marker!r}", Signal.TRACES, body)
        raw = json.dumps(DOCUMENTS[Signal.TRACES]).encode().replace(b"a span", text)
        yield Case(name=f"JSON with {text!r} as a name", body=raw, status=400, json=True)
    for name in ("", "\x00", "\u202e", "\U0001d54f" * 100, "a" * 100_000, "<script>", "'; --", "%s%n", "../../etc"):
        for encode in (False, True):
            yield _with_span(f"the name {name[:9]!r}", {"name": name}, 200, as_json=encode)
    surrogate = json.dumps(DOCUMENTS[Signal.TRACES]).replace("a span", "\\ud800").encode()
    yield Case(name="JSON with half a surrogate pair", body=surrogate, status=400, json=True)


def _with_span(name: str, fields: Mapping[str, Any], status: int, *, rejected: int = 0, as_json: bool) -> Case:
    document = deepcopy(DOCUMENTS[Signal.TRACES])
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0].update(fields)
    text = json.dumps(document).encode()
    if as_json:
        return Case(name=f"JSON, {name}", body=text, status=status, rejected=rejected, json=True)
    request = ExportTraceServiceRequest.FromString(good(Signal.TRACES))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for key, value in fields.items():
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
        setattr(span, snake, bytes.fromhex(value) if key.endswith("Id") else value)
    return Case(name=name, body=request.SerializeToString(), status=status, rejected=rejected)


def _ids() -> Iterator[Case]:
    for as_json in (False, True):
        for wrong in ("", "00" * 16, "ab", "ab" * 15, "ab" * 17, "ab" * 1000):
            yield _with_span(f"trace id {wrong[:40]!r}", {"traceId": wrong}, 200, rejected=1, as_json=as_json)
        for wrong in ("", "00" * 8, "ab", "ab" * 7, "ab" * 9, "ab" * 16):
            yield _with_span(f"span id {wrong!r}", {"spanId": wrong}, 200, rejected=1, as_json=as_json)
        for wrong in ("ab", "ab" * 16):
            yield _with_span(f"parent id {wrong!r}", {"parentSpanId": wrong}, 200, rejected=1, as_json=as_json)
        yield _with_span("its own parent", {"parentSpanId": SPAN_ID}, 200, as_json=as_json)
        yield _with_span("parent id of zeros", {"parentSpanId": "00" * 8}, 200, as_json=as_json)
    whole = good(Signal.TRACES)
    zeros = whole.replace(bytes.fromhex(SPAN_ID), bytes(8), 1)
    yield Case(name="the same span three times", body=whole * 3, status=200)
    yield Case(name="a good one between two bad ones", body=zeros + whole + zeros, status=200, rejected=2)
    yield Case(name="a thousand times the same", body=whole * (LIMIT_BYTES // len(whole) // 2), status=200)


def _times_and_numbers() -> Iterator[Case]:
    largest = 2**64 - 1
    for as_json in (False, True):
        for start, end in ((2, 1), (0, 0), (largest, 0), (0, largest), (largest, largest), (2**63, 2**63 + 1)):
            times = {"startTimeUnixNano": start, "endTimeUnixNano": end}
            yield _with_span(f"from {start} to {end}", times, 200, as_json=as_json)
        for kind in (6, 2**31 - 1, -1):
            yield _with_span(f"kind {kind}", {"kind": kind}, 200, as_json=as_json)
    for number in ("NaN", "Infinity", "-Infinity", "1e308", 1.0, 0, -0.0, "5e-324"):
        yield _with_value({"doubleValue": number}, 200)
    for number in ("nan", "1e309", "0x10", "1_000", 10**400):
        yield _with_value({"doubleValue": number}, 400)
    for number in (-(2**63), 2**63 - 1, str(2**63 - 1)):
        yield _with_value({"intValue": number}, 200)
    for number in (2**63, str(-(2**63) - 1), "1" * 5000):
        yield _with_value({"intValue": number}, 400)
    for number in (math.nan, math.inf):
        body = json.dumps(_document_with({"doubleValue": number})).encode()
        yield Case(name=f"JSON with a bare {number}", body=body, status=400, json=True)
    request = ExportTraceServiceRequest.FromString(good(Signal.TRACES))
    for index, number in enumerate((math.nan, math.inf, -math.inf)):
        attribute = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key=f"n{index}")
        attribute.value.double_value = number
    yield Case(name="numbers that are none", body=request.SerializeToString(), status=200)


def _with_value(value: Mapping[str, Any], status: int) -> Case:
    body = json.dumps(_document_with(value)).encode()
    return Case(name=f"JSON with {str(value)[:60]}", body=body, status=status, json=True)


def _document_with(value: Mapping[str, Any]) -> dict[str, Any]:
    document = deepcopy(DOCUMENTS[Signal.TRACES])
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["attributes"] = [{"key": "k", "value": value}]
    return document


def _depths() -> Iterator[Case]:
    for depth in (10, 40, 60, 500, 5000):
        yield _nested(depth)
    for depth, status in ((10, 200), (40, 200), (60, 400), (250, 400)):
        value: dict[str, Any] = {"stringValue": "x"}
        for _ in range(depth):
            value = {"arrayValue": {"values": [value]}}
        body = json.dumps(_document_with(value)).encode()
        yield Case(name=f"JSON with a value {depth} deep", body=body, status=status, json=True)
    for opening in (b"[", b'{"a":'):
        yield Case(name=f"JSON of {opening!r} only", body=opening * 20_000, status=400, json=True)


def _nested(depth: int) -> Case:
    """Nest lists: each is a field 5 (array_value) around a field 1 (values)."""
    value = b"\x0a\x01x"
    for _ in range(depth):
        inner = b"\x0a" + _varint(len(value)) + value
        value = b"\x2a" + _varint(len(inner)) + inner
    attribute = b"\x0a\x01k\x12" + _varint(len(value)) + value
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add()
    span = request.resource_spans[0].scope_spans[0].spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    encoded = span.SerializeToString() + b"\x4a" + _varint(len(attribute)) + attribute
    for tag in (b"\x12", b"\x12", b"\x0a"):
        encoded = tag + _varint(len(encoded)) + encoded
    return _judged_by_the_official_decoder(f"a value {depth} deep", Signal.TRACES, encoded)
