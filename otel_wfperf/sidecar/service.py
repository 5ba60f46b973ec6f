"""The sidecar as a whole: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.assembly import Assembler
from otel_wfperf.config import SidecarConfig
from otel_wfperf.errors import ConfigError, LogFullError
from otel_wfperf.log import SqliteLog, put_aside
from otel_wfperf.model import Execution, Finding
from otel_wfperf.otlp.limits import SpanLimits
from otel_wfperf.sidecar import api
from otel_wfperf.sidecar.alerting.alerting import Alerting
from otel_wfperf.sidecar.analyzer import Analyzer
from otel_wfperf.sidecar.exporters.exporting import Exporting
from otel_wfperf.sidecar.exporters.forwarder import consumer
from otel_wfperf.sidecar.guard import Guard
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution, LiveView
from otel_wfperf.sidecar.log_metrics import expose_log
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.pipeline import CONSUMER, Analysis, Pipeline
from otel_wfperf.sidecar.ports import Endpoints, Ports
from otel_wfperf.sidecar.recorder import CONSUMER as RECORDER
from otel_wfperf.sidecar.recorder import Recorder
from otel_wfperf.sidecar.reloads import Reloads
from otel_wfperf.sidecar.usual import UsualDurations
from otel_wfperf.store import Store, StoreDamagedError

_LOGGER = logging.getLogger(__name__)
# Chosen: frees room within a second of an exporter's progress at little cost.
_TRIM_LOG_S: Final = 1.0
_TRIM_STORE_S: Final = 600.0
_RESTART_S: Final = 1.0

__all__ = ["Analysis", "Endpoints", "Sidecar"]


class Sidecar:
    """Everything in one process: receivers, log, analyzer, store, exporters, page.

    Start order: log and store, then consumers, then the page, then the receivers; stopping is the reverse.
    """

    def __init__(
        self,
        config: SidecarConfig,
        *,
        keep_executions: bool = False,
        reloads: Reloads | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Prepare; nothing is opened before :meth:`start`.

        Args:
            config: Addresses, limits, exporters.
            keep_executions: Keep all executions in memory for :meth:`finish`; for short runs only.
            reloads: How reading the configuration went; shown in the metrics.
            recorder: Gets all spans that are received.
        """
        self.config = config
        self.metrics = Metrics()
        (reloads or Reloads()).show(self.metrics)
        self.ready = False
        self._keep = keep_executions
        self._recorder = recorder
        # Nobody is to be told of a short run: who started it sees how it goes.
        alerts = config.alerts.model_copy(update={"enabled": False}) if keep_executions else config.alerts
        self.alerting = Alerting(alerts, config.data_dir / "alerts.json", counts=self.metrics)
        self._opened = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

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
            page = api.application(self, Guard(self.config, refused=self.metrics.page_refused))
            self._ports = Ports(self.config, self._log, self.metrics, page=page)
            await self._start_alerting()
            await self._start_consumers()
            endpoints = await self._ports.open(self._opened)
            self._watch(endpoints)
        except BaseException:
            await self._close()
            raise
        self.ready = True
        return endpoints

    async def finish(self, ended_by: str | None = None) -> Analysis:
        """Analyse all that has been received, open traces included; for the argument see :meth:`Pipeline.finish`."""
        analysis = await self._pipeline.finish(ended_by)
        if self._recorder is not None:
            await self._recorder.catch_up(self._log)
        return analysis

    async def stop(self, *, drain: bool = True) -> None:
        """Finish requests, analyse what is complete, give the exporters a little time, close.

        What could not be analysed or exported within the drain timeout stays in the log for the next start. Without
        ``drain`` all of it stays there at once.
        """
        self.ready = False
        loop = asyncio.get_running_loop()
        timeout_s = self.config.drain_timeout_s if drain else 0.0
        deadline_s = loop.time() + timeout_s
        await self._ports.drain()
        await self._pipeline.stop(timeout_s / 4)
        await self._exporting.drain(deadline_s - loop.time())
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
            consumers=[
                CONSUMER,
                *(consumer(exporter.name) for exporter in config.exporters),
                *([RECORDER] if self._recorder else []),
            ],
            max_size_bytes=config.log.max_size_bytes,
            max_age_s=config.log.max_age_s,
            fsync=config.log.fsync == "always",
            fsync_interval_s=config.log.fsync_interval_s if config.log.fsync == "interval" else None,
        )
        self._opened.push_async_callback(self._log.close)
        path = config.data_dir.absolute() / "store.sqlite"
        self._store = await asyncio.to_thread(_open_store, path, fsync=config.log.fsync == "always")
        self._opened.callback(self._store.close)

    async def _start_consumers(self) -> None:
        config = self.config
        position = await asyncio.to_thread(self._resume)
        analyzer = Analyzer(
            Assembler(config.assembly.settings()),
            limits=SpanLimits(**config.limits.model_dump(include=SpanLimits.names())),
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
        self._exporting = Exporting(
            config.exporters,
            self._log,
            self._pipeline.decisions,
            metrics=self.metrics,
            data_dir=config.data_dir,
            max_age_s=config.log.max_age_s,
        )
        self._opened.push_async_callback(self._exporting.close)
        for name, work in self._exporting.work().items():
            self._supervise(name, work)
        if self._recorder is not None:
            self._supervise("recorder", partial(self._recorder.run, self._log))
        self._supervise("log trimming", self._trim_log)
        self._supervise("store trimming", self._trim_store)
        self._register_gauges()

    async def _start_alerting(self) -> None:
        await self.alerting.start(self._store.endings)
        self._opened.push_async_callback(self.alerting.stop, self.config.drain_timeout_s / 4)

    def _watch(self, endpoints: Endpoints) -> None:
        self.alerting.page_url = self.config.alerts.page_url or endpoints.page
        self._pipeline.observer = self.alerting
        self._supervise("alerts", lambda: self.alerting.run(self._pipeline.running))

    def _sketch(self, workflow: str, kind: str, name: str) -> Sketch:
        return self._store.sketch(workflow, kind=kind, name=name)

    def _resume(self) -> int:
        """Return how far the analyzer came in this log; in a new log it starts from the beginning."""
        log, position = self._log, self._store.position(CONSUMER)
        # Past the last offset: a machine that died took commits of the log with it that the store has seen.
        if position is not None and position.log_id == log.log_id and position.offset <= log.last_offset:
            return position.offset
        self._store.forget_offsets()
        return 0

    def _register_gauges(self) -> None:
        log, pipeline = self._log, self._pipeline
        expose_log(log, self.metrics)
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
