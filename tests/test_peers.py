import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scripts.peers.__main__ import PEERS
from tests.peers import (
    PEER_COMMANDS,
    missing_reason,
    peer_path,
    running_alertmanager,
    running_collector,
    running_jaeger,
    running_postgres,
    running_prometheus,
    running_redis,
    running_rotel,
)
from tests.processes import eventually, fetch, free_ports, running_process, temporary_folder


@pytest.fixture
def span() -> ReadableSpan:
    """A finished span `greet` of the service `peer-test`."""
    finished = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "peer-test"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    provider.get_tracer("tests").start_span("greet").end()
    [span] = finished.get_finished_spans()
    return span


def export(exporter: SpanExporter, span: ReadableSpan) -> None:
    try:
        assert exporter.export([span]) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


def export_over_http(base_url: str, span: ReadableSpan) -> None:
    export(HttpExporter(endpoint=f"{base_url}/v1/traces"), span)


def export_over_grpc(endpoint: str, span: ReadableSpan) -> None:
    export(GrpcExporter(endpoint=endpoint, insecure=True), span)


def span_names(file: Path) -> list[str]:
    """Read the names of the spans that a Collector has written, in their order."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [span["name"] for line in lines for span in _spans(json.loads(line))]


def _spans(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


@pytest.mark.peer("jaeger")
def test_jaeger_returns_the_trace_it_was_sent(span: ReadableSpan) -> None:
    with running_jaeger() as jaeger:
        export_over_http(jaeger.otlp_http, span)

        eventually(lambda: "peer-test" in (json.loads(fetch(f"{jaeger.query_url}/api/services"))["data"] or ()))
        [trace] = json.loads(fetch(f"{jaeger.query_url}/api/traces/{span.context.trace_id:032x}"))["data"]
        assert [each["operationName"] for each in trace["spans"]] == ["greet"]


@pytest.mark.peer("otelcol")
def test_collector_writes_what_it_receives(span: ReadableSpan) -> None:
    with running_collector() as collector:
        export_over_http(collector.otlp_http, span)
        export_over_grpc(collector.otlp_grpc, span)

        assert eventually(lambda: len(names := span_names(collector.output)) >= 2 and names) == ["greet", "greet"]


@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("protocol", ["otlp_http", "otlp_grpc"])
def test_collector_forwards(protocol: str, span: ReadableSpan) -> None:
    with running_collector() as behind, running_collector(forward_to=getattr(behind, protocol)) as front:
        export_over_http(front.otlp_http, span)

        assert eventually(lambda: span_names(behind.output)) == ["greet"]
        assert span_names(front.output) == []


@pytest.mark.peer("rotel")
def test_rotel_accepts_and_logs(span: ReadableSpan) -> None:
    with running_rotel() as rotel:
        export_over_http(rotel.otlp_http, span)
        export_over_grpc(rotel.otlp_grpc, span)

        eventually(lambda: rotel.log.read_text().count('"spans":1') == 2)


@pytest.mark.peer("rotel")
@pytest.mark.peer("otelcol")
@pytest.mark.parametrize("protocol", ["otlp_http", "otlp_grpc"])
def test_rotel_forwards(protocol: str, span: ReadableSpan) -> None:
    with running_collector() as behind, running_rotel(forward_to=getattr(behind, protocol)) as rotel:
        export_over_http(rotel.otlp_http, span)

        assert eventually(lambda: span_names(behind.output)) == ["greet"]


@pytest.mark.peer("telemetrygen")
@pytest.mark.peer("otelcol")
def test_telemetrygen_loads_a_collector() -> None:
    with running_collector() as collector:
        target = ["--otlp-http", "--otlp-insecure", "--otlp-endpoint", collector.otlp_http.removeprefix("http://")]
        load = [str(peer_path("telemetrygen")), "traces", *target, "--rate", "0", "--traces", "3", "--child-spans", "2"]
        done = subprocess.run(load, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

        eventually(lambda: len(span_names(collector.output)) == 9)


@pytest.mark.peer("prometheus")
def test_prometheus_answers_a_query() -> None:
    with running_prometheus("global: {scrape_interval: 1s}\n") as prometheus:
        answer = json.loads(fetch(f"{prometheus.url}/api/v1/query?query=vector(7)"))

    assert answer["data"]["result"][0]["value"][1] == "7"


@pytest.mark.peer("promtool")
def test_promtool_tells_a_bad_rule(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text('groups: [{name: g, rules: [{record: "a:b", expr: "sum(("}]}]\n')

    checked = subprocess.run(
        [str(peer_path("promtool")), "check", "rules", str(rules)], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 1
    assert "parse error" in checked.stderr


@pytest.mark.peer("alertmanager")
@pytest.mark.peer("amtool")
def test_amtool_lists_the_alerts_of_alertmanager() -> None:
    with running_alertmanager("route: {receiver: none}\nreceivers: [{name: none}]\n") as alertmanager:
        amtool = [str(peer_path("amtool")), f"--alertmanager.url={alertmanager.url}"]
        subprocess.run([*amtool, "alert", "add", "alertname=Slow"], timeout=30, check=True)
        listed = subprocess.run([*amtool, "alert"], capture_output=True, text=True, timeout=30, check=True)

    assert "Slow" in listed.stdout


@pytest.mark.peer("redis")
def test_redis_keeps_a_value() -> None:
    with running_redis() as redis, socket.create_connection((redis.host, redis.port), timeout=5) as connection:
        connection.sendall(b"SET key value\r\nGET key\r\n")
        answer = b""
        while not answer.endswith(b"value\r\n"):
            answer += connection.recv(64)

    assert answer == b"+OK\r\n$5\r\nvalue\r\n"


@pytest.mark.peer("postgresql")
def test_postgresql_answers_a_query() -> None:
    psql = Path(str(peer_path("postgresql"))).resolve().with_name("psql")
    with running_postgres() as postgres:
        query = [str(psql), postgres.url, "-Atc", "select 1 + 1"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)

    assert answer.stdout == "2\n"


@pytest.mark.peer("chromium")
def test_chromium_runs_a_script(tmp_path: Path) -> None:
    page = "data:text/html,<script>document.write(6*7)</script>"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [str(peer_path("chromium")), *flags, f"--user-data-dir={tmp_path}", "--dump-dom", page]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert "<body>42</body>" in shown.stdout


def test_knows_the_peers_that_the_script_obtains() -> None:
    assert set(PEER_COMMANDS) == {peer.name for peer in PEERS}


def test_a_missing_peer_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert peer_path("jaeger") is None
    assert missing_reason("jaeger") == "not obtained yet; run `make peers`"

    index = tmp_path / "otel-wfperf" / "peers" / "peers.json"
    index.parent.mkdir(parents=True)
    index.write_text('{"jaeger": {"version": null, "path": null, "reason": "no `go` on PATH"}}')
    assert peer_path("jaeger") is None
    assert missing_reason("jaeger") == "no `go` on PATH"


def test_an_unknown_peer_is_not_just_missing() -> None:
    with pytest.raises(ValueError, match=r"unknown peer: jeager \(did you mean jaeger\?\)"):
        peer_path("jeager")


def test_a_process_that_ends_early_is_reported_with_its_log() -> None:
    with (
        temporary_folder() as folder,
        pytest.raises(AssertionError, match="ended with status 3") as caught,
        running_process(["sh", "-c", "echo no such flag; exit 3"], folder, ready=lambda: False),
    ):
        pass

    assert "no such flag" in caught.value.__notes__[0]


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20
