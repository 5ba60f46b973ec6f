"""Connections that are made anew: when their certificates have changed, and when they may be dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from otel_wfperf.errors import ConfigError
from otel_wfperf.log import Signal
from otel_wfperf.sidecar.exporters.exporter import Exporter, Outcome, Retry

_LOGGER = logging.getLogger(__name__)
# Chosen: a peer that went without a word looks like one that is slow. Three answers that are missing in a row cost 30 s
# at the default timeout, and a new connection to one that is slow costs next to nothing.
_MAX_TIMEOUTS = 3
_TIMEOUTS = frozenset({"deadline_exceeded", "timeout"})


class RenewedExporter:
    """Sends through an exporter, and through a new one once the stamp of its files is another or answers are missing.

    gRPC would keep a connection whose other end is gone for as long as the operating system believes in it. What is
    under way ends on the connections it began on. While the new files cannot be used, the old exporter stays.
    """

    def __init__(self, connect: Callable[[], Exporter], stamp: Callable[[], object]) -> None:
        """Connect; raise ConfigError when the files cannot be used.

        Args:
            connect: Makes an exporter from what is in the files now; raises ConfigError when it cannot.
            stamp: Tells one content of the files from another, at the cost of a look at the folder.
        """
        self._connect = connect
        self._stamp_now = stamp
        self._stamp = stamp()
        self._timeouts = 0
        self._current = _Use(connect())
        self._retired: set[asyncio.Task[None]] = set()

    async def send(self, signal: Signal, data: bytes) -> Outcome:
        """Try once to hand over an OTLP protobuf request."""
        self._renew()
        use = self._current
        with use:
            outcome = await use.exporter.send(signal, data)
        timed_out = isinstance(outcome, Retry) and outcome.reason in _TIMEOUTS
        if use is self._current:
            self._timeouts = self._timeouts + 1 if timed_out else 0
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._current.exporter.close()

    def _renew(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp and self._timeouts < _MAX_TIMEOUTS:
            return
        self._stamp = stamp
        self._timeouts = 0
        try:
            renewed = _Use(self._connect())
        except ConfigError as error:
            _LOGGER.error("%s; the certificates from before stay in use", error)  # noqa: TRY400 - the file is at fault
            return
        task = asyncio.create_task(self._current.retire())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)
        self._current = renewed


class _Use:
    """An exporter and how many requests it is sending."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._requests += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._requests -= 1
        if not self._requests:
            self._idle.set()

    async def retire(self) -> None:
        """Close once nothing is under way, or at once when cancelled."""
        try:
            await self._idle.wait()
        finally:
            await self.exporter.close()
