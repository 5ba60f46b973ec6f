"""Figure 1: 10,000 spans in a second for a minute, all analysed, on less than one core."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, Sent, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

SPANS_PER_S: Final = 10_000
SECONDS: Final = 60
_TRACE_SPANS: Final = 16
_MAX_CORE_RATIO: Final = 0.8
_MAX_RSS_BYTES: Final = 200 * 1024**2
_SETTLE_LIMIT_S: Final = 60.0


def measure() -> Outcome:
    """Send at the rate, wait until every execution is in the store, and add up what that took."""
    batches = list(workflow_batches(SPANS_PER_S * SECONDS, trace_spans=_TRACE_SPANS))
    expected = sum(len(batch.spans) for batch in batches) // _TRACE_SPANS
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, running_sidecar(Path(folder)) as sidecar:
        before_s = sidecar.cpu_s()
        sent, rss_bytes = asyncio.run(_watched(sidecar, batches))
        analysed = settled(sidecar, expected)
        cpu_s = sidecar.cpu_s() - before_s
        not_compared = sidecar.metric("wfperf_analyzer_dropped_items_total", reason="not_compared")
        dropped = sidecar.metric("wfperf_analyzer_dropped_items_total") - not_compared
    core_ratio = cpu_s / max(SECONDS, sent.spent_s)
    complete = not sent.refused and analysed == expected and not dropped
    return Outcome(
        got=f"{len(sent.accepted):,} spans in {sent.spent_s:.0f} s, {sum(sent.refused.values())} requests refused; "
        f"{analysed:,.0f} of {expected:,} executions analysed, {not_compared:,.0f} of them not compared with others; "
        f"{core_ratio:.0%} of a core, {rss_bytes / 2**20:.0f} MiB at most",
        reached=complete and core_ratio <= _MAX_CORE_RATIO and rss_bytes <= _MAX_RSS_BYTES,
    )


async def _watched(sidecar: SidecarProcess, batches: list[Batch]) -> tuple[Sent, int]:
    """Send, and note the largest resident set meanwhile (bytes)."""
    sending = asyncio.create_task(send(sidecar.grpc, batches, spans_per_s=SPANS_PER_S))
    largest = 0
    while not sending.done():
        largest = max(largest, sidecar.rss_bytes())
        await asyncio.wait([sending], timeout=0.5)
    return sending.result(), max(largest, sidecar.rss_bytes())


def settled(sidecar: SidecarProcess, expected: int) -> float:
    """Wait until so many executions are analysed, or no longer than a minute; return how many are."""
    deadline_s = time.monotonic() + _SETTLE_LIMIT_S
    while (analysed := sidecar.metric("wfperf_executions_total")) < expected and time.monotonic() < deadline_s:
        time.sleep(0.25)
    return analysed


FIGURE: Final = Figure(
    number=1,
    title="10,000 spans/s for 60 s over OTLP gRPC",
    asked="0 lost, at most 80 % of one core, at most 200 MiB",
    measure=measure,
)
