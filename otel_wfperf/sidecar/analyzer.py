"""From records of the log to executions with findings; pure computation, for a thread of its own."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_wfperf.alerts import Running
from otel_wfperf.assembly import Assembler, OpenTrace
from otel_wfperf.conventions import normalize
from otel_wfperf.detectors import detect
from otel_wfperf.errors import DecodeError
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import Execution, Finding, Operation, Span
from otel_wfperf.otlp import logs, protobuf
from otel_wfperf.otlp.limits import MAX_UNIX_NS, SpanLimits
from otel_wfperf.sidecar.alerting.running import running
from otel_wfperf.sidecar.interruption import compared, cut_short
from otel_wfperf.sidecar.live import LiveCounts, LiveExecution, LiveView
from otel_wfperf.sidecar.windows import Windows

_LOGGER = logging.getLogger(__name__)
# Chosen: a finding names at most 100 executions (detectors.severity.MAX_TRACE_IDS), so more could not be attributed.
_MAX_COMPARED: Final = 100
# Chosen: comparing takes some 50 µs an operation, so a second; executions with more are compared with fewer others.
_MAX_COMPARED_OPERATIONS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One execution that is complete, or as complete as it will be.

    Attributes:
        findings: Those that it shows, alone or with its predecessors.
        compared: Whether detectors looked at it.
        last_offset: Last record of the log that is part of it.
    """

    execution: Execution
    findings: tuple[Finding, ...]
    last_offset: int
    compared: bool = True


@dataclass(slots=True)
class _Offsets:
    """First and last record of the log with spans of an open trace."""

    first: int
    last: int


