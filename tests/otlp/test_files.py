import contextlib
import gzip
import json as standard_json
import random
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.errors import InputError
from otel_wfperf.model import Span
from otel_wfperf.otlp import json, protobuf
from otel_wfperf.otlp.files import FileContents, read_spans
from tests.conftest import shared_folder
from tests.otlp.requests import LOGS, METRICS, payload, span_json, traces_json
from tests.otlp.strategies import written

ONE = traces_json(span_json(name="one"))
TWO = traces_json(span_json(name="two", spanId="2" * 16))
JAEGER = {"traceID": "1", "processes": {}, "spans": [{"traceID": "1", "spanID": "2", "startTime": 3, "duration": 4}]}
ZIPKIN = {"traceId": "1", "id": "2", "timestamp": 3, "duration": 4}


def read(data: bytes) -> FileContents:
    return read_spans(data, name="run.data")


def names(contents: FileContents) -> list[str]:
    return [span.name for span in contents.spans]


def prefixed(*requests: bytes) -> bytes:
    return b"".join(len(request).to_bytes(4, "big") + request for request in requests)


def proto(document: dict[str, Any]) -> bytes:
    return json.transcode_traces(payload(document))


LINES = payload(ONE) + b"\n" + payload(TWO) + b"\n"
PRETTY = standard_json.dumps(ONE, indent=2).encode()


@pytest.mark.parametrize(
    ("data", "file_format", "expected"),
    [
        (payload(ONE), "otlp-json", ["one"]),
        (b"\xef\xbb\xbf\r\n" + PRETTY, "otlp-json", ["one"]),
        (payload([ONE, TWO]), "otlp-json", ["one", "two"]),
        (payload({"data": [ONE, TWO]}), "otlp-json", ["one", "two"]),
        (payload({"result": ONE}), "otlp-json", ["one"]),
        (payload(ONE | {"data": ["unknown keys are ignored"]}), "otlp-json", ["one"]),
        (LINES, "otlp-json-lines", ["one", "two"]),
        (LINES.replace(b"\n", b"\r\n\r\n"), "otlp-json-lines", ["one", "two"]),
        (prefixed(proto(ONE), proto(TWO)), "otlp-protobuf-prefixed", ["one", "two"]),
        (prefixed(proto(ONE), b""), "otlp-protobuf-prefixed", ["one"]),
        (proto(ONE), "otlp-protobuf", ["one"]),
        (payload(JAEGER), "jaeger-json", [""]),
        (payload({"data": [JAEGER, JAEGER], "total": 0, "errors": None}), "jaeger-json", ["", ""]),
        (payload([ZIPKIN, ZIPKIN]), "zipkin-json", ["", ""]),
        (payload([[ZIPKIN], [ZIPKIN]]), "zipkin-json", ["", ""]),
    ],
)
def test_tells_the_format_from_the_content(data: bytes, file_format: str, expected: list[str]) -> None:
    for packed in (data, gzip.compress(data)):
        contents = read(packed)

        assert (contents.format, names(contents)) == (file_format, expected)
        assert (contents.errors, contents.rejected) == ((), {})


def test_bare_request_that_looks_like_json_at_first_is_protobuf() -> None:
    # A resource of 123 bytes: the request starts with a line feed and an opening brace.
    padding = next(size for size in range(100) if proto(traces_json(span_json(name="x" * size)))[1] == ord("{"))

    contents = read(proto(traces_json(span_json(name="x" * padding))))

    assert contents.format == "otlp-protobuf"
    assert len(contents.spans) == 1


def test_both_sides_of_a_zipkin_call_are_found_across_traces_of_the_api() -> None:
    client, server = ZIPKIN | {"kind": "CLIENT"}, ZIPKIN | {"kind": "SERVER", "shared": True}

    first, second = read(payload([[client], [server]])).spans

    assert second.parent_id == first.span_id


