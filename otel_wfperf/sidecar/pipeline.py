"""Move the analyzer through the log: read, analyse in a thread, store, annotate, commit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from otel_wfperf.assembly import OpenTrace
from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Signal
from otel_wfperf.model import Execution, Finding, OperationKind
from otel_wfperf.otlp import protobuf
from otel_wfperf.report.document import execution_document, finding_document
from otel_wfperf.sidecar.analyzer import Analyzer, Finished
from otel_wfperf.sidecar.annotation import annotation
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import AgentRow, Analysed, Position, Sample, Store

CONSUMER: Final = "analyzer"
# Chosen: findings appear within this time plus the quiet period; looking costs a pass over the open traces.
_TICK_S: Final = 0.25
# Chosen: half of the log may be held back by open traces; past it a restart would find them incomplete, which is
# better than refusing new data.
_HOLD_RATIO: Final = 0.5
_RETRY_STORE_S: Final = 1.0
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
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Continue at a position of the log.

        Args:
            log: What to analyse.
            store: Where results go.
            analyzer: Does the work.
            metrics: Counters.
            position: Everything up to this offset is analysed.
            annotate: Append a span with the findings of each execution, for the exporters.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
        """
        self._log = log
        self._store = store
        self._analyzer = analyzer
        self._metrics = metrics
        self._annotate = annotate
        self._clock_ns = clock_ns
        self._stepping = asyncio.Lock()
        # One thread: the analyzer is not shared, and the store has one writer.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wfperf-analyzer")
        self._counted: Counter[str] = Counter()
        self._stopping = False
        self._ticked_ns = 0
        self.position = position
        self._committed = position
        self.open: tuple[OpenTrace, ...] = ()

    async def run(self) -> None:
        """Analyse until :meth:`stop`."""
        while not self._stopping:
            async with self._stepping:
                advanced = await self._step()
            if not advanced:
                await self._log.wait(self.position, timeout_s=_TICK_S)

    async def stop(self) -> None:
        """End :meth:`run`; not by cancelling, because the thread cannot be interrupted within a step."""
        self._stopping = True
        async with self._stepping:
            pass

    async def catch_up(self) -> None:
        """Analyse what is in the log now, and store what is complete."""
        async with self._stepping:
            end = self._log.end
            while self.position < end:
                await self._step()
            await self._tick()

    async def finish(self) -> Analysis:
        """Analyse everything, open traces included, as if nothing more would come."""
        await self.catch_up()
        async with self._stepping:
            await self._settle(await self._in_thread(self._analyzer.flush))
            executions, findings = await self._in_thread(self._analyzer.summary)
        return Analysis(executions=executions, findings=findings)

    async def trim_store(self, *, max_age_s: float, max_executions: int) -> None:
        """Delete results that are too old or too many."""
        oldest_ns = self._clock_ns() - int(max_age_s * 1e9)
        await self._stored(lambda: self._store.trim(oldest_unix_ns=oldest_ns, max_executions=max_executions))

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
            await self._in_thread(lambda: self._analyzer.add(records, now_ns=now_ns))
            self.position = records[-1].offset
        if now_ns - self._ticked_ns >= _TICK_S * 1e9:
            await self._tick()
        return bool(records)

    async def _tick(self) -> None:
        self._ticked_ns = now_ns = self._clock_ns()
        await self._settle(await self._in_thread(lambda: self._analyzer.due(now_ns=now_ns)))

    async def _settle(self, finished: Sequence[Finished]) -> None:
        """Store results together with the position, tell exporters and metrics, and let the log go."""
        position = self.position
        self.open = open_traces = await self._in_thread(self._analyzer.open)
        done = await self._in_thread(lambda: self._analyzer.done_up_to(position, open_traces))
        if finished:
            outdated = await self._stored(lambda: self._store.outdated(one.execution for one in finished))
            self._count("outdated_execution", len(outdated))
            finished = [one for one in finished if one.execution.trace_id not in outdated]
            await self._append_annotations(finished)
        if finished or done != self._committed:
            rows = await self._in_thread(lambda: [_analysed(one) for one in finished])
            where = Position(log_id=self._log.log_id, offset=done)
            now_ns = self._clock_ns()
            await self._stored(lambda: self._store.save(rows, consumer=CONSUMER, position=where, now_unix_ns=now_ns))
            self._committed = done
        await self._release(done)
        for one in finished:
            self._metrics.analysed(one.execution, one.findings)
        self._export_drops(await self._in_thread(lambda: dict(self._analyzer.dropped)))

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
        data = await self._in_thread(lambda: protobuf.encode_traces(spans))
        try:
            await self._log.append(Signal.TRACES, data, items=len(spans))
        except LogFullError:
            self._count("annotation_log_full", len(spans))

    def _count(self, reason: str, items: int) -> None:
        if items:
            self._metrics.dropped(reason, items)

    def _export_drops(self, dropped: dict[str, int]) -> None:
        """Add to the metric what was dropped since the last time."""
        for reason, total in dropped.items():
            self._count(reason, total - self._counted[reason])
            self._counted[reason] = total

    async def _stored(self, work: Callable[[], T]) -> T:
        """Use the store; while it cannot be used, wait: the log holds what comes meanwhile."""
        while True:
            try:
                return await self._in_thread(work)
            except SQLAlchemyError:
                self._metrics.store_failed()
                await asyncio.sleep(_RETRY_STORE_S)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _analysed(finished: Finished) -> Analysed:
    """Turn a result into what the store keeps."""
    execution = finished.execution
    described = execution_document(execution)
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
