"""Streaming assembly: when is a trace complete, and what if spans come late."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from otel_wfperf.assembly.adjusters.duplicates import preferred
from otel_wfperf.assembly.adjusters.parents import is_root
from otel_wfperf.assembly.assemble import assemble_trace
from otel_wfperf.model import Execution, Operation

_SECOND_NS: Final = 1_000_000_000
# Chosen: 32 digits and a number each, so about 10 MB.
_MAX_FORGOTTEN: Final = 100_000
# Chosen: more running at once than a person reads.
_MAX_RUNNING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblySettings:
    """When the assembler lets go of a trace.

    Attributes:
        quiet_ns: A trace whose root ended, with no span known to be missing, is complete when nothing has come for
            this long (nanoseconds). Chosen: 2 s; one process exports a run's last spans with its root, so this only
            has to outlast a slow export.
        missing_quiet_ns: The same while parents are missing or the root's parent lives elsewhere (nanoseconds). Source:
            the batch span processors of other processes export every 5 s (OpenTelemetry SDK specification,
            scheduledDelayMillis); twice that.
        idle_timeout_ns: A trace without a root is given up when nothing has come for this long (nanoseconds). Chosen:
            10 min; a single model call or tool takes less, and until it ends its trace is silent.
        max_age_ns: A trace is given up at this age (nanoseconds). Chosen: 6 h; longer than a working session.
        late_window_ns: How long an emitted trace is kept to take in late spans (nanoseconds). Chosen: 60 s; longer than
            exporters retry at their default timeouts.
        max_open_spans: Spans kept over all traces, those of the late window included. Chosen: 100,000, which is
            about 100 MB without captured content.
        max_trace_spans: Spans kept of one trace. Chosen: 50,000; a trace beyond is an endless loop or a shared id.
    """

    quiet_ns: int = 2 * _SECOND_NS
    missing_quiet_ns: int = 10 * _SECOND_NS
    idle_timeout_ns: int = 600 * _SECOND_NS
    max_age_ns: int = 6 * 3600 * _SECOND_NS
    late_window_ns: int = 60 * _SECOND_NS
    max_open_spans: int = 100_000
    max_trace_spans: int = 50_000

    def __post_init__(self) -> None:
        """Refuse values below zero, and room for no span at all."""
        problems = [f"{each.name} is negative" for each in fields(self) if getattr(self, each.name) < 0]
        if self.max_trace_spans < 1 or self.max_open_spans < self.max_trace_spans:
            problems.append("1 <= max_trace_spans <= max_open_spans does not hold")
        if problems:
            raise ValueError("assembly settings: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOperation:
    """An operation that runs: it came without an end, or is known from its children only.

    Attributes:
        operation: What is known of it; None when only its children came.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch).
    """

    span_id: str
    operation: Operation | None
    start_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTrace:
    """A trace that is not complete yet, for the live view.

    Attributes:
        first_seen_ns: When its first span came (nanoseconds, by the caller's clock).
        last_seen_ns: When its last span came (nanoseconds, by the caller's clock).
        operations: Spans received (count).
        root_ended: True when the root has ended and only the quiet period is awaited.
        running: Operations that have not ended, earliest first; not more than 50.
    """

    trace_id: str
    first_seen_ns: int
    last_seen_ns: int
    operations: int
    root_ended: bool
    running: tuple[OpenOperation, ...] = ()


@dataclass(slots=True, eq=False)
class _Gathering:
    """The spans of one trace so far."""

    trace_id: str
    first_seen_ns: int
    last_seen_ns: int = 0
    version: int = 1
    operations: dict[str, Operation] = field(default_factory=dict)
    ends: _Ends | None = None

    def take(self, operation: Operation) -> bool:
        """Keep an operation; False when it tells nothing new."""
        known = self.operations.get(operation.span_id)
        if known is not None and preferred(known, operation) == known:
            return False
        self.operations[operation.span_id] = operation
        self.ends = None
        return True

    def state(self) -> _Ends:
        """Look for the root; remembered until the next span comes."""
        if self.ends is None:
            self.ends = _Ends.of(self.operations)
        return self.ends


@dataclass(frozen=True, slots=True)
class _Ends:
    """What is known about the end of a trace."""

    root_ended: bool
    something_missing: bool
    running: tuple[OpenOperation, ...]

    @classmethod
    def of(cls, operations: Mapping[str, Operation]) -> _Ends:
        root_ended, something_missing = False, False
        began: dict[str, int] = {}
        for operation in operations.values():
            if not operation.ended:
                began[operation.span_id] = operation.start_ns
            parent_id = operation.parent_id
            if parent_id in operations:
                continue
            root_ended |= operation.ended and is_root(operation)
            something_missing |= parent_id is not None
            if parent_id is not None and not is_root(operation):
                began[parent_id] = min(operation.start_ns, began.get(parent_id, operation.start_ns))
        earliest = sorted(began.items(), key=lambda each: each[1])[:_MAX_RUNNING]
        running = (
            OpenOperation(span_id=span_id, operation=operations.get(span_id), start_ns=start_ns)
            for span_id, start_ns in earliest
        )
        return cls(root_ended, something_missing, tuple(running))


class Assembler:
    """Gathers operations into traces and hands each out once it is complete.

    A trace is complete when its root (a span without a parent, or whose parent is remote and never seen) has ended
    and nothing has come for a while; never because the root ended alone, as children are exported later. Spans that
    come after that re-open the trace for ``late_window_ns``, and it is handed out again as the next version. Later
    ones are dropped, because half a run is no run.

    There is no clock inside: the caller says what time it is. Call ``due`` after each ``add``: what had to make room
    is kept until then.

    Attributes:
        dropped: Counts by reason: ``trace_too_large`` and ``too_late`` in spans; ``evicted`` (handed out early for want
            of memory), ``overdue`` (handed out without an ended root) and ``assembly_failed`` (a fault of ours; not
            handed out) in traces.
    """

    def __init__(self, settings: AssemblySettings = AssemblySettings()) -> None:
        """Start with nothing gathered."""
        self._settings = settings
        self._open: OrderedDict[str, _Gathering] = OrderedDict()  # longest idle first
        self._emitted: OrderedDict[str, _Gathering] = OrderedDict()  # oldest first; last_seen_ns = when
        self._evicted: list[_Gathering] = []
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._spans = 0
        self._dropped: Counter[str] = Counter()

    @property
    def dropped(self) -> Mapping[str, int]:
        """Counts by reason."""
        return self._dropped

    def add(self, operations: Iterable[Operation], *, now_ns: int) -> None:
        """Take in operations, in any order."""
        for operation in operations:
            trace = self._trace_of(operation, now_ns)
            if trace is not None:
                self._take(trace, operation, now_ns)
        self._make_room()

    def due(self, *, now_ns: int) -> list[Execution]:
        """Hand out the traces that are complete, given up, or had to make room."""
        self._forget_late(now_ns)
        ready = self._evicted
        self._evicted = []
        finished = [trace for trace in self._open.values() if self._is_due(trace, now_ns)]
        for trace in finished:
            del self._open[trace.trace_id]
            if not trace.state().root_ended:
                self._dropped["overdue"] += 1
        executions = self._executions([*ready, *finished])
        for trace in finished:
            trace.version += 1
            trace.last_seen_ns = now_ns
            self._emitted[trace.trace_id] = trace
        return executions

    def flush(self) -> list[Execution]:
        """Hand out everything that is open, now."""
        traces = [*self._evicted, *self._open.values()]
        for trace in self._open.values():
            self._forget(trace)
        self._evicted = []
        self._open.clear()
        return self._executions(traces)

    def open(self) -> tuple[OpenTrace, ...]:
        """List the traces that are not complete, longest idle first."""
        return tuple(
            OpenTrace(
                trace_id=trace.trace_id,
                first_seen_ns=trace.first_seen_ns,
                last_seen_ns=trace.last_seen_ns,
                operations=len(trace.operations),
                root_ended=trace.state().root_ended,
                running=trace.state().running,
            )
            for trace in self._open.values()
        )

    def _executions(self, traces: Iterable[_Gathering]) -> list[Execution]:
        """Assemble traces; a fault of ours in one of them must not lose the others."""
        executions = []
        for trace in traces:
            try:
                executions.append(assemble_trace(trace.trace_id, trace.operations.values(), version=trace.version))
            except Exception:  # noqa: BLE001 - whatever it is, it is counted
                self._dropped["assembly_failed"] += 1
        return executions

    def _trace_of(self, operation: Operation, now_ns: int) -> _Gathering | None:
        """Find the trace of an operation or begin it; None when it is too late."""
        trace_id = operation.trace_id
        trace = self._open.get(trace_id) or self._emitted.get(trace_id)
        if trace is None:
            if trace_id in self._forgotten:
                self._dropped["too_late"] += 1
                return None
            trace = self._open[trace_id] = _Gathering(trace_id, first_seen_ns=now_ns)
        return trace

    def _take(self, trace: _Gathering, operation: Operation, now_ns: int) -> None:
        is_new = operation.span_id not in trace.operations
        if is_new and len(trace.operations) >= self._settings.max_trace_spans:
            self._dropped["trace_too_large"] += 1
        elif trace.take(operation):
            self._spans += is_new
            if self._emitted.pop(trace.trace_id, None) is not None:
                trace.first_seen_ns = now_ns
                self._open[trace.trace_id] = trace
        if trace.trace_id in self._open:
            trace.last_seen_ns = now_ns
            self._open.move_to_end(trace.trace_id)

    def _is_due(self, trace: _Gathering, now_ns: int) -> bool:
        settings = self._settings
        idle_ns = now_ns - trace.last_seen_ns
        if idle_ns >= settings.idle_timeout_ns or now_ns - trace.first_seen_ns >= settings.max_age_ns:
            return True
        if idle_ns < settings.quiet_ns:
            return False
        state = trace.state()
        quiet_ns = settings.missing_quiet_ns if state.something_missing else settings.quiet_ns
        return state.root_ended and idle_ns >= quiet_ns

    def _make_room(self) -> None:
        """Let go of emitted traces, then hand out the longest idle, until the spans fit."""
        while self._spans > self._settings.max_open_spans:
            if self._emitted:
                self._forget(self._emitted.popitem(last=False)[1])
            else:
                trace = self._open.popitem(last=False)[1]
                self._forget(trace)
                self._dropped["evicted"] += 1
                self._evicted.append(trace)

    def _forget_late(self, now_ns: int) -> None:
        while self._emitted:
            trace = next(iter(self._emitted.values()))
            if now_ns - trace.last_seen_ns < self._settings.late_window_ns:
                return
            self._forget(self._emitted.pop(trace.trace_id))

    def _forget(self, trace: _Gathering) -> None:
        """Stop counting a trace's spans, and remember only that it was handed out."""
        self._spans -= len(trace.operations)
        self._forgotten[trace.trace_id] = None
        while len(self._forgotten) > _MAX_FORGOTTEN:
            self._forgotten.popitem(last=False)
