"""The sidecar as a whole: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.assembly import Assembler
from otel_wfperf.config import SidecarConfig
from otel_wfperf.errors import ConfigError, LogFullError
from otel_wfperf.log import SqliteLog, put_aside
from otel_wfperf.model import Execution, Finding
from otel_wfperf.sidecar import api
from otel_wfperf.sidecar.analyzer import Analyzer
from otel_wfperf.sidecar.exporters.forwarder import Forwarder, consumer
from otel_wfperf.sidecar.exporters.transport import connect
from otel_wfperf.sidecar.http_server import HttpServer
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution, LiveView
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.pipeline import CONSUMER, Analysis, Pipeline
from otel_wfperf.sidecar.receivers import http
from otel_wfperf.sidecar.receivers.grpc import GrpcReceiver
from otel_wfperf.sidecar.receivers.request import Intake
from otel_wfperf.sidecar.usual import UsualDurations
from otel_wfperf.store import Store, StoreDamagedError

_LOGGER = logging.getLogger(__name__)
# Chosen: frees room within a second of an exporter's progress at little cost.
_TRIM_LOG_S: Final = 1.0
_TRIM_STORE_S: Final = 600.0
_RESTART_S: Final = 1.0

__all__ = ["Analysis", "Endpoints", "Sidecar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a sidecar listens.

    Attributes:
        grpc: OTLP over gRPC (host:port).
        http: OTLP over HTTP (base URL).
        page: Page, API, metrics (base URL).
    """

    grpc: str
    http: str
    page: str


