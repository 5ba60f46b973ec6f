from dataclasses import replace

from otel_wfperf.conventions import normalize
from otel_wfperf.otlp import protobuf
from otel_wfperf.sidecar.annotation import annotation, annotation_id
from tests.sidecar.executions import execution, finding


def test_puts_each_finding_into_an_event_of_a_span_below_the_root() -> None:
    one = execution(1)

    span = annotation(one, [finding(1), replace(finding(1, detector="other"), saving=None)])

    assert (span.trace_id, span.parent_id, span.name) == (one.trace_id, one.root_id, "wfperf findings")
    assert (span.start_ns, span.end_ns) == (one.root.start_ns, one.root.end_ns)
    assert span.attributes == {"wfperf.finding.count": 2, "gen_ai.workflow.name": "research"}
    first, second = span.events
    assert first.time_ns == one.root.end_ns
    assert first.attributes == {
        "wfperf.finding.detector": "n_plus_one",
        "wfperf.finding.severity": "high",
        "wfperf.finding.confidence": "observed",
        "wfperf.finding.subject": "tool:search",
        "wfperf.finding.summary": "11 calls one after another",
        "wfperf.finding.recommendation": "Send one request.",
        "wfperf.finding.fingerprint": finding(1).fingerprint,
        "wfperf.finding.saving": 0.5,
    }
    assert "wfperf.finding.saving" not in second.attributes


def test_the_id_depends_on_trace_and_version_only() -> None:
    again = annotation(execution(1), [finding(1)])

    assert annotation(execution(1), []).span_id == again.span_id == annotation_id(f"{1:032x}", 1)
    assert annotation(replace(execution(1), version=2), []).span_id != again.span_id
    assert annotation(execution(2), []).span_id != again.span_id


def test_survives_the_wire_and_is_never_analysed() -> None:
    span = annotation(execution(1), [finding(1)])

    assert protobuf.decode_traces(protobuf.encode_traces([span])).spans == (span,)
    assert normalize(span) is None
