"""Our own decoder of traces against the official one; both run here, whichever of them the sidecar uses."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.errors import DecodeError, InputError
from otel_wfperf.model import Span
from otel_wfperf.otlp import files, protobuf, traces
from otel_wfperf.otlp.batch import TraceBatch
from tests.otlp import soup
from tests.otlp.soup import varint
from tests.otlp.strategies import SPANS

MESSAGES = int(os.environ.get("WFPERF_GENERATED_MESSAGES", "1500"))


def official(data: bytes) -> TraceBatch:
    return protobuf.batch_of(protobuf.parse(ExportTraceServiceRequest, data))


def agreed(data: bytes) -> TraceBatch | None:
    """Decode with both, and say what both of them say; None = both refuse."""
    try:
        expected = official(data)
    except DecodeError:
        with pytest.raises(DecodeError, match=f"^{len(data)} bytes are not a protobuf ExportTraceServiceRequest: "):
            traces.decode_traces(data)
        return None
    found = traces.decode_traces(data)
    # As text, because not a number is not equal to itself, and True is equal to 1.
    assert repr(found) == repr(expected)
    return found


@pytest.mark.parametrize("part", range(10))
def test_agrees_with_the_official_decoder_on_any_fields_in_any_order(part: int) -> None:
    refused = spans = 0
    for seed in range(part, MESSAGES, 10):
        batch = agreed(soup.request(soup.Chance(seed)))
        refused += batch is None
        spans += len(batch.spans) if batch else 0

    assert refused
    assert spans


@given(SPANS)
def test_agrees_with_the_official_decoder_on_spans(spans: list[Span]) -> None:
    assert agreed(protobuf.encode_traces(spans)) is not None


@given(SPANS)
def test_agrees_with_the_official_decoder_wherever_a_request_is_cut(spans: list[Span]) -> None:
    data = protobuf.encode_traces(spans)
    for end in range(0, len(data), max(1, len(data) // 20)):
        agreed(data[:end])


@pytest.mark.shared
def test_agrees_with_the_official_decoder_on_every_recording(shared: Path) -> None:
    recordings = 0
    for path in sorted((shared / "data").rglob("*")):
        if path.suffix == ".pb":
            agreed(path.read_bytes())
            recordings += 1
        elif path.suffix in {".json", ".jsonl"}:
            with contextlib.suppress(InputError):  # some hold no traces
                contents = files.read_spans(path.read_bytes(), name=path.name)
                recordings += agreed(protobuf.encode_traces(contents.spans)) is not None

    assert recordings


def deep(opening: bytes, levels: int) -> bytes:
    """Build a request with values in one another."""
    value = b"\x18\x01"
    for _ in range(levels):
        value = opening + chunk(b"\x0a" + chunk(b"\x12" + chunk(value) if opening == b"\x32" else value))
    span = b"\x0a" + chunk(b"a" * 16) + b"\x12" + chunk(b"b" * 8) + b"\x4a" + chunk(b"\x12" + chunk(value))
    return b"\x0a" + chunk(b"\x12" + chunk(b"\x12" + chunk(span)))


def chunk(content: bytes) -> bytes:
    return varint(len(content)) + content


@pytest.mark.parametrize(("opening", "most"), [(b"\x2a", 47), (b"\x32", 31)])
def test_refuses_what_is_nested_too_deeply_where_the_official_decoder_does(opening: bytes, most: int) -> None:
    outcomes = [agreed(deep(opening, levels)) is not None for levels in range(most - 10, most + 10)]

    assert outcomes == sorted(outcomes, reverse=True)
    assert True in outcomes
    assert False in outcomes


def test_says_what_is_wrong_with_bytes() -> None:
    with pytest.raises(DecodeError, match="a field is longer than what it is in; check that the content type"):
        traces.decode_traces(b"\x0a\x05abc")
