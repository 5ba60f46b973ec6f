"""Only some traces go to a back end: the whole sidecar, the real SDK, the real Collector."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from otel_wfperf.sidecar.embedded import embedded
from otel_wfperf.sidecar.service import Endpoints
from tests.peers import running_collector
from tests.processes import eventually, free_ports
from tests.sidecar.running import (
    configured,
    exporter,
    fetch,
    fetch_json,
    grpc_exporter,
    run_workflow,
    sdk,
    sidecar_process,
)
from tests.sidecar.test_peers import received

SPANS_IN_WORKFLOW = 4
MS_NS = 1_000_000
ROOT = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "research"}


def run_failing_workflow(provider: TracerProvider) -> str:
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("invoke_workflow research", attributes=ROOT) as root:
        with tracer.start_as_current_span("step"):
            pass
        root.set_status(Status(StatusCode.ERROR, "no answer"))
    return f"{root.get_span_context().trace_id:032x}"


def run_wasteful_workflow(provider: TracerProvider) -> str:
    """Record 20 calls one after another that could be one: two seconds that detectors find."""
    tracer = provider.get_tracer("test")
    start_ns = 10**18
    root = tracer.start_span(
        "invoke_workflow wasteful", attributes={**ROOT, "gen_ai.workflow.name": "wasteful"}, start_time=start_ns
    )
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    for number in range(20):
        call = tracer.start_span(
            "execute_tool search",
            context=set_span_in_context(root),
            attributes=tool,
            start_time=start_ns + number * 100 * MS_NS,
        )
        call.end(start_ns + (number * 100 + 99) * MS_NS)
    root.end(start_ns + 2_000 * MS_NS)
    return f"{root.get_span_context().trace_id:032x}"


def spans_by_trace(file: Path) -> Counter[str]:
    return Counter(trace_id for trace_id, _ in received(file))


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"forward": "errors"}, {"failing": 2 + 1}),
        ({"forward": "findings", "min_severity": "info"}, {"wasteful": 21 + 1}),
        (
            {"forward": "errors", "sample_ratio": 1.0},
            {"failing": 2 + 1, "wasteful": 21 + 1, "fine": SPANS_IN_WORKFLOW + 1},
        ),
    ],
)
def test_the_collector_gets_the_whole_traces_that_are_worth_it_and_no_others(
    tmp_path: Path, options: dict[str, Any], wanted: dict[str, int]
) -> None:
    """The last span of each is the annotation with the findings."""
    with running_collector() as collector:
        backend = exporter(f"http://{collector.otlp_grpc}", **options)
        with embedded(configured(tmp_path, exporters=[backend])) as sidecar:
            with sdk(grpc_exporter(sidecar.endpoints)) as provider:
                made = {
                    "fine": run_workflow(provider),
                    "failing": run_failing_workflow(provider),
                    "wasteful": run_wasteful_workflow(provider),
                }
            sidecar.finish()
            expected = {made[name]: spans for name, spans in wanted.items()}
            eventually(lambda: spans_by_trace(collector.output) == expected)
            metrics, _ = fetch(f"{sidecar.endpoints.page}/metrics")
        # Nothing came while the sidecar was drained either.
        assert spans_by_trace(collector.output) == expected
    left_out = sum({"fine": 5, "failing": 3, "wasteful": 22}[name] for name in made if name not in wanted)
    assert f'wfperf_exporter_left_out_spans_total{{exporter="backend"}} {left_out}.0' in metrics


@pytest.mark.peer("otelcol")
def test_a_wanted_trace_is_whole_although_the_sidecar_was_killed_in_its_middle(tmp_path: Path) -> None:
    ports = [f"127.0.0.1:{port}" for port in free_ports(3)]
    listen = dict(zip(("grpc", "http", "page"), ports, strict=True))
    endpoints = Endpoints(grpc=ports[0], http=f"http://{ports[1]}", page=f"http://{ports[2]}")
    with running_collector() as collector, sdk(grpc_exporter(endpoints)) as provider:
        backend = exporter(f"http://{collector.otlp_grpc}", forward="errors")
        tracer = provider.get_tracer("test")
        with sidecar_process(tmp_path, listen=listen, exporters=[backend]) as sidecar:
            root = tracer.start_span("invoke_workflow research", attributes=ROOT)
            tracer.start_span("step", context=set_span_in_context(root)).end()
            fine = run_workflow(provider)
            assert provider.force_flush()
            url = f"{endpoints.page}/api/v1/executions"
            eventually(lambda: [each["trace_id"] for each in fetch_json(url)["executions"]] == [fine])
            os.kill(sidecar.pid, signal.SIGKILL)
        with sidecar_process(tmp_path, listen=listen, exporters=[backend]):
            root.set_status(Status(StatusCode.ERROR))
            root.end()
            assert provider.force_flush()
            expected = {f"{root.get_span_context().trace_id:032x}": 3}
            eventually(lambda: spans_by_trace(collector.output) == expected)
