"""Real back ends behind the sidecar: what goes in comes out, and the findings stand in the trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from otel_wfperf import semconv
from otel_wfperf.sidecar.annotation import NAME, annotation_id
from otel_wfperf.sidecar.embedded import embedded
from otel_wfperf.sidecar.service import Endpoints
from tests.peers import peer_path, running_collector, running_jaeger, running_prometheus, running_rotel
from tests.processes import eventually, fetch, free_ports
from tests.sidecar import requests
from tests.sidecar.exporters.backend import grpc_backend
from tests.sidecar.running import (
    Recording,
    configured,
    exporter,
    fetch_json,
    grpc_exporter,
    http_exporter,
    run_workflow,
    sdk,
    sidecar_process,
)
from tests.waiting import eventually_async

EXECUTIONS = 500
SPANS_IN_EXECUTION = 20  # 10 000 spans altogether
Id = tuple[str, str]


def send(endpoints: Endpoints) -> set[Id]:
    """Send 500 executions of 20 spans with the real SDK and return the trace id and span id of each span."""
    recording = Recording(grpc_exporter(endpoints))
    with sdk(recording, queue=EXECUTIONS * SPANS_IN_EXECUTION) as provider:
        for _ in range(EXECUTIONS):
            run_workflow(provider, tools=SPANS_IN_EXECUTION - 2)
    assert len(recording.acknowledged) == EXECUTIONS * SPANS_IN_EXECUTION
    return recording.acknowledged


def with_annotations(sent: set[Id]) -> list[Id]:
    """List what a back end gets for it: each span once, and one annotation span for each trace."""
    return sorted([*sent, *((trace_id, annotation_id(trace_id, 1)) for trace_id in {trace_id for trace_id, _ in sent})])


def received(file: Path) -> list[Id]:
    """Read the ids of the spans in the collector's file, of which the last line may be incomplete."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return sorted(
        (span["traceId"], span["spanId"])
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_ten_thousand_spans_reach_the_collector_each_once(tmp_path: Path, protocol: str) -> None:
    with running_collector() as collector:
        endpoint = f"http://{collector.otlp_grpc}" if protocol == "grpc" else collector.otlp_http
        with embedded(configured(tmp_path, exporters=[exporter(endpoint, protocol=protocol)])) as sidecar:
            expected = with_annotations(send(sidecar.endpoints))
            sidecar.finish()
            eventually(lambda: len(received(collector.output)) >= len(expected), limit_s=60)

        assert received(collector.output) == expected


@pytest.mark.peer("jaeger")
def test_ten_thousand_spans_reach_jaeger_with_the_findings_inside_the_trace(tmp_path: Path) -> None:
    with running_jaeger() as jaeger:
        backend = exporter(f"http://{jaeger.otlp_grpc}", signals=["traces"])
        with embedded(configured(tmp_path, exporters=[backend])) as sidecar:
            expected = with_annotations(send(sidecar.endpoints))
            sidecar.finish()

            def spans(trace_id: str) -> list[dict[str, Any]]:
                try:
                    return list(json.loads(fetch(f"{jaeger.query_url}/api/traces/{trace_id}"))["data"][0]["spans"])
                except OSError:
                    return []

            for trace_id, group in groupby(expected, key=lambda each: each[0]):
                span_ids = [span_id for _, span_id in group]
                eventually(
                    lambda trace_id=trace_id, span_ids=span_ids: (
                        sorted(each["spanID"] for each in spans(trace_id))  # type: ignore[misc]
                        == span_ids
                    )
                )
            [annotation] = [span for span in spans(expected[0][0]) if span["operationName"] == NAME]
            [root] = [span for span in spans(expected[0][0]) if not span["references"]]

    assert annotation["references"][0]["spanID"] == root["spanID"]
    assert semconv.FINDING_COUNT in [tag["key"] for tag in annotation["tags"]]


@pytest.mark.peer("rotel")
async def test_rotel_hands_on_what_the_sidecar_sent_it(tmp_path: Path) -> None:
    async with grpc_backend() as backend:
        rotel_runs = running_rotel(forward_to=backend.endpoint.removeprefix("http://"))
        rotel = await asyncio.to_thread(rotel_runs.__enter__)
        try:
            sidecar_runs = embedded(configured(tmp_path, exporters=[exporter(f"http://{rotel.otlp_grpc}")]))
            sidecar = await asyncio.to_thread(sidecar_runs.__enter__)
            try:
                expected = with_annotations(await asyncio.to_thread(send, sidecar.endpoints))
                await asyncio.to_thread(sidecar.finish)

                async def all_there() -> bool:
                    return len(backend.span_ids()) >= len(expected)

                await eventually_async(all_there, timeout_s=60)
            finally:
                await asyncio.to_thread(sidecar_runs.__exit__, None, None, None)
        finally:
            await asyncio.to_thread(rotel_runs.__exit__, None, None, None)

    taken = [
        each
        for _, data in backend.taken
        for each in zip(requests.trace_ids(data), requests.span_ids(data), strict=True)
    ]
    assert sorted(taken) == expected