def test_broken_line_is_reported_with_its_number_and_the_rest_is_kept() -> None:
    contents = read(payload(ONE) + b"\n{broken\n\xff\n" + payload(TWO) + b"\n" + payload(ONE)[:-9])

    assert names(contents) == ["one", "two"]
    assert [error.split(":")[0] for error in contents.errors] == [
        "run.data line 2",
        "run.data line 3",
        "run.data line 5",
    ]


def test_lines_with_other_signals_are_skipped_and_counted() -> None:
    contents = read(b"\n".join(payload(document) for document in (METRICS, ONE, LOGS, METRICS, {"a": 1})))

    assert (contents.format, names(contents)) == ("otlp-json-lines", ["one"])
    assert [error.removeprefix("run.data").split(";")[0] for error in contents.errors] == [
        " line 5: 1 JSON document(s) hold no traces",
        ": 1 request(s) hold logs, not traces",
        ": 2 request(s) hold metrics, not traces",
    ]


@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_file_with_another_signal_says_so(signal: str) -> None:
    document = METRICS if signal == "metrics" else LOGS
    encoded = (json.transcode_metrics if signal == "metrics" else json.transcode_logs)(payload(document))

    for data in (payload(document), prefixed(encoded), encoded):
        contents = read(data)

        assert contents.spans == ()
        assert contents.rejected == {}
        assert contents.errors == (f"run.data: 1 request(s) hold {signal}, not traces; only traces are analysed",)


def test_bad_span_costs_itself_only() -> None:
    bad = [span_json(kind="SPAN_KIND_SERVER"), span_json(spanId="0" * 16), span_json(startTimeUnixNano=1.5)]

    contents = read(payload(traces_json(span_json(name="good"), *bad)))

    assert names(contents) == ["good"]
    assert contents.rejected == {"invalid_kind": 1, "invalid_span_id": 1, "invalid_start_time_unix_nano": 1}


def test_bad_resource_costs_its_document_only() -> None:
    contents = read(payload([{"resourceSpans": 7}, ONE]))

    assert names(contents) == ["one"]
    assert "ExportTraceServiceRequest.resourceSpans: 7 is wrong" in contents.errors[0]


@pytest.mark.parametrize("lost", [1, 5, len(proto(TWO)), len(proto(TWO)) + 2])
def test_cut_off_tail_is_reported_and_the_rest_is_kept(lost: int) -> None:
    contents = read(prefixed(proto(ONE), proto(TWO))[:-lost])

    assert names(contents) == ["one"]
    assert len(contents.errors) == 1
    assert contents.errors[0].startswith("run.data request 2: cut off")


def test_file_that_is_one_cut_off_request_is_not_unknown() -> None:
    contents = read(prefixed(proto(ONE))[:-1])

    assert (contents.format, contents.spans) == ("otlp-protobuf-prefixed", ())
    assert "cut off" in contents.errors[0]


def test_damaged_request_between_others_is_reported() -> None:
    contents = read(prefixed(proto(ONE), b"\x0a\xff\xff", proto(TWO)))

    assert names(contents) == ["one", "two"]
    assert contents.errors[0].startswith("run.data request 2: 3 bytes are not a protobuf")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty; give a file with OTLP JSON"),
        (b" \n\n", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (gzip.compress(PRETTY)[:-20], "damaged gzip file"),
        (b"\x1f\x8b damaged", "damaged gzip file"),
        (PRETTY[:-20], "are not JSON: .* line .* column"),
        (b"{}", "holds no traces"),
        (b"[]", "holds no traces"),
        (b"[1, null]", "holds no traces"),
        (b'{"data": [], "total": 0}', "holds no traces"),
        (b'{"resource_spans": []}', "resource_spans where OTLP JSON has resourceSpans"),
        (b"trace_id,span_id\n1,2\n", "starts with b'trace_id,spa', which no known format does; give OTLP JSON"),
        (b"\x0a\x00", "no known format"),
        (b"\x00", "no known format"),
        (b"PK\x03\x04", "no known format"),
    ],
)
def test_unusable_file_is_refused_with_the_next_step(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)^run\.data: .*{message}"):
        read(data)