class Analyzer:
    """Reads records, assembles traces and looks for what slows them.

    It never fails on input: what cannot be used is counted in :attr:`dropped`, by reason.
    """

    def __init__(
        self,
        assembler: Assembler,
        *,
        window: int,
        analysed: Mapping[str, int] | None = None,
        keep: bool = False,
        live: LiveView | None = None,
        limits: SpanLimits | None = None,
    ) -> None:
        """Start with no open trace.

        Args:
            assembler: Holds the open traces.
            window: Executions of a workflow that detectors compare (count).
            analysed: Trace ids whose records up to an offset are part of a stored execution already; a restart reads
                some of them again, because other traces were open.
            keep: Keep every execution for :meth:`summary`; for short runs only.
            live: Told of spans that begin and end.
            limits: What of a span is looked at.
        """
        self._assembler = assembler
        self._window = window
        self._windows = Windows(window)
        self._analysed = dict(analysed or {})
        self._offsets: dict[str, _Offsets] = {}
        self._kept: dict[str, Execution] | None = {} if keep else None
        self._counted: Counter[str] = Counter()
        self._live = live or LiveView()
        self._limits = limits or SpanLimits()

    @property
    def dropped(self) -> Mapping[str, int]:
        """What was not analysed, by reason (count)."""
        return self._counted + Counter(self._assembler.dropped) + Counter(self._live.dropped)

    def add(self, records: Iterable[Record], *, now_ns: int) -> None:
        """Take in records of the log."""
        for record in records:
            if record.signal is Signal.LOGS:
                self._announce(record, now_ns)
            if record.signal is not Signal.TRACES:
                continue
            operations = self._operations(record)
            self._live.ended(operations, now_ns=now_ns)
            for operation in operations:
                offsets = self._offsets.setdefault(operation.trace_id, _Offsets(record.offset, record.offset))
                offsets.last = record.offset
            try:
                self._assembler.add(operations, now_ns=now_ns)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop what comes after it
                self._lost("assembly_failed", len(operations), error)

    def due(self, *, now_ns: int, behind: bool = False) -> tuple[Finished, ...]:
        """Return what is complete now.

        Args:
            now_ns: Time (nanoseconds since the Unix epoch).
            behind: Analysis does not keep up. Of each workflow no more executions are compared then than can be at
                once, evenly chosen, so that detectors take a share of the time that does not grow with what comes.
                ``not_compared`` counts the others, which have no findings.
        """
        try:
            return self._finish(self._assembler.due(now_ns=now_ns), compare_all=not behind)
        except Exception as error:  # noqa: BLE001 - as above
            self._lost("assembly_failed", 1, error)
            return ()

    def forget(self, trace_ids: Iterable[str]) -> None:
        """Take in no more of executions of which the store has more than is here."""
        self._assembler.forget(trace_ids)

    def flush(self) -> tuple[Finished, ...]:
        """Return everything that is open, as it is."""
        return self._finish(self._assembler.flush())

    def flush_ended(self, cause: str, *, now_ns: int) -> tuple[Finished, ...]:
        """Return everything that is open, after the end of what sends: what it announced has lasted until then.

        Args:
            cause: What ended it, such as ``killed by signal 15``.
            now_ns: When it ended (nanoseconds since the Unix epoch).
        """
        announced = [replace(each, end_ns=max(now_ns, each.start_ns)) for each in self._live.open()]
        try:
            self._assembler.add(announced, now_ns=now_ns)
        except Exception as error:  # noqa: BLE001 - as above
            self._lost("assembly_failed", len(announced), error)
        cut = {each.span_id for each in announced}
        return self._finish([cut_short(each, cut, cause) for each in self._assembler.flush()])

    def open(self) -> tuple[OpenTrace, ...]:
        """Return the traces that are not complete."""
        return self._assembler.open()

    def live(self, *, limit: int, now_ns: int) -> tuple[tuple[LiveExecution, ...], LiveCounts]:
        """Return what runs, or is not complete, that which was heard of last first, and how much that is."""
        open_traces = self._assembler.open()
        counts = self._live.counts(open_traces, now_ns=now_ns)
        return self._live.executions(open_traces, limit=limit, now_ns=now_ns), counts

    def running(self, open_traces: Sequence[OpenTrace] | None = None) -> tuple[Running, ...]:
        """Return what runs, as far as alerts need it; without open traces of earlier as it is now, which costs more."""
        return running(self._live.starts(), self._assembler.open() if open_traces is None else open_traces)

    def live_counts(self, open_traces: Sequence[OpenTrace], *, now_ns: int) -> LiveCounts:
        """Count what runs and what has stalled."""
        return self._live.counts(open_traces, now_ns=now_ns)

    def done_up_to(self, position: int, open_traces: Iterable[OpenTrace]) -> int:
        """Return the offset before the first record of an open trace, or the position when there is none.

        Call it after :meth:`due`, whose executions must be stored together with it.
        """
        still_open = {trace.trace_id for trace in open_traces}
        for trace_id in [trace_id for trace_id in self._offsets if trace_id not in still_open]:
            del self._offsets[trace_id]
        return min((offsets.first - 1 for offsets in self._offsets.values()), default=position)

    def find(self, trace_id: str) -> tuple[Execution, tuple[Finding, ...]] | None:
        """Return the recent execution of a trace and its findings; None when it is not held any more."""
        execution = self._windows.find(trace_id)
        if execution is None:
            return None
        findings = self._detect(self._windows.of(execution.workflow))
        return execution, tuple(finding for finding in findings if execution.trace_id in finding.trace_ids)

    def summary(self) -> tuple[tuple[Execution, ...], tuple[Finding, ...]]:
        """Return all executions kept, in the order of their start, and what detectors find over them."""
        executions = sorted((self._kept or {}).values(), key=lambda execution: execution.start_ns)
        return tuple(executions), self._detect(compared(executions))

    def _announce(self, record: Record, now_ns: int) -> None:
        """Take in what a request says about spans that are open."""
        try:
            batch = logs.decode_open_spans(record.data, now_ns=now_ns)
        except DecodeError:
            self._counted["undecodable"] += record.items
            return
        self._counted.update(batch.rejected)
        operations = (operation for span in batch.spans if (operation := self._normalized(span)) is not None)
        self._live.heard(operations, now_ns=now_ns)
        self._assembler.keep_alive({span.trace_id for span in batch.spans}, now_ns=now_ns)

    def _operations(self, record: Record) -> list[Operation]:
        try:
            batch = protobuf.decode_traces(record.data)
        except DecodeError:
            self._counted["undecodable"] += record.items
            return []
        self._counted.update(batch.rejected)
        operations = []
        for span in batch.spans:
            if record.offset <= self._analysed.get(span.trace_id, 0):
                continue
            operation = self._normalized(span)
            if operation is not None:
                operations.append(operation)
        return operations

    def _normalized(self, span: Span) -> Operation | None:
        if max(span.start_ns, span.end_ns) > MAX_UNIX_NS:
            self._counted["invalid_time"] += 1
            return None
        try:
            operation = normalize(self._limits.cut_span(span, self._counted))
            return None if operation is None else self._limits.cut_names(operation, self._counted)
        except Exception as error:  # noqa: BLE001 - as above
            self._lost("convention_failed", 1, error)
            return None

    def _finish(self, executions: Sequence[Execution], *, compare_all: bool = True) -> tuple[Finished, ...]:
        findings: dict[str, list[Finding]] = defaultdict(list)
        by_workflow: dict[str, list[Execution]] = defaultdict(list)
        for execution in executions:
            by_workflow[execution.workflow].append(execution)
        compared: set[str] = set()
        for new in by_workflow.values():
            parts = [*_parts(new)]
            if len(parts) > 1 and not compare_all:
                # Every nth, so that each part of the time since the last look has its share.
                parts = [*_parts(new[:: len(parts)])][:1]
                self._counted["not_compared"] += len(new) - len(parts[0])
            for part in parts:
                self._compare(part, findings)
                compared.update(execution.trace_id for execution in part)
        finished = []
        for execution in executions:
            self._live.finished(execution.trace_ids)
            offsets = [found for each in execution.trace_ids if (found := self._offsets.pop(each, None)) is not None]
            finished.append(
                Finished(
                    execution=execution,
                    findings=tuple(findings[execution.trace_id]),
                    last_offset=max((each.last for each in offsets), default=0),
                    compared=execution.trace_id in compared,
                )
            )
            if self._kept is not None:
                for trace_id in execution.trace_ids:  # parts of it may have been handed out apart
                    self._kept.pop(trace_id, None)
                self._kept[execution.trace_id] = execution
        return tuple(finished)

    def _compare(self, new: Sequence[Execution], findings: dict[str, list[Finding]]) -> None:
        """Compare new executions of one workflow with those before, and note the findings that concern them.

        All that became complete at once is compared at once, so that analysis gets cheaper when it falls behind.
        """
        trace_ids = {execution.trace_id for execution in new}
        before = [each for each in self._windows.of(new[0].workflow) if each.trace_id not in trace_ids]
        room = _MAX_COMPARED_OPERATIONS - sum(len(each.operations) for each in new)
        known: list[Execution] = []
        for each in reversed(before[max(0, len(before) + len(new) - self._window) :]):
            room -= len(each.operations)
            if room < 0:
                break
            known.append(each)
        for finding in self._detect([*reversed(known), *new]):
            for trace_id in trace_ids.intersection(finding.trace_ids):
                findings[trace_id].append(finding)
        for execution in new:
            self._windows.add(execution)

    def _detect(self, executions: Sequence[Execution]) -> tuple[Finding, ...]:
        try:
            return detect(executions)
        except Exception as error:  # noqa: BLE001 - as above
            self._lost("detector_failed", len(executions), error)
            return ()

    def _lost(self, reason: str, items: int, error: Exception) -> None:
        """Count a fault of ours, and log the first of its kind."""
        if not self._counted[reason]:
            _LOGGER.error("analysis: %s; further ones are only counted", reason, exc_info=error)
        self._counted[reason] += items


def _parts(executions: Sequence[Execution]) -> Iterator[Sequence[Execution]]:
    """Divide executions into as many as are compared at once."""
    part: list[Execution] = []
    operations = 0
    for execution in executions:
        operations += len(execution.operations)
        if part and (len(part) == _MAX_COMPARED or operations > _MAX_COMPARED_OPERATIONS):
            yield part
            part, operations = [], len(execution.operations)
        part.append(execution)
    if part:
        yield part
