"""Figure 3: a burst that nobody can take in at once is taken or refused, and nothing in between."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.reliability.arrivals import arrived_once_all_are
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import send, workflow_batches
from benchmarks.reliability.rig import running_sidecar
from tests.peers import running_collector

SPANS: Final = 200_000
_DELIVERY_LIMIT_S: Final = 60.0


def measure() -> Outcome:
    """Send the burst open loop, each request once, and look for what was acknowledged at the Collector."""
    batches = list(workflow_batches(SPANS))
    with (
        tempfile.TemporaryDirectory(prefix="wfperf-") as folder,
        running_collector() as collector,
        running_sidecar(
            Path(folder), {"exporters": [{"name": "collector", "endpoint": f"http://{collector.otlp_grpc}"}]}
        ) as sidecar,
    ):
        sent = asyncio.run(send(sidecar.grpc, batches, spans_per_s=SPANS, concurrency=len(batches)))
        found = arrived_once_all_are(collector.output, sent.accepted, limit_s=_DELIVERY_LIMIT_S)
    silent = len(sent.accepted - found.keys())
    refused = sum(sent.refused.values())
    return Outcome(
        got=f"{len(sent.accepted)} spans accepted and {refused} of {len(batches)} requests refused "
        f"({dict(sent.refused)}) within {sent.spent_s:.1f} s; {silent} acknowledged spans missing at the Collector",
        # Retryable whether or not it says when. Source: OTLP specification, "OTLP/gRPC Response".
        reached=silent == 0 and set(sent.refused) <= {"UNAVAILABLE"},
    )


FIGURE: Final = Figure(
    number=3,
    title="burst of 200 000 spans in 1 s",
    asked="accepted or refused retryably, 0 silent",
    measure=measure,
)
