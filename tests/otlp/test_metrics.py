from __future__ import annotations

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_wfperf.errors import DecodeError
from otel_wfperf.otlp.metrics import GaugePoint, decode_gauges

NAMES = frozenset({"load", "queued"})


def request(**resource: str) -> tuple[ExportMetricsServiceRequest, ExportMetricsServiceRequest]:
    """Return a request and what its metrics are added to."""
    made = ExportMetricsServiceRequest()
    of_process = made.resource_metrics.add()
    for key, value in resource.items():
        of_process.resource.attributes.add(key=key.replace("_", ".")).value.string_value = value
    return made, of_process.scope_metrics.add()  # type: ignore[return-value]  # messages have no better type


def test_reads_gauges_and_sums_that_may_fall() -> None:
    made, scope = request(service_name="checkout", service_instance_id="42")
    load = scope.metrics.add(name="load", unit="1")  # type: ignore[attr-defined]
    load.gauge.data_points.add(as_double=0.5)
    queued = scope.metrics.add(name="queued", unit="{request}")  # type: ignore[attr-defined]
    point = queued.sum.data_points.add(as_int=7)
    point.attributes.add(key="kind").value.string_value = "queue"

    assert decode_gauges(made.SerializeToString(), NAMES) == (
        GaugePoint(metric="load", service="checkout", instance="42", value=0.5, unit="1"),
        GaugePoint(metric="queued", service="checkout{kind=queue}", instance="42", value=7.0, unit="{request}"),
    )


def test_leaves_out_what_says_nothing_now() -> None:
    made, scope = request()
    total = scope.metrics.add(name="queued")  # type: ignore[attr-defined]
    total.sum.is_monotonic = True
    total.sum.data_points.add(as_int=7)
    load = scope.metrics.add(name="load")  # type: ignore[attr-defined]
    load.gauge.data_points.add(as_double=float("nan"))
    load.gauge.data_points.add(as_double=float("inf"))
    load.gauge.data_points.add(as_double=0.9, flags=1)
    scope.metrics.add(name="load").histogram.data_points.add(count=1)  # type: ignore[attr-defined]
    scope.metrics.add(name="load")  # type: ignore[attr-defined]
    scope.metrics.add(name="other").gauge.data_points.add(as_int=1)  # type: ignore[attr-defined]

    assert decode_gauges(made.SerializeToString(), NAMES) == ()


def test_names_are_bounded_and_a_service_without_a_name_has_one() -> None:
    made, scope = request(host_name="h" * 1_000)
    point = scope.metrics.add(name="load").gauge.data_points.add(as_int=1)  # type: ignore[attr-defined]
    point.attributes.add(key="k").value.string_value = "v" * 1_000

    [found] = decode_gauges(made.SerializeToString(), NAMES)
    assert (found.service[:20], len(found.service), len(found.instance)) == ("unknown_service{k=vv", 200, 200)


def test_bytes_that_are_no_request_are_an_error() -> None:
    with pytest.raises(DecodeError):
        decode_gauges(b"\xff", NAMES)
