"""Move the analyzer through the log: read, analyse in a thread, store, annotate, commit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from otel_wfperf.alerts import Running
from otel_wfperf.assembly import OpenTrace
from otel_wfperf.config import RetentionConfig
from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Record, Signal
from otel_wfperf.model import Execution, Finding, OperationKind
from otel_wfperf.otlp import protobuf
from otel_wfperf.report.document import execution_document, finding_document
from otel_wfperf.sidecar.analyzer import Analyzer, Finished
from otel_wfperf.sidecar.annotation import annotation
from otel_wfperf.sidecar.clock import steady_clock
from otel_wfperf.sidecar.decisions import Decisions
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import AgentRow, Analysed, Limits, Position, Sample, Store, StoreUnavailableError

_LOGGER = logging.getLogger(__name__)
CONSUMER: Final = "analyzer"
# Chosen: findings appear within this time plus the quiet period; looking costs a pass over the open traces.
_TICK_S: Final = 0.25
# Chosen: the quiet period of an execution; what is read later than this after it came is not kept up with.
_BEHIND_NS: Final = 2_000_000_000
# Chosen: the pause after a look is at least four times as long as the look took, up to a second, so that looking takes
# a fifth of the time. What became complete meanwhile is compared at once, which costs little more than comparing one.
_REST: Final = 4
_MAX_REST_NS: Final = 1_000_000_000
# Chosen: often enough for metrics that are scraped every few seconds.
_COUNT_NS: Final = 1_000_000_000
# Chosen: half of the log may be held back by open traces; past it a restart would find them incomplete, which is
# better than refusing new data.
_HOLD_RATIO: Final = 0.5
_RETRY_STORE_S: Final = 1.0
# Chosen: some 500 kB at 1 kB of findings each; back ends take 4 MiB in one gRPC message by default.
_MAX_ANNOTATIONS: Final = 500
_SAMPLED: Final = (
    OperationKind.PHASE,
    OperationKind.AGENT,
    OperationKind.TOOL,
    OperationKind.LLM,
    OperationKind.RETRIEVAL,
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What came out of a run."""

    executions: tuple[Execution, ...]
    findings: tuple[Finding, ...]


class Observer(Protocol):
    """Is told what the pipeline takes in, and what comes out of it."""

    def measured(self, records: Sequence[Record], *, now_ns: int) -> None:
        """Look at records of the log; called in the pipeline's thread."""

    def analysed(self, execution: Execution, findings: Sequence[Finding]) -> None:
        """Look at a result."""


