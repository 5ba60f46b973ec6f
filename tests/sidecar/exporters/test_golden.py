"""Nothing is changed on the way: figure 25 in small."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from benchmarks.reliability.figure_25_golden import from_collector
from benchmarks.reliability.golden import FEATURES, encoded, fields, golden_spans, pairwise
from otel_wfperf.sidecar.embedded import embedded
from tests.peers import running_collector
from tests.processes import eventually
from tests.sidecar.running import configured, exporter, grpc_exporter


def test_each_two_values_of_different_features_meet() -> None:
    met = {frozenset(pair) for each in pairwise(Random(1)) for pair in combinations(each.items(), 2)}

    sizes = [len(values) for values in FEATURES.values()]
    assert len(met) == sum(a * b for a, b in combinations(sizes, 2))


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_every_field_of_every_span_reaches_the_collector_as_the_sdk_recorded_it(tmp_path: Path, protocol: str) -> None:
    spans = golden_spans(50, Random(1))
    expected = fields(encoded(spans))
    with running_collector() as collector:
        endpoint = f"http://{collector.otlp_grpc}" if protocol == "grpc" else collector.otlp_http
        with embedded(configured(tmp_path, exporters=[exporter(endpoint, protocol=protocol)])) as sidecar:
            sender = grpc_exporter(sidecar.endpoints)
            assert sender.export(spans) is SpanExportResult.SUCCESS
            sender.shutdown()
            eventually(lambda: from_collector(collector.output).keys() >= expected.keys())
        assert from_collector(collector.output) == expected
