"""A sidecar inside another program, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.pipeline import Analysis
from otel_wfperf.sidecar.recorder import Recorder
from otel_wfperf.sidecar.service import Endpoints, Sidecar


class RunningSidecar:
    """A sidecar in a thread of its own."""

    def __init__(self, sidecar: Sidecar, loop: asyncio.AbstractEventLoop, endpoints: Endpoints) -> None:
        """Wrap a sidecar that has started on another thread's loop."""
        self._sidecar = sidecar
        self._loop = loop
        self.endpoints = endpoints

    def finish(self, ended_by: str | None = None) -> Analysis:
        """Analyse all that has been received, open traces included; for the argument see :meth:`Pipeline.finish`."""
        return asyncio.run_coroutine_threadsafe(self._sidecar.finish(ended_by), self._loop).result()


@contextmanager
def embedded(config: SidecarConfig, *, recorder: Recorder | None = None) -> Iterator[RunningSidecar]:
    """Run a sidecar inside this process, in a thread of its own; it keeps all executions in memory.

    Args:
        config: Addresses, limits, exporters.
        recorder: Gets all spans that are received, complete after :meth:`RunningSidecar.finish`.
    """
    started: Future[RunningSidecar] = Future()
    ending: Future[None] = Future()

    async def serve() -> None:
        try:
            sidecar = Sidecar(config, keep_executions=True, recorder=recorder)
            endpoints = await sidecar.start()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            started.set_exception(error)
            return
        started.set_result(RunningSidecar(sidecar, asyncio.get_running_loop(), endpoints))
        await asyncio.wrap_future(ending)
        await sidecar.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="wfperf-sidecar", daemon=True)
    thread.start()
    try:
        yield started.result()
    finally:
        ending.set_result(None)
        thread.join()
