"""Figure 12: a back end that refuses seven requests of ten at random, at 10,000 spans a second."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.reliability.backend import Backend, running_backend
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import send, workflow_batches
from benchmarks.reliability.rig import running_sidecar

_REFUSED: Final = 0.7
_SPANS_PER_S: Final = 10_000
_SECONDS: Final = 20
# Chosen: the last request alone may be refused a dozen times, with growing delays; nobody promises when it is over.
_DRAIN_S: Final = 180


def measure() -> Outcome:
    """Send to a sidecar whose only exporter meets the refusals, all settings being the defaults."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> Outcome:
    random = Random(12)
    async with running_backend(Backend(port=0, refuse=lambda: random.random() < _REFUSED)) as backend:
        exporters = [{"name": "b", "endpoint": f"http://127.0.0.1:{backend.port}"}]
        running = running_sidecar(folder, {"exporters": exporters})
        sidecar = await asyncio.to_thread(running.__enter__)
        try:
            batches = list(workflow_batches(_SPANS_PER_S * _SECONDS))
            sent = await send(sidecar.grpc, batches, spans_per_s=_SPANS_PER_S)
            begun_s = asyncio.get_running_loop().time()
            complete = await backend.until(len(sent.accepted), timeout_s=_DRAIN_S)
            drained_s = asyncio.get_running_loop().time() - begun_s
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
    received = backend.spans()
    missing = len(sent.accepted - received.keys())
    strange = len(received.keys() - sent.accepted)
    twice = sum(count - 1 for count in received.values())
    got = (
        f"{len(sent.accepted):,} sent at {len(sent.accepted) / sent.spent_s:,.0f} spans/s, {missing} missing, "
        f"{strange} strange, {twice} twice; {1 - len(backend.taken) / backend.tries:.0%} of {backend.tries:,} requests "
        f"refused; complete {drained_s:.0f} s after the load"
    )
    return Outcome(got=got, reached=complete and not missing and not strange and not twice)


FIGURE: Final = Figure(
    number=12,
    title="random refusals by the back end",
    asked="70 % UNAVAILABLE at 10,000 spans/s: sent == received, ids compared",
    measure=measure,
)
