"""Metrics requests -> the last values of chosen gauges. All other metrics mean nothing here.

Source: opentelemetry-proto, collector/metrics/v1/metrics_service.proto and metrics/v1/metrics.proto.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import text
from otel_wfperf.model import Attributes
from otel_wfperf.otlp.protobuf import attributes_of, parse

# Chosen: enough of a name to know it again.
_MAX_CHARACTERS: Final = 200
# Source: opentelemetry-proto, DataPointFlags.NO_RECORDED_VALUE.
_NO_VALUE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugePoint:
    """The value of a gauge.

    Attributes:
        metric: Its name.
        service: Whose it is and, where the point has attributes, which of the values: ``checkout{agent=a}``.
        instance: Which process of the service; empty = not said.
        value: In its unit.
        unit: UCUM unit; empty = not said.
    """

    metric: str
    service: str
    instance: str
    value: float
    unit: str


def decode_gauges(data: bytes, names: Collection[str]) -> tuple[GaugePoint, ...]:
    """Decode the gauges, and sums that may fall, with one of these names; raise DecodeError when it is no request.

    Values that are no number are left out.
    """
    found: list[GaugePoint] = []
    for resource_metrics in parse(ExportMetricsServiceRequest, data).resource_metrics:
        resource: Attributes | None = None
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                if metric.name in names:
                    if resource is None:
                        resource = attributes_of(resource_metrics.resource.attributes)
                    found.extend(_points(metric, resource))
    return tuple(found)


def _points(metric: Metric, resource: Attributes) -> Iterator[GaugePoint]:
    service = text(resource, semconv.SERVICE_NAME) or "unknown_service"
    instance = text(resource, semconv.SERVICE_INSTANCE_ID, semconv.HOST_NAME) or ""
    for point in _data_points(metric):
        value = point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)
        if math.isfinite(value) and not point.flags & _NO_VALUE:
            yield GaugePoint(
                metric=metric.name,
                service=(service + _labels(attributes_of(point.attributes)))[:_MAX_CHARACTERS],
                instance=instance[:_MAX_CHARACTERS],
                value=value,
                unit=metric.unit[:_MAX_CHARACTERS],
            )


def _data_points(metric: Metric) -> Iterable[NumberDataPoint]:
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        return metric.gauge.data_points
    return metric.sum.data_points if kind == "sum" and not metric.sum.is_monotonic else ()


def _labels(attributes: Attributes) -> str:
    named = ",".join(f"{key}={value!s}" for key, value in sorted(attributes.items()))
    return f"{{{named}}}" if named else ""