class Sidecar:
    """Everything in one process: receivers, log, analyzer, store, exporters, page.

    Start order: log and store, then consumers, then the page, then the receivers; stopping is the reverse.
    """

    def __init__(self, config: SidecarConfig, *, keep_executions: bool = False) -> None:
        """Prepare; nothing is opened before :meth:`start`.

        Args:
            config: Addresses, limits, exporters.
            keep_executions: Keep all executions in memory for :meth:`finish`; for short runs only.
        """
        self.config = config
        self.metrics = Metrics()
        self.ready = False
        self._keep = keep_executions
        self._opened = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._forwarders: list[Forwarder] = []

    # -- what the API shows ----------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """Results."""
        return self._store

    @property
    def live_counts(self) -> LiveCounts:
        """How much is running now."""
        return self._pipeline.live_counts

    async def live(self, limit: int) -> tuple[LiveExecution, ...]:
        """Return what is running now, that which was heard of last first."""
        return await self._pipeline.live(limit)

    async def find(self, trace_id: str) -> tuple[Execution, tuple[Finding, ...]] | None:
        """Return a recent execution with all its operations; None when only its document is left."""
        return await self._pipeline.find(trace_id)

    # -- lifecycle -------------------------------------------------------------------------------------------------

    async def start(self) -> Endpoints:
        """Open everything and serve; raise ConfigError when something of the configuration cannot be had."""
        try:
            await self._open_storage()
            await self._start_consumers()
            endpoints = await self._listen()
        except BaseException:
            await self._close()
            raise
        self.ready = True
        return endpoints

    async def finish(self, ended_by: str | None = None) -> Analysis:
        """Analyse all that has been received, open traces included; for the argument see :meth:`Pipeline.finish`."""
        return await self._pipeline.finish(ended_by)

    async def stop(self) -> None:
        """Drain: finish requests, analyse what is complete, give the exporters a little time, close.

        What could not be analysed or exported within the drain timeout stays in the log for the next start.
        """
        self.ready = False
        self._intake.draining = True
        loop = asyncio.get_running_loop()
        timeout_s = self.config.drain_timeout_s
        deadline_s = loop.time() + timeout_s
        await asyncio.gather(self._grpc.stop(timeout_s / 2), self._http.stop())
        await self._pipeline.stop(timeout_s / 4)
        await asyncio.gather(*(forwarder.drain(deadline_s - loop.time()) for forwarder in self._forwarders))
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._opened.aclose()

    async def _open_storage(self) -> None:
        config = self.config
        _make_folder(config.data_dir)
        self._log = SqliteLog(
            config.data_dir / "log.sqlite",
            consumers=[CONSUMER, *(consumer(exporter.name) for exporter in config.exporters)],
            max_size_bytes=config.log.max_size_bytes,
            max_age_s=config.log.max_age_s,
            fsync=config.log.fsync,
        )
        self._opened.push_async_callback(self._log.close)
        path = config.data_dir.absolute() / "store.sqlite"
        self._store = await asyncio.to_thread(_open_store, path, fsync=config.log.fsync)
        self._opened.callback(self._store.close)

    async def _start_consumers(self) -> None:
        config = self.config
        position = await asyncio.to_thread(self._resume)
        analyzer = Analyzer(
            Assembler(config.assembly.settings()),
            window=config.window,
            analysed=await asyncio.to_thread(self._store.analysed_after, position),
            keep=self._keep,
            live=LiveView(UsualDurations(self._sketch, time.monotonic)),
        )
        self._pipeline = Pipeline(
            self._log,
            self._store,
            analyzer,
            metrics=self.metrics,
            position=position,
            annotate=config.annotate and bool(config.exporters),
        )
        self._opened.callback(self._pipeline.close)
        self._supervise("analyzer", self._pipeline.run)
        for exporter_config in config.exporters:
            exporter = connect(exporter_config)
            self._opened.push_async_callback(exporter.close)
            forwarder = Forwarder(
                exporter_config,
                exporter,
                self._log,
                metrics=self.metrics,
                max_age_s=config.log.max_age_s,
                random=random.random,
            )
            self._forwarders.append(forwarder)
            self._supervise(f"exporter {exporter_config.name}", forwarder.run)
        self._supervise("log trimming", self._trim_log)
        self._supervise("store trimming", self._trim_store)
        self._register_gauges()

    def _sketch(self, workflow: str, kind: str, name: str) -> Sketch:
        return self._store.sketch(workflow, kind=kind, name=name)

    def _resume(self) -> int:
        """Return how far the analyzer came in this log; in a new log it starts from the beginning."""
        position = self._store.position(CONSUMER)
        if position is not None and position.log_id == self._log.log_id:
            return position.offset
        self._store.forget_offsets()
        return 0

    async def _listen(self) -> Endpoints:
        config = self.config
        drain_s = config.drain_timeout_s / 2
        self._intake = Intake(self._log, self.metrics, max_request_bytes=config.max_request_size_bytes)
        page = HttpServer(
            api.application(self),
            config.listen.page,
            key="sidecar.listen.page",
            drain_timeout_s=0,
            read_timeout_s=config.read_timeout_s,
        )
        page_url = await page.start()
        self._opened.push_async_callback(page.stop)
        app = http.application(self._intake, read_timeout_s=config.read_timeout_s)
        self._http = HttpServer(
            app,
            config.listen.http,
            key="sidecar.listen.http",
            drain_timeout_s=drain_s,
            read_timeout_s=config.read_timeout_s,
        )
        http_url = await self._http.start()
        self._opened.push_async_callback(self._http.stop)
        self._grpc = GrpcReceiver(self._intake, config.listen.grpc)
        grpc_address = await self._grpc.start()
        self._opened.push_async_callback(self._grpc.stop, 0)
        return Endpoints(grpc=grpc_address, http=http_url, page=page_url)

    def _register_gauges(self) -> None:
        log, pipeline = self._log, self._pipeline
        self.metrics.gauge("wfperf_log_size_bytes", "Data in the log.", lambda: log.size_bytes)
        self.metrics.gauge("wfperf_log_limit_bytes", "Size at which data is refused.", lambda: log.max_size_bytes)
        self.metrics.gauge(
            "wfperf_analyzer_pending_records", "Requests not analysed yet.", lambda: log.end - pipeline.position
        )
        self.metrics.gauge("wfperf_analyzer_open_traces", "Traces not complete yet.", lambda: len(pipeline.open))
        self.metrics.gauge(
            "wfperf_running_executions", "Executions that run now.", lambda: pipeline.live_counts.running
        )
        self.metrics.gauge(
            "wfperf_stalled_executions",
            "Running executions in which something takes much longer than usual.",
            lambda: pipeline.live_counts.stalled,
        )
        self.metrics.gauges(
            "wfperf_exporter_pending_records",
            "Requests that the back end has not taken yet.",
            "exporter",
            {forwarder.name: partial(_pending, forwarder) for forwarder in self._forwarders},
        )

    async def _trim_log(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_LOG_S)
            # A full disk, or one that fails: senders are told, and the next try may succeed.
            with suppress(LogFullError):
                self.metrics.expired((await self._log.trim()).items)

    async def _trim_store(self) -> None:
        retention = self.config.retention
        while True:
            self.metrics.pruned(await self._pipeline.trim_store(retention))
            await asyncio.sleep(_TRIM_STORE_S)

    def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run something that must not end; a fault is logged and it starts again."""

        async def supervise() -> None:
            while True:
                try:
                    await work()
                except Exception:
                    _LOGGER.exception("%s failed; it starts again in %g s", name, _RESTART_S)
                    await asyncio.sleep(_RESTART_S)
                else:
                    return

        self._tasks.append(asyncio.create_task(supervise(), name=f"wfperf {name}"))


def _pending(forwarder: Forwarder) -> float:
    return forwarder.pending_records


def _open_store(path: Path, *, fsync: bool) -> Store:
    """Open the store; a damaged one is put aside, and what is in the log is analysed again."""
    url = f"sqlite:///{path}"
    try:
        return Store.open(url, fsync=fsync)
    except StoreDamagedError:
        put_aside(path)
        return Store.open(url, fsync=fsync)


def _make_folder(path: Path) -> None:
    try:
        # Traces may hold what users typed: for the owner only.
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"sidecar.data_dir: {str(path)!r}: cannot be created ({error.strerror}); choose another folder"
        raise ConfigError(message) from error