@pytest.mark.peer("otelcol")
@pytest.mark.peer("telemetrygen")
def test_the_load_of_telemetrygen_arrives_in_full(tmp_path: Path) -> None:
    with running_collector() as collector:
        backend = exporter(f"http://{collector.otlp_grpc}")
        with embedded(configured(tmp_path, exporters=[backend], annotate=False)) as sidecar:
            target = ["--otlp-insecure", "--otlp-endpoint", sidecar.endpoints.grpc]
            # Without --batch=false it drops half of its own spans (v0.155).
            amount = ["--rate", "0", "--batch=false", "--workers", "2", "--traces", "100", "--child-spans", "4"]
            load = [str(peer_path("telemetrygen")), "traces", *target, *amount]
            done = subprocess.run(load, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            eventually(lambda: len(received(collector.output)) >= 1000, limit_s=60)

        arrived = received(collector.output)
    assert (len(arrived), len(set(arrived)), len({trace_id for trace_id, _ in arrived})) == (1000, 1000, 200)


KILLS = 2
BATCH = 64


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("connect", [grpc_exporter, http_exporter])
def test_the_sdk_loses_nothing_to_kill_9(tmp_path: Path, connect: Callable[[Endpoints], SpanExporter]) -> None:
    """The sidecar is killed in mid-stream, and starts again on the same ports and data."""
    ports = [f"127.0.0.1:{port}" for port in free_ports(3)]
    listen = dict(zip(("grpc", "http", "page"), ports, strict=True))
    endpoints = Endpoints(grpc=ports[0], http=f"http://{ports[1]}", page=f"http://{ports[2]}")
    recording = Recording(connect(endpoints))
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(recording, max_queue_size=10**6, max_export_batch_size=BATCH))
    ending = threading.Event()

    def stream() -> None:
        while not ending.wait(0.001):
            run_workflow(provider)

    with running_collector() as collector:
        backend = exporter(f"http://{collector.otlp_grpc}", concurrency=2)
        sending = threading.Thread(target=stream)
        sending.start()
        try:
            for _ in range(KILLS):
                with sidecar_process(tmp_path, listen=listen, exporters=[backend], annotate=False) as sidecar:
                    before = len(recording.acknowledged)
                    eventually(lambda before=before: len(recording.acknowledged) > before + 3 * BATCH)  # type: ignore[misc]
                    os.kill(sidecar.pid, signal.SIGKILL)
        finally:
            ending.set()
            sending.join()
        with sidecar_process(tmp_path, listen=listen, exporters=[backend], annotate=False):
            assert provider.force_flush()
            provider.shutdown()
            eventually(lambda: recording.acknowledged <= set(received(collector.output)), limit_s=60)
        arrived = received(collector.output)

    # In flight at a kill: one batch towards the sidecar, and two from it.
    assert len(arrived) - len(set(arrived)) <= KILLS * 3 * BATCH


@pytest.mark.peer("otelcol")
def test_the_collector_can_stand_in_front(tmp_path: Path) -> None:
    with embedded(configured(tmp_path)) as sidecar, running_collector(forward_to=sidecar.endpoints.http) as collector:
        with sdk(OTLPSpanExporter(endpoint=f"http://{collector.otlp_grpc}", insecure=True)) as provider:
            trace_id = run_workflow(provider)
        [found] = eventually(lambda: fetch_json(f"{sidecar.endpoints.page}/api/v1/executions")["executions"])

    assert (found["trace_id"], found["span_count"]) == (trace_id, 4)


@pytest.mark.peer("prometheus")
def test_prometheus_scrapes_the_exemplars(tmp_path: Path) -> None:
    with embedded(configured(tmp_path)) as sidecar:
        with sdk(grpc_exporter(sidecar.endpoints)) as provider:
            trace_id = run_workflow(provider)
        sidecar.finish()
        target = sidecar.endpoints.page.removeprefix("http://")
        scraped = f"job_name: wfperf, scrape_interval: 200ms, static_configs: [{{targets: ['{target}']}}]"
        config = f"scrape_configs: [{{{scraped}}}]"
        with running_prometheus(config) as prometheus:
            query = "api/v1/query_exemplars?query=wfperf_workflow_duration_seconds_bucket&start=0&end=4102444800"

            def exemplars() -> list[Any]:
                return list(json.loads(fetch(f"{prometheus.url}/{query}"))["data"])

            [series] = eventually(exemplars)

    assert series["exemplars"][0]["labels"] == {"trace_id": trace_id}
