"""Real back ends behind the sidecar: what goes in comes out, and the findings stand in the trace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from otel_wfperf import semconv
from otel_wfperf.sidecar.annotation import NAME
from otel_wfperf.sidecar.service import embedded
from tests.peers import running_collector, running_jaeger, running_prometheus, running_rotel
from tests.processes import eventually, fetch
from tests.sidecar.exporters.backend import grpc_backend
from tests.sidecar.running import configured, exporter, fetch_json, grpc_exporter, run_workflow, sdk
from tests.waiting import eventually_async

EXECUTIONS = 500
SPANS_IN_EXECUTION = 20  # 10 000 spans altogether


def send(endpoints: Any) -> list[str]:
    """Send 500 executions of 20 spans with the real SDK and return their trace ids."""
    with sdk(grpc_exporter(endpoints), queue=EXECUTIONS * SPANS_IN_EXECUTION) as provider:
        return [run_workflow(provider, tools=SPANS_IN_EXECUTION - 2) for _ in range(EXECUTIONS)]


def received(file: Path) -> list[dict[str, Any]]:
    """Read the spans in the collector's file."""
    requests = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [
        {**span, "scope": scope["scope"].get("name")}
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_ten_thousand_spans_reach_the_collector_each_once(tmp_path: Path, protocol: str) -> None:
    with running_collector() as collector:
        endpoint = f"http://{collector.otlp_grpc}" if protocol == "grpc" else collector.otlp_http
        with embedded(configured(tmp_path, exporters=[exporter(endpoint, protocol=protocol)])) as sidecar:
            sent = send(sidecar.endpoints)
            sidecar.finish()

            def all_there() -> bool:
                return len(received(collector.output)) >= EXECUTIONS * (SPANS_IN_EXECUTION + 1)

            eventually(all_there, limit_s=60)

        spans = received(collector.output)
    ours = [span["traceId"] for span in spans if span["scope"] == semconv.ANNOTATION_SCOPE]
    theirs = {(span["traceId"], span["spanId"]) for span in spans if span["scope"] == "test"}
    assert len(theirs) == EXECUTIONS * SPANS_IN_EXECUTION
    assert len(spans) == EXECUTIONS * (SPANS_IN_EXECUTION + 1)
    assert sorted(ours) == sorted(sent)


@pytest.mark.peer("jaeger")
def test_jaeger_shows_the_findings_inside_the_trace(tmp_path: Path) -> None:
    with running_jaeger() as jaeger:
        backend = exporter(f"http://{jaeger.otlp_grpc}", signals=["traces"])
        with embedded(configured(tmp_path, exporters=[backend])) as sidecar:
            sent = send(sidecar.endpoints)
            sidecar.finish()

            def spans(trace_id: str) -> list[dict[str, Any]]:
                try:
                    return list(json.loads(fetch(f"{jaeger.query_url}/api/traces/{trace_id}"))["data"][0]["spans"])
                except OSError:
                    return []

            for trace_id in sent:
                eventually(lambda trace_id=trace_id: len(spans(trace_id)) == SPANS_IN_EXECUTION + 1)  # type: ignore[misc]
            [annotation] = [span for span in spans(sent[0]) if span["operationName"] == NAME]
            [root] = [span for span in spans(sent[0]) if not span["references"]]

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
                sent = await asyncio.to_thread(send, sidecar.endpoints)
                await asyncio.to_thread(sidecar.finish)

                async def all_there() -> bool:
                    return sum(backend.span_counts().values()) >= EXECUTIONS * (SPANS_IN_EXECUTION + 1)

                await eventually_async(all_there, timeout_s=60)
            finally:
                await asyncio.to_thread(sidecar_runs.__exit__, None, None, None)
        finally:
            await asyncio.to_thread(rotel_runs.__exit__, None, None, None)

    assert backend.span_counts() == dict.fromkeys(sent, SPANS_IN_EXECUTION + 1)


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
        config = (
            f"scrape_configs: [{{job_name: wfperf, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]"
        )
        with running_prometheus(config) as prometheus:
            query = "api/v1/query_exemplars?query=wfperf_workflow_duration_seconds_bucket&start=0&end=4102444800"

            def exemplars() -> list[Any]:
                return list(json.loads(fetch(f"{prometheus.url}/{query}"))["data"])

            [series] = eventually(exemplars)

    assert series["exemplars"][0]["labels"] == {"trace_id": trace_id}
