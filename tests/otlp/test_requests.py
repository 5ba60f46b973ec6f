import pytest

from otel_wfperf.errors import DecodeError
from otel_wfperf.otlp import protobuf
from otel_wfperf.otlp.requests import check, check_json
from tests.otlp.requests import LOGS, METRICS, payload
from tests.sidecar import requests


def test_keeps_the_bytes_of_a_valid_request() -> None:
    checked = check("traces", requests.traces(3))

    assert (checked.data, checked.items, checked.rejected) == (requests.traces(3), 3, {})


def test_leaves_out_spans_with_unusable_ids_and_counts_them() -> None:
    checked = check("traces", requests.traces(2) + requests.traces(1, trace_id=bytes(16)))

    assert (checked.items, checked.rejected) == (2, {"invalid_trace_id": 1})
    assert len(protobuf.decode_traces(checked.data).spans) == 2


@pytest.mark.parametrize(("signal", "document"), [("metrics", METRICS), ("logs", LOGS)])
def test_counts_what_is_in_a_request_of_either_encoding(signal: str, document: object) -> None:
    from_json = check_json(signal, payload(document))

    assert from_json.items > 0
    assert check(signal, from_json.data) == from_json


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_refuses_what_is_no_request(signal: str) -> None:
    with pytest.raises(DecodeError):
        check(signal, b"\xff")
    with pytest.raises(DecodeError):
        check_json(signal, b"[")
