"""Figure 13: SIGKILL at random moments under load loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.reliability.arrivals import arrived_once_all_are
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Batch, SpanKey, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess
from tests.peers import running_collector

KILLS: Final = 50
SPANS_PER_S: Final = 10_000
_BATCH_SPANS: Final = 256
_TRACES_A_KILL: Final = 10_000
# Chosen: from before the first commit to the middle of a steady flow.
_KILL_WITHIN_S: Final = (0.02, 0.8)
_DELIVERY_LIMIT_S: Final = 60.0


def measure(kills: int = KILLS) -> Outcome:
    """Kill and start again; at the end compare ids at the Collector."""
    chosen = random.Random(13)
    acknowledged: set[SpanKey] = set()
    loads: list[list[Batch]] = []
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, running_collector() as collector:
        # What is under way when the process dies is sent again: as many requests as may be.
        exporter = {"name": "collector", "endpoint": f"http://{collector.otlp_grpc}", "concurrency": 1}
        settings = {"exporters": [exporter]}
        sidecar = SidecarProcess(Path(folder), settings)
        for number in range(kills):
            sidecar.start()
            spans = int(SPANS_PER_S * _KILL_WITHIN_S[1])
            batches = workflow_batches(spans, batch_spans=_BATCH_SPANS, first=1 + number * _TRACES_A_KILL)
            loads.append(list(batches))
            acknowledged |= asyncio.run(_acknowledged(sidecar, loads[-1], chosen.uniform(*_KILL_WITHIN_S)))
        sidecar.start()
        found = arrived_once_all_are(collector.output, acknowledged, limit_s=_DELIVERY_LIMIT_S)
        sidecar.stop()
    lost = len(acknowledged - found.keys())
    again = [sum(found[batch.spans[0]] > 1 for batch in load) for load in loads]
    return Outcome(
        got=f"{len(acknowledged)} spans acknowledged over {kills} kills, {lost} lost; {sum(again)} requests delivered "
        f"twice, at most {max(again)} of one kill",
        reached=lost == 0 and max(again) <= 1,
    )


async def _acknowledged(sidecar: SidecarProcess, load: Sequence[Batch], kill_after_s: float) -> set[SpanKey]:
    sending = asyncio.create_task(send(sidecar.grpc, load, spans_per_s=SPANS_PER_S, concurrency=16))
    await asyncio.sleep(kill_after_s)
    await asyncio.to_thread(sidecar.kill)
    return (await sending).accepted


FIGURE: Final = Figure(
    number=13,
    title="SIGKILL 50 times at random moments, 10 000 spans/s, exporter concurrency 1",
    asked="0 acknowledged spans lost, at most one request a kill delivered twice",
    measure=measure,
)
