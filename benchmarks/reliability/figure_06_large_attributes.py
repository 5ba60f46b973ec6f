"""Figure 6: attributes of 100 kB, 500 spans in a second."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.figure_01_throughput import settled
from benchmarks.reliability.load import Batch, Sent, send
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from otel_wfperf.model import Span
from otel_wfperf.otlp import protobuf

SPANS_PER_S: Final = 500
SECONDS: Final = 30
ATTRIBUTE_BYTES: Final = 100_000
_TRACE_SPANS: Final = 10
_MAX_RSS_BYTES: Final = 300 * 1024**2
_START_NS: Final = 1_700_000_000_000_000_000


def measure() -> Outcome:
    """Send prompts of that size at that rate, and watch the memory."""
    traces = SPANS_PER_S * SECONDS // _TRACE_SPANS
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, running_sidecar(Path(folder)) as sidecar:
        sent, rss_bytes = asyncio.run(_watched(sidecar, traces))
        analysed = settled(sidecar, traces)
        rss_bytes = max(rss_bytes, sidecar.rss_bytes())
    return Outcome(
        got=f"{rss_bytes / 2**20:.0f} MiB at most; {len(sent.accepted):,} spans in {sent.spent_s:.0f} s, "
        f"{sum(sent.refused.values())} requests refused, {analysed:,.0f} of {traces:,} executions analysed",
        reached=rss_bytes <= _MAX_RSS_BYTES and not sent.refused and analysed == traces,
    )


async def _watched(sidecar: SidecarProcess, traces: int) -> tuple[Sent, int]:
    sending = asyncio.create_task(send(sidecar.grpc, _batches(traces), spans_per_s=SPANS_PER_S))
    largest = 0
    while not sending.done():
        largest = max(largest, sidecar.rss_bytes())
        await asyncio.wait([sending], timeout=0.25)
    return sending.result(), largest


def _batches(traces: int) -> Iterator[Batch]:
    """Make a request of each trace: model calls with a prompt of that size each."""
    for trace in range(1, traces + 1):
        spans = [_span(trace, at) for at in range(_TRACE_SPANS)]
        yield Batch(protobuf.encode_traces(spans), tuple((span.trace_id, span.span_id) for span in spans))


def _span(trace: int, at: int) -> Span:
    words = f"prompt {trace} of call {at} "
    prompt = (words * (ATTRIBUTE_BYTES // len(words) + 1))[:ATTRIBUTE_BYTES]
    operation = "chat" if at else "invoke_workflow"
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{trace * 100 + at + 1:016x}",
        parent_id=f"{trace * 100 + 1:016x}" if at else None,
        name=f"{operation} large",
        start_ns=_START_NS + at * 1_000_000,
        end_ns=_START_NS + (at + 1) * 1_000_000 if at else _START_NS + _TRACE_SPANS * 1_000_000,
        attributes={"gen_ai.operation.name": operation, "gen_ai.input.messages": prompt},
    )


FIGURE: Final = Figure(
    number=6,
    title="attributes of 100 kB at 500 spans/s",
    asked="at most 300 MiB, all accepted and analysed",
    measure=measure,
)
