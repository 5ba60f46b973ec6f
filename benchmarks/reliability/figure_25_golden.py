"""Figure 25: what the SDK recorded and what real back ends have, field by field.

The Collector keeps every field. Jaeger 2 in memory does not: it drops schema URLs, names a service where there is no
name, and makes a duration of zero a nanosecond long. What came through the sidecar is therefore compared with what a
second Jaeger has from the SDK itself, and what Jaeger changes on its own is named.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.golden import encoded, fields, golden_spans
from benchmarks.reliability.load import SpanKey
from benchmarks.reliability.rig import running_sidecar
from otel_wfperf.otlp.json import transcode_traces
from tests.peers import running_collector, running_jaeger, running_rotel

Spans = Mapping[SpanKey, Mapping[str, Any]]

_SPANS: Final = 300
_BATCH: Final = 50
_LIMIT_S: Final = 60.0
_LOOPBACK: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def measure() -> Outcome:
    """Send the golden set through a sidecar to the Collector, over both transports, to rotel and to Jaeger."""
    spans = golden_spans(_SPANS, Random(25))
    expected = fields(encoded(spans))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        over_grpc = running.enter_context(running_collector())
        over_http = running.enter_context(running_collector())
        behind_rotel = running.enter_context(running_collector())
        rotel = running.enter_context(running_rotel(forward_to=behind_rotel.otlp_grpc))
        jaeger, direct_jaeger = (running.enter_context(running_jaeger()) for _ in range(2))
        exporters = [
            {"name": "collector-grpc", "endpoint": f"http://{over_grpc.otlp_grpc}"},
            {"name": "collector-http", "endpoint": over_http.otlp_http, "protocol": "http/protobuf"},
            {"name": "rotel", "endpoint": f"http://{rotel.otlp_grpc}", "signals": ["traces"]},
            {"name": "jaeger", "endpoint": f"http://{jaeger.otlp_grpc}", "signals": ["traces"]},
        ]
        sidecar = running.enter_context(running_sidecar(Path(folder), {"exporters": exporters}))
        _send(spans, grpc=sidecar.grpc, http=sidecar.http)
        _send(spans, grpc=direct_jaeger.otlp_grpc, http=direct_jaeger.otlp_http)
        trace_ids = {trace_id for trace_id, _ in expected}
        own = _differences(expected, lambda: _from_jaeger(direct_jaeger.query_url, trace_ids))
        direct = _from_jaeger(direct_jaeger.query_url, trace_ids)
        differences = {
            "Collector (gRPC)": _differences(expected, lambda: from_collector(over_grpc.output)),
            "Collector (HTTP)": _differences(expected, lambda: from_collector(over_http.output)),
            "rotel, and a Collector behind it": _differences(expected, lambda: from_collector(behind_rotel.output)),
            "Jaeger, as from the SDK itself": _differences(direct, lambda: _from_jaeger(jaeger.query_url, trace_ids)),
        }
    told = "; ".join(f"{name}: {_told(found)}" for name, found in differences.items())
    got = f"{len(expected)} spans of pairwise combined features: {told} (which Jaeger changes: {_told(own)})"
    complete = len(expected) >= _SPANS and direct.keys() == expected.keys()
    return Outcome(got=got, reached=complete and not any(differences.values()))


def _send(spans: list[ReadableSpan], *, grpc: str, http: str) -> None:
    """Send with the SDK's own exporters, in turn over gRPC and HTTP."""
    exporters = [GrpcExporter(endpoint=f"http://{grpc}", insecure=True), HttpExporter(f"{http}/v1/traces")]
    for number, start in enumerate(range(0, len(spans), _BATCH)):
        result = exporters[number % 2].export(spans[start : start + _BATCH])
        if result is not SpanExportResult.SUCCESS:
            raise RuntimeError("the receiver did not take a batch of the golden set")
    for exporter in exporters:
        exporter.shutdown()


def _differences(expected: Spans, read: Any) -> Counter[str]:
    """Wait until all spans are there, and count the fields that differ, by name."""
    deadline_s = time.monotonic() + _LIMIT_S
    while len(expected.keys() & (got := read()).keys()) < len(expected) and time.monotonic() < deadline_s:
        time.sleep(0.25)
    found: Counter[str] = Counter()
    for key, wanted in expected.items():
        if key not in got:
            found["missing"] += 1
            continue
        found.update(_paths(wanted, got[key]))
    found["strange"] += len(got.keys() - expected.keys())
    return +found


def _paths(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> Iterable[str]:
    """Name what differs, two levels deep."""
    for part in wanted.keys() | got.keys():
        one, other = wanted.get(part), got.get(part)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from (f"{part}.{name}" for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        elif one != other:
            yield part


def _told(found: Counter[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in found.most_common()) if found else "all equal"


def from_collector(file: Path) -> dict[SpanKey, dict[str, Any]]:
    """Read the Collector's file, of which the last line may be incomplete."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return _fields(lines)


def _from_jaeger(url: str, trace_ids: Iterable[str]) -> dict[SpanKey, dict[str, Any]]:
    """Ask the API that answers in OTLP; raw, which leaves out Jaeger's own repairs of clocks."""
    documents = []
    for trace_id in trace_ids:
        try:
            with _LOOPBACK.open(f"{url}/api/v3/traces/{trace_id}?raw_traces=true", timeout=10) as answer:
                documents.append(json.dumps(json.load(answer)["result"]).encode())
        except urllib.error.HTTPError:
            continue
    return _fields(documents)


def _fields(documents: Iterable[bytes]) -> dict[SpanKey, dict[str, Any]]:
    found: dict[SpanKey, dict[str, Any]] = {}
    for document in documents:
        found |= fields(ExportTraceServiceRequest.FromString(transcode_traces(document)))
    return found


FIGURE: Final = Figure(
    number=25,
    title="golden set",
    asked="SDK -> sidecar -> Collector, rotel, Jaeger: >= 300 spans of pairwise features equal field by field",
    measure=measure,
)
