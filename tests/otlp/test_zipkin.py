from typing import Any

import pytest

from otel_wfperf.model import Event, Span, SpanKind, StatusCode
from otel_wfperf.otlp.zipkin import decode_spans, is_span

TRACE_ID = "000000000000000000000000000000f1"


def span(span_id: str, service: str = "gateway", **fields: Any) -> dict[str, Any]:
    return {
        "traceId": "f1",
        "id": span_id,
        "name": "get",
        "timestamp": 1_700_000_000_000_001,
        "duration": 250,
        "localEndpoint": {"serviceName": service},
    } | fields


def decode(*spans: Any) -> tuple[Span, ...]:
    batch = decode_spans(spans)
    assert batch.rejected == {}
    return batch.spans


def test_reads_a_span_with_everything_on_it() -> None:
    [decoded] = decode(
        span(
            "A1",
            parentId="b2",
            kind="CLIENT",
            localEndpoint={"serviceName": "gateway", "ipv4": "10.0.0.1"},
            remoteEndpoint={"serviceName": "model", "ipv6": "::1", "port": 443},
            annotations=[
                {"timestamp": 1_700_000_000_000_002, "value": "wire.send"},
                {"timestamp": 1_700_000_000_000_003, "value": '"exception": { "attempt": 2 }'},
            ],
            tags={"error": "rate limited", "http.method": "POST", "otel.scope.name": "httpx"},
        )
    )

    assert decoded == Span(
        trace_id=TRACE_ID,
        span_id="00000000000000a1",
        parent_id="00000000000000b2",
        name="get",
        kind=SpanKind.CLIENT,
        start_ns=1_700_000_000_000_001_000,
        end_ns=1_700_000_000_000_251_000,
        attributes={
            "http.method": "POST",
            "peer.service": "model",
            "network.peer.address": "::1",
            "network.peer.port": 443,
        },
        status=StatusCode.ERROR,
        status_message="rate limited",
        events=(
            Event(name="wire.send", time_ns=1_700_000_000_000_002_000),
            Event(name="exception", time_ns=1_700_000_000_000_003_000, attributes={"attempt": 2}),
        ),
        scope="httpx",
        resource={"service.name": "gateway", "host.ip": ("10.0.0.1",)},
    )


def test_span_without_a_kind_is_internal_and_without_a_duration_never_ended() -> None:
    [decoded] = decode(span("1", duration=None))

    assert decoded.kind is SpanKind.INTERNAL
    assert decoded.end_ns == 0


def test_takes_the_first_annotation_when_there_is_no_timestamp() -> None:
    [decoded] = decode(span("1", timestamp=None, annotations=[{"timestamp": 5, "value": "sr"}]))

    assert decoded.start_ns == 5_000


@pytest.mark.parametrize("mark", [{"shared": True}, {}])
def test_server_side_of_a_shared_span_gets_its_own_id_below_the_client(mark: dict[str, bool]) -> None:
    server, client, local = decode(
        span("2", "model", parentId="1", kind="SERVER", **mark),
        span("2", "gateway", parentId="1", kind="CLIENT"),
        span("3", "model", parentId="2"),
    )

    assert (client.span_id, client.parent_id) == ("0000000000000002", "0000000000000001")
    assert server.parent_id == client.span_id
    assert server.span_id not in {client.span_id, local.span_id}
    assert local.parent_id == server.span_id


def test_derived_ids_are_the_same_each_time_and_differ_between_services() -> None:
    spans = [
        span("2", "gateway", kind="CLIENT"),
        span("2", "model", kind="SERVER", shared=True),
        span("2", "mirror", kind="SERVER", shared=True),
    ]

    ids = [decoded.span_id for decoded in decode(*spans)]

    assert len(set(ids)) == 3
    assert ids == [decoded.span_id for decoded in decode(*spans)]


def test_child_of_the_client_side_stays_with_the_client() -> None:
    client, _, local = decode(
        span("2", "gateway", kind="CLIENT"),
        span("2", "model", kind="SERVER", shared=True),
        span("3", "gateway", parentId="2"),
    )

    assert local.parent_id == client.span_id


def test_shared_span_whose_client_is_not_here_keeps_its_id() -> None:
    [server] = decode(span("2", kind="SERVER", shared=True, parentId="1"))

    assert (server.span_id, server.parent_id) == ("0000000000000002", "0000000000000001")


def test_equal_ids_in_different_traces_are_not_shared() -> None:
    client, server = decode(span("2", kind="CLIENT"), span("2", kind="SERVER", traceId="f2"))

    assert client.span_id == server.span_id


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceId": "xyz"}, "invalid_trace_id"),
        ({"id": 5}, "invalid_id"),
        ({"parentId": "xyz"}, "invalid_parent_id"),
        ({"timestamp": None}, "invalid_timestamp"),
        ({"timestamp": [[[]]]}, "invalid_timestamp"),
        ({"duration": -1}, "invalid_duration"),
        ({"tags": []}, "invalid_tags"),
        ({"localEndpoint": "x"}, "invalid_local_endpoint"),
        ({"annotations": [1]}, "invalid_annotations"),
    ],
)
def test_bad_span_costs_itself_only(fields: dict[str, Any], reason: str) -> None:
    batch = decode_spans([span("1"), span("2", **fields), "x"])

    assert [decoded.span_id for decoded in batch.spans] == ["0000000000000001"]
    assert batch.rejected == {reason: 1, "invalid_span": 1}


def test_recognises_its_own_spans_only() -> None:
    assert is_span(span("1"))
    assert not is_span({"traceID": "1", "spanID": "2"})
    assert not is_span([])
