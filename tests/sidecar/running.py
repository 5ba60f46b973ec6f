"""Whole sidecars for tests, in this process and in one of their own, and programs that send to them."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.service import Endpoints
from tests.peers import REPOSITORY
from tests.processes import running_process

_ANY_PORT = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "page": "127.0.0.1:0"}
_QUICK = {"quiet": "100ms", "missing_quiet": "100ms"}
# The package under test, whether or not it is installed.
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY)}
_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def settings(folder: Path, **sidecar: Any) -> dict[str, Any]:
    """Configure a sidecar on free ports that takes a trace as complete after a tenth of a second."""
    defaults = {"data_dir": str(folder), "listen": _ANY_PORT, "assembly": _QUICK, "log": {"fsync": False}}
    return {**defaults, **sidecar}


def configured(folder: Path, **sidecar: Any) -> SidecarConfig:
    return SidecarConfig.model_validate(settings(folder, **sidecar))


def exporter(url: str, **options: Any) -> dict[str, Any]:
    """Configure an exporter with short delays."""
    retry = {"initial_delay": "5ms", "max_delay": "50ms"}
    return {"name": "backend", "endpoint": url, "retry": retry, **options}


@contextmanager
def sdk(span_exporter: SpanExporter, *, queue: int = 2048) -> Iterator[TracerProvider]:
    """Run the real SDK in front of an exporter, with room for some spans; flushed at the end."""
    provider = TracerProvider(resource=Resource.create({"service.name": "test"}))
    provider.add_span_processor(BatchSpanProcessor(span_exporter, max_queue_size=queue))
    try:
        yield provider
    finally:
        assert provider.force_flush()
        provider.shutdown()


class Recording(SpanExporter):
    """Hands on to an exporter and remembers which spans (trace id, span id) the other side acknowledged."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.acknowledged: set[tuple[str, str]] = set()
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            contexts = [context for span in spans if (context := span.get_span_context())]
            self.acknowledged |= {(f"{each.trace_id:032x}", f"{each.span_id:016x}") for each in contexts}
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def grpc_exporter(endpoints: Endpoints) -> SpanExporter:
    return GrpcExporter(endpoint=f"http://{endpoints.grpc}", insecure=True)


def http_exporter(endpoints: Endpoints) -> SpanExporter:
    return HttpExporter(endpoint=f"{endpoints.http}/v1/traces")


def run_workflow(provider: TracerProvider, *, name: str = "research", tools: int = 2) -> str:
    """Record one execution of a workflow with an agent and some tool calls; return its trace id."""
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span(
        f"invoke_workflow {name}",
        attributes={"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name},
    ) as root:
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"}
        with tracer.start_as_current_span("invoke_agent writer", attributes=agent):
            for _ in range(tools):
                tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
                with tracer.start_as_current_span("execute_tool search", attributes=tool):
                    pass
    return f"{root.get_span_context().trace_id:032x}"


def fetch(url: str, *, accept: str = "*/*") -> tuple[str, str]:
    """Return the body and the content type of a 200 answer."""
    with _LOOPBACK.open(urllib.request.Request(url, headers={"accept": accept}), timeout=30) as response:
        return response.read().decode(), response.headers["content-type"]


def fetch_json(url: str) -> Any:
    return json.loads(fetch(url)[0])


PROGRAM = """
import json, os, sys
from pathlib import Path
from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.process import run_forever

def ready(endpoints):
    file = Path(sys.argv[2])
    file.with_suffix(".new").write_text(json.dumps([endpoints.grpc, endpoints.http, endpoints.page]))
    os.replace(file.with_suffix(".new"), file)

run_forever(SidecarConfig.model_validate(json.loads(sys.argv[1])), on_ready=ready)
"""


class SidecarProcess:
    """A sidecar in a process of its own."""

    def __init__(self, pid: int, endpoints: Endpoints) -> None:
        self.pid = pid
        self.endpoints = endpoints


@contextmanager
def sidecar_process(folder: Path, **sidecar: Any) -> Iterator[SidecarProcess]:
    """Run a sidecar process with its data in a folder; it gets SIGTERM at the end, unless the test ended it."""
    folder.mkdir(exist_ok=True)
    ready = folder / "endpoints.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings(folder, **sidecar)), str(ready)]
    with running_process(command, folder, ready=ready.exists, environment=ENVIRONMENT) as process:
        grpc, http, page = json.loads(ready.read_text())
        yield SidecarProcess(process.pid, Endpoints(grpc=grpc, http=http, page=page))