class Pipeline:
    """Owns the analyzer and its position in the log."""

    def __init__(
        self,
        log: Log,
        store: Store,
        analyzer: Analyzer,
        *,
        metrics: Metrics,
        position: int,
        annotate: bool,
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        """Continue at a position of the log.

        Args:
            log: What to analyse.
            store: Where results go.
            analyzer: Does the work.
            metrics: Counters.
            position: Everything up to this offset is analysed.
            annotate: Append a span with the findings of each execution, for the exporters.
            clock_ns: Nanoseconds since the Unix epoch, without jumps; :func:`steady_clock` by default.
        """
        self._log = log
        self._store = store
        self._analyzer = analyzer
        self._metrics = metrics
        self._annotate = annotate
        self._clock_ns = clock_ns or steady_clock()
        self._stepping = asyncio.Lock()
        # One thread: the analyzer is not shared, and the store has one writer.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wfperf-analyzer")
        self._counted: Counter[str] = Counter()
        self._faults: set[str] = set()
        self._stopping = False
        self._behind = False
        self._next_tick_ns = 0
        self.position = position
        self.decisions = Decisions(position, store.verdicts)
        self._committed = position
        self.open: tuple[OpenTrace, ...] = ()
        self.live_counts = LiveCounts()
        self.observer: Observer | None = None
        self._next_count_ns = 0

    async def run(self) -> None:
        """Analyse until :meth:`stop`."""
        while not self._stopping:
            async with self._stepping:
                try:
                    advanced = await self._step()
                except StoreUnavailableError:
                    return
            if not advanced:
                await self._log.wait(self.position, timeout_s=_TICK_S)

    async def stop(self, timeout_s: float) -> None:
        """End :meth:`run`, then analyse what is in the log, but not for longer than the timeout (seconds).

        Not by cancelling, because the thread cannot be interrupted within a step. What is left, and what a store
        that fails does not take, is analysed after the next start.
        """
        self._stopping = True
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        async with self._stepping:
            with suppress(StoreUnavailableError):
                while self.position < self._log.end and loop.time() < deadline_s:
                    await self._step()
                await self._tick()

    async def catch_up(self) -> None:
        """Analyse what is in the log now, and store what is complete."""
        async with self._stepping:
            end = self._log.end
            while self.position < end:
                await self._step()
            await self._tick()

    async def finish(self, ended_by: str | None = None) -> Analysis:
        """Analyse everything, open traces included, as if nothing more would come.

        Args:
            ended_by: What has just ended the program that sends, such as ``killed by signal 15``; None = it may go on.
        """
        now_ns = self._clock_ns()
        await self.catch_up()
        analyzer = self._analyzer
        flush = analyzer.flush if ended_by is None else partial(analyzer.flush_ended, ended_by, now_ns=now_ns)
        async with self._stepping:
            await self._settle(await self._in_thread(flush))
            executions, findings = await self._in_thread(self._analyzer.summary)
        return Analysis(executions=executions, findings=findings)

    async def trim_store(self, retention: RetentionConfig) -> int:
        """Delete results that are too old or too many, a batch at a time between analyses; return how many."""
        limits = Limits(
            oldest_unix_ns=self._clock_ns() - int(retention.max_age_s * 1e9),
            max_executions=retention.max_executions,
            max_size_bytes=retention.max_size_bytes,
        )
        deleted = 0
        while some := await self._stored(lambda: self._store.trim(limits)):
            deleted += some
        return deleted

    async def live(self, limit: int) -> tuple[LiveExecution, ...]:
        """Return what runs, or is not complete, that which was heard of last first."""
        now_ns = self._clock_ns()
        executions, self.live_counts = await self._in_thread(lambda: self._analyzer.live(limit=limit, now_ns=now_ns))
        return executions

    async def running(self, *, exact: bool) -> tuple[Running, ...]:
        """Return what runs, as far as alerts need it: exactly now, or with open traces as of the last tick."""
        open_traces = None if exact else self.open
        return await self._in_thread(lambda: self._analyzer.running(open_traces))

    async def find(self, trace_id: str) -> tuple[Execution, tuple[Finding, ...]] | None:
        """Return a recent execution and its findings; None when it is not in memory any more."""
        return await self._in_thread(lambda: self._analyzer.find(trace_id))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _step(self) -> bool:
        """Take in some records; True when there were any."""
        records = await self._log.read(self.position)
        now_ns = self._clock_ns()
        if records:
            await self._in_thread(lambda: self._add(records, now_ns))
            self.position = records[-1].offset
        self._behind = bool(records) and self.position < self._log.end and _age_ns(records[-1]) > _BEHIND_NS
        if now_ns >= self._next_tick_ns:
            await self._tick()
        return bool(records)

    def _add(self, records: Sequence[Record], now_ns: int) -> None:
        self._analyzer.add(records, now_ns=now_ns)
        if self.observer is not None:
            self.observer.measured(records, now_ns=now_ns)

    async def _tick(self) -> None:
        now_ns = self._clock_ns()
        await self._settle(await self._in_thread(lambda: self._analyzer.due(now_ns=now_ns, behind=self._behind)))
        await self._count_live(now_ns)
        done_ns = self._clock_ns()
        self._next_tick_ns = max(now_ns + int(_TICK_S * 1e9), done_ns + min(_MAX_REST_NS, _REST * (done_ns - now_ns)))

    async def _count_live(self, now_ns: int) -> None:
        if now_ns >= self._next_count_ns:
            self._next_count_ns = now_ns + _COUNT_NS
            open_traces = self.open
            self.live_counts = await self._in_thread(lambda: self._analyzer.live_counts(open_traces, now_ns=now_ns))

    async def _settle(self, finished: Sequence[Finished]) -> None:
        """Store results together with the position, tell exporters and metrics, and let the log go."""
        position = self.position
        self.open = open_traces = await self._in_thread(self._analyzer.open)
        done = await self._in_thread(lambda: self._analyzer.done_up_to(position, open_traces))
        if finished:
            outdated = await self._stored(lambda: self._store.outdated(one.execution for one in finished))
            self._count("outdated_execution", len(outdated))
            if outdated:
                finished = [one for one in finished if one.execution.trace_id not in outdated]
                await self._in_thread(lambda: self._analyzer.forget(outdated))
            await self._append_annotations(finished)
        if finished or done != self._committed:
            await self._save(await self._in_thread(lambda: self._described(finished)), done)
        await self._release(done)
        self.decisions.settled(position, (trace.trace_id for trace in open_traces))
        for one in finished:
            self._metrics.analysed(one.execution, one.findings)
            if self.observer is not None:
                self.observer.analysed(one.execution, one.findings)
        self._export_drops(await self._in_thread(lambda: dict(self._analyzer.dropped)))

    def _described(self, finished: Sequence[Finished]) -> list[Analysed]:
        """Make rows of what can be described."""
        rows = []
        for one in finished:
            try:
                rows.append(_analysed(one))
            except Exception as error:  # noqa: BLE001 - a fault of ours must not take the others with it
                self._lost("report_failed", error)
        return rows

    async def _save(self, rows: Sequence[Analysed], done: int) -> None:
        """Store all at once; when the store refuses one of them, the others and only then the position."""
        if await self._refusal(rows, done) is not None:
            for row in rows:
                error = await self._refusal([row], self._committed)
                if error is not None:
                    self._lost("store_refused", error)
            await self._refusal([], done)
        self._committed = done

    async def _refusal(self, rows: Sequence[Analysed], offset: int) -> Exception | None:
        """Store rows and how far the log is analysed; return why the store will never take them, if so."""
        position = Position(log_id=self._log.log_id, offset=offset)
        now_ns = self._clock_ns()
        try:
            await self._stored(lambda: self._store.save(rows, consumer=CONSUMER, position=position, now_unix_ns=now_ns))
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a number that no column holds, for example
            return error
        return None

    async def _release(self, done: int) -> None:
        """Tell the log what is no longer needed from it."""
        crowded = self._log.size_bytes > self._log.max_size_bytes * _HOLD_RATIO
        try:
            await self._log.commit(CONSUMER, self.position if crowded else done)
        except LogFullError:
            # A full disk: the next tick tries again; the store has the position that counts.
            self._count("log_commit_failed", 1)

    async def _append_annotations(self, finished: Sequence[Finished]) -> None:
        if not self._annotate or not finished:
            return
        spans = [annotation(one.execution, one.findings) for one in finished]
        for start in range(0, len(spans), _MAX_ANNOTATIONS):
            some = spans[start : start + _MAX_ANNOTATIONS]
            data = await self._in_thread(partial(protobuf.encode_traces, some))
            try:
                await self._log.append(Signal.TRACES, data, items=len(some))
            except LogFullError:
                self._count("annotation_log_full", len(some))

    def _lost(self, reason: str, error: Exception) -> None:
        """Count an execution that is lost by a fault of ours, and log the first of its kind."""
        if reason not in self._faults:
            _LOGGER.error("analysis: %s; further ones are only counted", reason, exc_info=error)
        self._faults.add(reason)
        self._count(reason, 1)

    def _count(self, reason: str, items: int) -> None:
        if items:
            self._metrics.dropped(reason, items)

    def _export_drops(self, dropped: dict[str, int]) -> None:
        """Add to the metric what was dropped since the last time."""
        for reason, total in dropped.items():
            self._count(reason, total - self._counted[reason])
            self._counted[reason] = total

    async def _stored(self, work: Callable[[], T]) -> T:
        """Use the store; while it cannot be used, wait, unless we stop: the log holds what comes meanwhile."""
        while True:
            try:
                return await self._in_thread(work)
            except StoreUnavailableError:
                self._metrics.store_failed()
                if self._stopping:
                    raise
                await asyncio.sleep(_RETRY_STORE_S)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _age_ns(record: Record) -> int:
    """Return how long ago a record was received (nanoseconds); both times are the wall clock's."""
    return time.time_ns() - record.received_ns


def _analysed(finished: Finished) -> Analysed:
    """Turn a result into what the store keeps."""
    execution = finished.execution
    described = execution_document(execution) | {"compared": finished.compared}
    return Analysed(
        execution=execution,
        last_offset=finished.last_offset,
        document=described,
        findings=tuple((finding, finding_document(finding)) for finding in finished.findings),
        agents=tuple(
            AgentRow(
                name=agent["name"],
                calls=agent["calls"],
                busy_s=agent["busy_s"],
                wait_s=agent["wait_s"],
                input_tokens=agent["input_tokens"],
                output_tokens=agent["output_tokens"],
                errors=agent["errors"],
            )
            for agent in described["agents"]
        ),
        samples=(
            Sample(kind=OperationKind.WORKFLOW.value, name=execution.workflow, duration_s=execution.duration_ns / 1e9),
            *(
                Sample(kind=operation.kind.value, name=operation.name, duration_s=operation.duration_ns / 1e9)
                for operation in execution.of_kind(*_SAMPLED)
                if operation.ended and not operation.synthetic
            ),
        ),
    )
