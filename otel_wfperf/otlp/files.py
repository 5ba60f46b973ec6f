"""Read the spans of a trace file, whatever format it is in; the content tells, the name does not matter.

A file is data that somebody once recorded, so one bad span, line or request costs only itself and is reported.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_wfperf.errors import DecodeError, InputError
from otel_wfperf.model import Span
from otel_wfperf.otlp import jaeger, json, protobuf, zipkin
from otel_wfperf.otlp.batch import TraceBatch

GZIP_MAGIC: Final = b"\x1f\x8b"
UTF8_BOM: Final = b"\xef\xbb\xbf"
PREFIX_BYTES: Final = 4
REPEATED_FIELD_1: Final = b"\x0a"  # how every OTLP request that is not empty starts
KNOWN: Final = (
    "OTLP JSON, OTLP JSON lines, OTLP protobuf (bare or with 4-byte length prefixes), Jaeger JSON or Zipkin JSON v2"
)
OTHER_SIGNALS: Final = {"resourceMetrics": "metrics", "resourceLogs": "logs", "resourceProfiles": "profiles"}
# What wraps OTLP documents: Jaeger's API v3 says result, exports of traces say data.
ENVELOPES: Final = ("data", "result")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """What a trace file holds.

    Attributes:
        format: ``otlp-json``, ``otlp-json-lines``, ``otlp-protobuf``, ``otlp-protobuf-prefixed``, ``jaeger-json`` or
            ``zipkin-json``.
        spans: The usable ones, in the order of the file.
        rejected: Spans left out, by reason (count).
        errors: One sentence for each part of the file that could not be used.
    """

    format: str
    spans: tuple[Span, ...]
    rejected: Mapping[str, int]
    errors: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    """A file while it is read; ``format`` stays empty until something in it is recognised."""

    name: str
    format: str = ""
    spans: list[Span] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    other_signals: Counter[str] = field(default_factory=Counter)

    def add(self, batch: TraceBatch, file_format: str = "") -> None:
        self.format = self.format or file_format
        self.spans.extend(batch.spans)
        self.rejected.update(batch.rejected)

    def skip(self, signal: str, file_format: str) -> None:
        self.format = self.format or file_format
        self.other_signals[signal] += 1

    def report(self, where: str, problem: object) -> None:
        self.errors.append(f"{self.name}{where}: {problem}")

    def contents(self) -> FileContents:
        for signal, count in sorted(self.other_signals.items()):
            self.report("", f"{count} request(s) hold {signal}, not traces; only traces are analysed")
        return FileContents(
            format=self.format, spans=tuple(self.spans), rejected=dict(self.rejected), errors=tuple(self.errors)
        )


def read_spans(data: bytes, *, name: str) -> FileContents:
    """Read the spans of a file; ``name`` is what messages call it.

    Raise InputError when the file is empty or in no format that is known.
    """
    data = _decompressed(data, name)
    if not data or data.isspace():
        raise InputError(f"{name}: the file is empty; give a file with {KNOWN}")
    problem = ""
    if data.lstrip(UTF8_BOM + b" \t\r\n")[:1] in {b"{", b"["}:
        reading = _Reading(name)
        problem = _read_json(data.removeprefix(UTF8_BOM), reading)
        if reading.format:
            return reading.contents()
    for read in (_read_prefixed, _read_bare):
        reading = _Reading(name)
        read(data, reading)
        if reading.format:
            return reading.contents()
    raise InputError(f"{name}: {problem or f'starts with {data[:12]!r}, which no known format does'}; give {KNOWN}")


def _decompressed(data: bytes, name: str) -> bytes:
    if not data.startswith(GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: damaged gzip file: {error}; compress it again or give it uncompressed") from error


# -- JSON ----------------------------------------------------------------------------------------------------------


def _read_json(data: bytes, reading: _Reading) -> str:
    """Read one document, or one on each line; return why the data is neither."""
    try:
        document = json.load(data)
    except DecodeError as error:
        _read_lines(data, reading)
        return str(error)
    _read_document(document, reading, "")
    if isinstance(document, dict) and "resource_spans" in document:
        return "this JSON has resource_spans where OTLP JSON has resourceSpans; write it with lowerCamelCase keys"
    return "this JSON holds no traces"


def _read_lines(data: bytes, reading: _Reading) -> None:
    """Read JSON lines, as the Collector's file exporter writes them."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line or line.isspace():
            continue
        try:
            document = json.load(line)
        except DecodeError as error:
            reading.report(f" line {number}", error)
            continue
        _read_document(document, reading, f" line {number}")
    if reading.format == "otlp-json":
        reading.format = "otlp-json-lines"