def test_damaged_files_are_read_or_refused() -> None:
    dice = random.Random(4711)
    whole = [payload(ONE), LINES, PRETTY, prefixed(proto(ONE), proto(TWO)), proto(ONE), gzip.compress(LINES)]
    whole += [payload({"data": [JAEGER]}), payload([ZIPKIN, ZIPKIN | {"shared": True}])]
    for _ in range(1_000):
        only_refuses(dice.randbytes(dice.randrange(64)))
        damaged = bytearray(dice.choice(whole))
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.choice(b'[]{}",:0\x00\xff')
        only_refuses(bytes(damaged))


@pytest.mark.parametrize("depth", [500, *range(900, 1000, 3), 100_000])
@pytest.mark.parametrize("document", [ZIPKIN | {"tags": {"k": "HERE"}}, JAEGER | {"spans": ["HERE"]}, ["HERE"], ONE])
def test_deep_nesting_is_read_or_refused(document: object, depth: int) -> None:
    for opened, closed in (("[", "]"), ('{"data":', "}")):
        nested = (opened * depth + "1" + closed * depth).encode()
        only_refuses(payload(document).replace(b'"HERE"', nested).replace(b'"one"', nested))


def only_refuses(data: bytes) -> None:
    with contextlib.suppress(InputError):
        read(data)


# -- reference data ------------------------------------------------------------------------------------------------


def reference_files(pattern: str) -> list[str]:
    folder = shared_folder() / "data"
    return sorted(str(path.relative_to(folder)) for path in folder.glob(pattern)) or ["missing"]


def raw_spans(path: Path) -> list[dict[str, Any]]:
    """List the spans of a file of OTLP/JSON documents by looking for objects that have a span id and a name."""
    found: list[dict[str, Any]] = []

    def look(item: dict[str, Any]) -> dict[str, Any]:
        if "spanId" in item and "startTimeUnixNano" in item:
            found.append(item)
        return item

    text = path.read_text()
    for document in text.splitlines() if path.suffix == ".jsonl" else [text]:
        standard_json.loads(document, object_hook=look)
    return found


@pytest.mark.shared
@pytest.mark.parametrize("file", reference_files("traces/**/*.json"))
def test_every_reference_trace_is_read_whole(shared: Path, file: str) -> None:
    path = shared / "data" / file
    contents = read_spans(path.read_bytes(), name=file)
    raw = raw_spans(path)
    holds_traces = path.stem not in {"events", "logs", "metrics"}

    assert [span.span_id for span in contents.spans] == [span["spanId"].lower() for span in raw if holds_traces]
    assert {span.trace_id for span in contents.spans} == {s["traceId"].lower() for s in raw if holds_traces}
    assert [span.start_ns for span in contents.spans] == [int(s["startTimeUnixNano"]) for s in raw if holds_traces]
    assert contents.rejected == {}
    assert bool(contents.errors) is not holds_traces


@pytest.mark.shared
@pytest.mark.parametrize("file", reference_files("captures/*.jsonl"))
def test_capture_is_equal_in_both_encodings(shared: Path, file: str) -> None:
    as_json = shared / "data" / file
    as_protobuf = as_json.with_suffix(".pb")
    first = read_spans(as_json.read_bytes(), name=as_json.name)
    second = read_spans(as_protobuf.read_bytes(), name=as_protobuf.name)

    assert first.spans == second.spans
    assert (first.rejected, second.rejected) == ({}, {})
    if ".metrics." in file:
        assert (first.spans, len(first.errors), len(second.errors)) == ((), 1, 1)
    else:
        assert len(first.spans) == len(raw_spans(as_json))
        assert (first.errors, second.errors) == ((), ())


@pytest.mark.shared
@pytest.mark.parametrize("file", reference_files("captures/*.pb"))
def test_captured_spans_survive_both_encodings(shared: Path, file: str) -> None:
    spans: tuple[Span, ...] = read_spans((shared / "data" / file).read_bytes(), name=file).spans

    assert written(protobuf.decode_traces(protobuf.encode_traces(spans)).spans) == written(spans)
    assert written(json.decode_traces(json.encode_traces(spans)).spans) == written(spans)
