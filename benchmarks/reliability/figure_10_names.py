"""Figure 10: names without end do not make series without end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, send
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

_NAMES: Final = 100_000
# Chosen: a workflow with nineteen agents, all named differently each time.
_NAMES_PER_TRACE: Final = 20
_TRACES_PER_BATCH: Final = 25
_MOST_SERIES: Final = 2_000
_LIMIT_S: Final = 300.0


def measure() -> Outcome:
    """Send executions of which no name appears twice, wait until they are analysed, and count series."""
    settings = {"assembly": {"quiet": "100ms"}}
    with tempfile.TemporaryDirectory() as folder, running_sidecar(Path(folder), settings) as sidecar:
        sent = asyncio.run(send(sidecar.grpc, _batches(), concurrency=4))
        analysed = _wait_until_analysed(sidecar)
        series = _series(sidecar)
        overflowed = int(sidecar.metric("wfperf_label_overflow_total", label="workflow"))
        rss_mib = sidecar.rss_bytes() / 2**20
    traces = _NAMES // _NAMES_PER_TRACE
    return Outcome(
        got=f"{series:,} series and {overflowed:,} values counted as overflow after {analysed:,} executions with "
        f"{len(sent.accepted):,} names, {rss_mib:.0f} MiB",
        reached=series <= _MOST_SERIES and overflowed > 0 and analysed == traces and len(sent.accepted) == _NAMES,
    )


def _batches() -> Iterator[Batch]:
    for first in range(0, _NAMES // _NAMES_PER_TRACE, _TRACES_PER_BATCH):
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        keys = []
        now_ns = time.time_ns()
        for trace in range(first + 1, first + 1 + _TRACES_PER_BATCH):
            for at in range(_NAMES_PER_TRACE):
                kind, name = ("workflow", f"flow-{trace}") if at == 0 else ("agent", f"agent-{trace}-{at}")
                span = spans.add(
                    trace_id=trace.to_bytes(16, "big"),
                    span_id=(at + 1).to_bytes(8, "big"),
                    parent_span_id=b"" if at == 0 else (1).to_bytes(8, "big"),
                    name=f"invoke_{kind} {name}",
                    start_time_unix_nano=now_ns - 1_000_000_000 + at * 50_000_000,
                    end_time_unix_nano=now_ns if at == 0 else now_ns - 1_000_000_000 + (at + 1) * 50_000_000,
                )
                for key, value in {"gen_ai.operation.name": f"invoke_{kind}", f"gen_ai.{kind}.name": name}.items():
                    span.attributes.add(key=key).value.string_value = value
                keys.append((span.trace_id.hex(), span.span_id.hex()))
        yield Batch(request.SerializeToString(), tuple(keys))


def _wait_until_analysed(sidecar: SidecarProcess) -> int:
    deadline_s = time.monotonic() + _LIMIT_S
    while True:
        analysed = int(sidecar.metric("wfperf_executions_total"))
        if analysed >= _NAMES // _NAMES_PER_TRACE or time.monotonic() > deadline_s:
            return analysed
        time.sleep(0.5)


def _series(sidecar: SidecarProcess) -> int:
    families = text_string_to_metric_families(sidecar.fetch("/metrics"))
    return sum(len(family.samples) for family in families)


FIGURE: Final = Figure(
    number=10,
    title=f"{_NAMES:,} names of workflows and agents",
    asked=f"at most {_MOST_SERIES:,} series, the others counted as overflow",
    measure=measure,
)
