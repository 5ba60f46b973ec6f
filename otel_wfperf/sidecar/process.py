"""A sidecar as a process: garbage collection, signals, reload, drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from otel_wfperf.config import SidecarConfig
from otel_wfperf.errors import ConfigError
from otel_wfperf.sidecar.reloads import Reloads, changed_keys
from otel_wfperf.sidecar.service import Endpoints, Sidecar

_LOGGER = logging.getLogger(__name__)
# Chosen: analysis makes many objects and hardly a cycle; with Python's own thresholds (700, 10, 10) looking for cycles
# took 10 % of its time.
_GC_THRESHOLDS: Final = (50_000, 10, 10)
# Chosen: the receivers' thread waits this long for the analyzer's to let go of the interpreter. With Python's own 5 ms,
# accepting a request took three times as long under load (median 87 instead of 30 ms, 71 instead of 14); the CPU time
# for a span stayed the same.
_SWITCH_INTERVAL_S: Final = 0.001


def run_forever(
    config: SidecarConfig,
    *,
    on_ready: Callable[[Endpoints], None] | None = None,
    reread: Callable[[], SidecarConfig] | None = None,
) -> None:
    """Run a sidecar until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    Args:
        config: What to start with.
        on_ready: Told where it listens, after each start.
        reread: Reads the configuration again for SIGHUP, raising ConfigError; without it SIGHUP ends the process.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    asyncio.run(_Process(config, on_ready, reread).run())


class _Process:
    """One sidecar after another: each reload takes the place of the one before, in the same process."""

    def __init__(
        self,
        config: SidecarConfig,
        on_ready: Callable[[Endpoints], None] | None,
        reread: Callable[[], SidecarConfig] | None,
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._reread = reread
        self._reloads = Reloads()
        self._signalled = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        self._watch()
        sidecar = await self._started(self._config)
        # What is imported and set up stays: looking for cycles in it is a pause of 50 ms each time.
        gc.collect()
        gc.freeze()
        while True:
            await self._signalled.wait()
            self._signalled.clear()
            if self._stopping:
                break
            sidecar = await self._reload(sidecar)
        await sidecar.stop()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        # Windows has no signal handlers on loops; there Ctrl-C ends asyncio.run by KeyboardInterrupt.
        with suppress(NotImplementedError):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop, number)
            if self._reread is not None:
                loop.add_signal_handler(signal.SIGHUP, self._signalled.set)

    def _stop(self, number: int) -> None:
        if self._stopping:
            # Source: POSIX shells report 128 + the signal's number.
            os._exit(128 + number)
        self._stopping = True
        self._signalled.set()

    async def _started(self, config: SidecarConfig) -> Sidecar:
        sidecar = Sidecar(config, reloads=self._reloads)
        endpoints = await sidecar.start()
        if self._on_ready is not None:
            self._on_ready(endpoints)
        return sidecar

    async def _reload(self, sidecar: Sidecar) -> Sidecar:
        """Start anew with the configuration as it is now; with that of before when it is wrong or cannot be had.

        What was acknowledged is in the log, so a moment without receivers loses nothing: senders try again.
        """
        config = await self._read_again(sidecar.config)
        if config is None or config == sidecar.config:
            self._reloads.record(succeeded=config is not None)
            if config is not None:
                _LOGGER.info("configuration read again: nothing has changed")
            return sidecar
        await sidecar.stop(drain=False)
        try:
            started = await self._started(config)
        except ConfigError as error:
            self._refuse(error)
            return await self._started(sidecar.config)
        self._reloads.record(succeeded=True)
        _LOGGER.info("configuration reloaded: %s", ", ".join(changed_keys(sidecar.config, config)))
        return started

    async def _read_again(self, old: SidecarConfig) -> SidecarConfig | None:
        """Return the configuration as it is now; None when it cannot be used, which is said."""
        try:
            config = await asyncio.to_thread(self._reread) if self._reread is not None else old
        except ConfigError as error:
            self._refuse(error)
            return None
        if config.data_dir != old.data_dir:
            problem = f"sidecar.data_dir: {str(config.data_dir)!r}: cannot change while it runs; restart the sidecar"
            self._refuse(ConfigError(problem))
            return None
        return config

    def _refuse(self, error: ConfigError) -> None:
        self._reloads.record(succeeded=False)
        for problem in error.problems:
            _LOGGER.error("configuration not reloaded, the old one stays: %s", problem)
