from __future__ import annotations

from random import Random
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.config import ExporterConfig
from otel_wfperf.model import ExecutionStatus, Severity
from otel_wfperf.sidecar.exporters.selection import cut, is_sampled, is_wanted, spans_by_trace
from otel_wfperf.store import Verdict

# Its last 56 bits are 0: in no sample but a whole one.
TRACE = "0" * 31 + "1"
OK, ERROR, INCOMPLETE = (ExecutionStatus.OK, ExecutionStatus.ERROR, ExecutionStatus.INCOMPLETE)


def config(forward: str, **more: Any) -> ExporterConfig:
    return ExporterConfig.model_validate({"name": "b", "endpoint": "http://b:1", "forward": forward, **more})


@pytest.mark.parametrize(
    ("forward", "status", "severity", "wanted"),
    [
        ("errors", ERROR, None, True),
        ("errors", INCOMPLETE, None, True),
        ("errors", OK, Severity.CRITICAL, False),
        ("findings", ERROR, None, False),
        ("findings", OK, Severity.LOW, True),
        ("findings", OK, Severity.CRITICAL, True),
        ("findings", OK, Severity.INFO, False),
    ],
)
def test_a_trace_is_wanted_for_what_came_out_of_it(
    forward: str, status: ExecutionStatus, severity: Severity | None, *, wanted: bool
) -> None:
    assert is_wanted(config(forward), TRACE, Verdict(status=status, severity=severity)) is wanted


def test_the_least_severity_can_be_chosen() -> None:
    high = config("findings", min_severity="high")

    assert is_wanted(high, TRACE, Verdict(status=OK, severity=Severity.HIGH))
    assert not is_wanted(high, TRACE, Verdict(status=OK, severity=Severity.MEDIUM))


@pytest.mark.parametrize("forward", ["errors", "findings"])
def test_what_cannot_be_judged_is_wanted(forward: str) -> None:
    assert is_wanted(config(forward), TRACE, None)


def test_a_share_of_the_others_is_wanted_as_well() -> None:
    dull = Verdict(status=OK, severity=None)

    assert is_wanted(config("errors", sample_ratio=0.5), "f" * 32, dull)
    assert not is_wanted(config("errors", sample_ratio=0.5), TRACE, dull)


def test_samples_the_share_that_was_asked_for_and_more_when_asked_for_more() -> None:
    random = Random(3)
    trace_ids = [f"{random.getrandbits(128):032x}" for _ in range(10_000)]

    kept = {ratio: {each for each in trace_ids if is_sampled(each, ratio)} for ratio in (0.0, 0.01, 0.25, 1.0)}

    assert [len(kept[ratio]) for ratio in (0.0, 1.0)] == [0, 10_000]
    assert 70 <= len(kept[0.01]) <= 130
    assert 2_350 <= len(kept[0.25]) <= 2_650
    assert kept[0.01] < kept[0.25]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"forward": "sample"}, "needs a sample_ratio above 0"),
        ({"sample_ratio": 0.1}, "forward: all sends every trace"),
    ],
)
def test_refuses_a_sample_of_nothing_and_of_everything(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ExporterConfig.model_validate({"name": "b", "endpoint": "http://b:1", **more})


def request(*resources: list[list[int]]) -> ExportTraceServiceRequest:
    """Build spans of traces (numbers) in scopes in resources."""
    built = ExportTraceServiceRequest()
    for number, scopes in enumerate(resources):
        resource = built.resource_spans.add(schema_url=f"schema {number}")
        resource.resource.attributes.add(key="n").value.int_value = number
        for spans in scopes:
            scope = resource.scope_spans.add(schema_url="scope schema")
            for trace in spans:
                scope.spans.add(trace_id=bytes([trace]) * 16, span_id=b"\x07" * 8, name=f"of {trace}")
    return built


def test_cuts_out_the_spans_of_a_trace_with_their_resource_and_scope() -> None:
    part = cut(request([[1, 2, 1], [2]], [[2, 2]], [[1]]).SerializeToString(), lambda trace: trace == "01" * 16)

    expected = request([[1, 1]], [], [[1]])
    del expected.resource_spans[1]
    assert ExportTraceServiceRequest.FromString(part.data) == expected
    assert part.spans == 3


def test_fields_of_a_later_otlp_stay_in_a_cut() -> None:
    unknown = b"\xca\x3e\x03abc"  # field 1001
    whole = request([[1, 2]])
    span = type(whole.resource_spans[0].scope_spans[0].spans[0]).FromString(
        whole.resource_spans[0].scope_spans[0].spans[0].SerializeToString() + unknown
    )
    whole.resource_spans[0].scope_spans[0].spans[0].CopyFrom(span)

    part = cut(whole.SerializeToString() + unknown, lambda trace: trace == "01" * 16)

    assert part.data.count(unknown) == 2


def test_counts_spans_by_trace() -> None:
    assert spans_by_trace(request([[1, 2, 1]], [[1]]).SerializeToString()) == {"01" * 16: 3, "02" * 16: 1}


def test_what_no_detector_looked_at_is_sent_where_findings_decide() -> None:
    unseen = Verdict(status=OK, severity=None, compared=False)

    assert is_wanted(config("findings"), TRACE, unseen)
    assert not is_wanted(config("errors"), TRACE, unseen)
