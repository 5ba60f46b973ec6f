import pytest

from otel_wfperf.model import AttributeValue, SpanKind, StatusCode
from otel_wfperf.otlp.tags import take_fields


@pytest.mark.parametrize(
    ("tags", "status", "message"),
    [
        ({}, StatusCode.UNSET, ""),
        ({"error": True}, StatusCode.ERROR, ""),
        ({"error": "true"}, StatusCode.ERROR, ""),
        ({"error": ""}, StatusCode.ERROR, ""),
        ({"error": "timeout"}, StatusCode.ERROR, "timeout"),
        ({"error": False}, StatusCode.UNSET, ""),
        ({"error": "false"}, StatusCode.UNSET, ""),
        ({"otel.status_code": "OK"}, StatusCode.OK, ""),
        ({"otel.status_code": "error", "otel.status_description": "full"}, StatusCode.ERROR, "full"),
        ({"otel.status_code": "ERROR", "error": "full"}, StatusCode.ERROR, "full"),
        ({"otel.status_code": "OK", "error": "true"}, StatusCode.OK, ""),
        ({"otel.status_code": 7}, StatusCode.UNSET, ""),
    ],
)
def test_reads_the_status(tags: dict[str, AttributeValue], status: StatusCode, message: str) -> None:
    fields = take_fields(tags)

    assert (fields.status, fields.status_message) == (status, message)
    assert fields.attributes == {}


def test_prefers_the_scope_to_the_library_and_sums_what_was_dropped() -> None:
    fields = take_fields(
        {
            "otel.library.name": "old",
            "otel.scope.name": "new",
            "otel.library.version": "1",
            "otel.dropped_attributes_count": "2",
            "otel.dropped_events_count": 3,
            "otel.dropped_links_count": "many",
            "span.kind": "producer",
        }
    )

    assert (fields.scope, fields.scope_version, fields.dropped, fields.kind) == ("new", "1", 5, SpanKind.PRODUCER)


def test_leaves_other_tags_and_its_argument_alone() -> None:
    tags: dict[str, AttributeValue] = {"span.kind": "sideways", "http.method": "GET"}

    fields = take_fields(tags)

    assert (fields.kind, fields.attributes) == (SpanKind.UNSPECIFIED, {"http.method": "GET"})
    assert "span.kind" in tags