def _read_document(document: object, reading: _Reading, where: str) -> None:
    unknown = 0
    for part in _parts(document):
        if isinstance(part, list):
            reading.add(zipkin.decode_spans(part), "zipkin-json")
        elif jaeger.is_trace(part):
            reading.add(jaeger.decode_trace(part), "jaeger-json")
        elif "resourceSpans" in part:
            _read_otlp_json(part, reading, where)
        elif signal := next((OTHER_SIGNALS[key] for key in part if key in OTHER_SIGNALS), None):
            reading.skip(signal, "otlp-json")
        else:
            unknown += 1
    if unknown:
        reading.report(where, f"{unknown} JSON document(s) hold no traces; remove them or give {KNOWN}")


def _parts(document: object) -> Iterator[Any]:
    """Yield the objects that lists and envelopes hold; Zipkin spans come as one list, because two may share an id."""
    zipkin_spans: list[object] = []
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(reversed(part))
        elif zipkin.is_span(part):
            zipkin_spans.append(part)
        elif isinstance(part, dict):
            inner = next((part[key] for key in ENVELOPES if isinstance(part.get(key), dict | list)), None)
            if inner is None or "resourceSpans" in part:
                yield part
            else:
                waiting.append(inner)
        else:
            # A number or a text: nothing that could hold a trace.
            yield {}
    if zipkin_spans:
        yield zipkin_spans


def _read_otlp_json(document: object, reading: _Reading, where: str) -> None:
    try:
        reading.add(json.decode_document(document, lenient=True), "otlp-json")
    except DecodeError as error:
        reading.format = reading.format or "otlp-json"
        reading.report(where, error)


# -- protobuf ------------------------------------------------------------------------------------------------------


def _read_prefixed(data: bytes, reading: _Reading) -> None:
    """Read requests with their length (4 bytes, big-endian) before each."""
    size = int.from_bytes(data[:PREFIX_BYTES], "big")
    # A first byte below 0x0a tells prefixes from a bare request and from text; it bounds a request to 160 MiB.
    complete = data[0] == 0 or len(data) >= PREFIX_BYTES + size
    if data[0] >= REPEATED_FIELD_1[0] or data[PREFIX_BYTES : PREFIX_BYTES + 1] != REPEATED_FIELD_1 or not complete:
        return
    reading.format = "otlp-protobuf-prefixed"
    offset = number = 0
    while offset < len(data):
        number += 1
        size = int.from_bytes(data[offset : offset + PREFIX_BYTES], "big")
        start = offset + PREFIX_BYTES
        offset = start + size
        if offset > len(data):
            here = max(0, len(data) - start)
            reading.report(
                f" request {number}", f"cut off: {here} of {size} bytes are here; the requests before it count"
            )
        else:
            _read_request(data[start:offset], reading, f" request {number}")


def _read_bare(data: bytes, reading: _Reading) -> None:
    """Read one request with nothing around it."""
    if not data.startswith(REPEATED_FIELD_1):
        return
    _read_request(data, reading, "")
    if reading.spans or reading.rejected or reading.other_signals:
        reading.format = "otlp-protobuf"


def _read_request(data: bytes, reading: _Reading, where: str) -> None:
    batch, problem = TraceBatch(spans=()), None
    try:
        batch = protobuf.decode_traces(data)
    except DecodeError as error:
        problem = error
    if not batch.spans and data and (signal := protobuf.other_signal(data)):
        reading.other_signals[signal] += 1
    elif problem is not None:
        reading.report(where, problem)
    else:
        reading.add(batch)
