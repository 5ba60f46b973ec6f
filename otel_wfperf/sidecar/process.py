"""A sidecar as a process: garbage collection, signals, drain."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.service import Endpoints, Sidecar

# Chosen: analysis makes many objects and hardly a cycle; with Python's own thresholds (700, 10, 10) looking for cycles
# took 10 % of its time.
_GC_THRESHOLDS: Final = (10_000, 20, 50)


def run_forever(config: SidecarConfig, *, on_ready: Callable[[Endpoints], None] | None = None) -> None:
    """Run a sidecar until SIGTERM or SIGINT, then drain; a second signal ends the process at once."""
    gc.set_threshold(*_GC_THRESHOLDS)
    asyncio.run(_serve(config, on_ready))


async def _serve(config: SidecarConfig, on_ready: Callable[[Endpoints], None] | None) -> None:
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            # Source: POSIX shells report 128 + the signal's number.
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no signal handlers on loops; there Ctrl-C ends asyncio.run by KeyboardInterrupt.
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop, number)
    sidecar = Sidecar(config)
    endpoints = await sidecar.start()
    if on_ready is not None:
        on_ready(endpoints)
    await stopping.wait()
    await sidecar.stop()
