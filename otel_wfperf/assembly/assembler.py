"""Streaming assembly: when is a trace complete, and what if spans come late."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from otel_wfperf.assembly.assemble import assemble_trace
from otel_wfperf.assembly.gathering import Gathering, OpenOperation, Ties, messages_underway
from otel_wfperf.assembly.stitching import Piece, Standing, are_apart, stitch
from otel_wfperf.model import Execution, Operation

_SECOND_NS: Final = 1_000_000_000
# Chosen: 32 digits and a number each, so about 10 MB.
_MAX_FORGOTTEN: Final = 100_000
# Chosen: so much is let go at once when there is no room, as finding out what goes together takes time.
_ROOM_RATIO: Final = 0.05
# Chosen: late spans are rare, and at 10,000 spans a second this still waits two seconds for them.
_LATE_RATIO: Final = 0.5
_SOMETHING_RUNS: Final = tuple(each for each in Standing if each is not Standing.SETUP)


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
        idle_timeout_ns: A trace without a root is given up when nothing has come for this long, and nobody has said
            that something in it is open (nanoseconds). Chosen: 10 min; a single model call or tool takes less, and
            until it ends its trace is silent.
        max_age_ns: A trace is given up at this age (nanoseconds). Chosen: 6 h; longer than a working session.
        late_window_ns: How long an emitted trace is kept to take in late spans (nanoseconds). Chosen: 60 s; longer than
            exporters retry at their default timeouts.
        max_open_spans: Spans kept over all traces, those of the late window included, which lasts only as long as half
            of this is enough. Chosen: 100,000, which is about 100 MB without captured content.
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
class OpenTrace:
    """A trace that is not complete yet, for the live view.

    Attributes:
        first_seen_ns: When its first span came (nanoseconds, by the caller's clock).
        last_seen_ns: When its last span came (nanoseconds, by the caller's clock).
        operations: Spans received (count).
        root_ended: True when the root has ended and only the quiet period is awaited.
        running: Operations that have not ended, earliest first; not more than 50.
        workflow: Name of the outermost workflow, else what its operations say that they belong to; None = not known.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch); 0 = not known.
    """

    trace_id: str
    first_seen_ns: int
    last_seen_ns: int
    operations: int
    root_ended: bool
    running: tuple[OpenOperation, ...] = ()
    workflow: str | None = None
    start_ns: int = 0


class Assembler:
    """Gathers operations into runs and hands each out once it is complete.

    A trace is complete when its root (a span without a parent, or whose parent is remote and never seen) has ended
    and nothing has come for a while; never because the root ended alone, as children are exported later. Traces that
    are fragments of one run (see ``stitching``) are handed out together, once all of them are complete and no message
    between them is underway. Spans, and fragments, that come after that re-open the run for ``late_window_ns``, and it
    is handed out again as the next version. Later ones are dropped, because half a run is no run.

    There is no clock inside: the caller says what time it is. Call ``due`` after each ``add``: what had to make room
    is kept until then.

    Attributes:
        dropped: Counts by reason: ``trace_too_large`` and ``too_late`` in spans; ``evicted`` (handed out early for want
            of memory), ``overdue`` (handed out without an ended root), ``setup_only`` (no run) and ``assembly_failed``
            (a fault of ours; not handed out) in runs.
    """

    def __init__(self, settings: AssemblySettings = AssemblySettings()) -> None:
        """Start with nothing gathered."""
        self._settings = settings
        self._open: OrderedDict[str, Gathering] = OrderedDict()  # longest idle first
        self._emitted: OrderedDict[str, Gathering] = OrderedDict()  # oldest first; last_seen_ns = when
        self._homes: dict[str, str] = {}  # the run that a trace was taken into
        self._ties = Ties()
        self._evicted: list[Gathering] = []
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

    def keep_alive(self, trace_ids: Iterable[str], *, now_ns: int) -> None:
        """Note that something in these traces is still open, so that they are not given up for being idle.

        Nothing else: a trace that is complete does not wait, and none is begun.
        """
        for trace_id in trace_ids:
            trace = self._open.get(self._homes.get(trace_id, trace_id))
            if trace is not None:
                trace.last_alive_ns = now_ns
                self._open.move_to_end(trace.trace_id)

    def forget(self, trace_ids: Iterable[str]) -> None:
        """Take in no late spans of runs that were handed out."""
        for trace_id in trace_ids:
            run = self._emitted.pop(self._homes.get(trace_id, trace_id), None)
            if run is not None:
                self._forget(run)

    def due(self, *, now_ns: int) -> list[Execution]:
        """Hand out the runs that are complete, given up, or had to make room."""
        self._forget_late(now_ns)
        ready = self._evicted
        self._evicted = []
        finished = []
        for members in self._runs([trace for trace in self._open.values() if self._may_be_due(trace, now_ns)]):
            if self._is_due(members, now_ns):
                finished += self._closed(members)
        if overdue := sum(not run.state().root_ended for run in finished):
            self._dropped["overdue"] += overdue
        executions = self._executions([*ready, *finished])
        for run in finished:
            run.version += 1
            run.last_seen_ns = now_ns
            self._emitted[run.trace_id] = run
        return executions

    def flush(self) -> list[Execution]:
        """Hand out everything that is open, now."""
        members = self._runs(list(self._open.values()), ended=True)
        runs = [run for each in members for run in self._closed(each)]
        for run in runs:
            self._forget(run)
        runs = [*self._evicted, *runs]
        self._evicted = []
        return self._executions(runs)

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
                workflow=trace.state().workflow,
                start_ns=trace.state().start_ns,
            )
            for trace in self._open.values()
        )

    def _executions(self, traces: Iterable[Gathering]) -> list[Execution]:
        """Assemble traces; a fault of ours in one of them must not lose the others."""
        executions = []
        for trace in traces:
            try:
                executions.append(assemble_trace(trace.trace_id, trace.operations.values(), version=trace.version))
            except Exception:  # noqa: BLE001 - whatever it is, it is counted
                self._dropped["assembly_failed"] += 1
        return executions

    def _runs(self, traces: Iterable[Gathering], *, ended: bool = False) -> Iterator[Sequence[Gathering]]:
        """Yield the runs that open traces belong to, each with all of its traces that are held.

        Args:
            traces: Open ones.
            ended: True when nothing more is to come; else a trace whose root has not ended may take in what comes.
        """
        seen: set[str] = set()
        for trace in traces:
            if trace.trace_id in seen:
                continue
            if not self._ties.is_tied(trace):
                yield [trace]
                continue
            for members in self._stitched(self._tied(trace), ended=ended):
                seen.update(each.trace_id for each in members)
                if len(members) > 1 and not are_apart(each.operations.values() for each in members):
                    yield from ([each] for each in members if each.trace_id in self._open)
                elif any(each.trace_id in self._open for each in members):
                    yield members

    def _stitched(self, tied: Iterable[Gathering], *, ended: bool) -> Iterator[Sequence[Gathering]]:
        """Yield what goes together; what was put together before stays so."""
        pieces: list[Piece] = []
        by_trace: dict[str, Gathering] = {}
        for each in tied:
            is_running = not ended and each.trace_id in self._open and not each.state().root_ended
            pieces += [replace(piece, end_ns=None) for piece in each.pieces()] if is_running else each.pieces()
            by_trace.update(dict.fromkeys(each.trace_ids, each))
        runs: dict[str, list[str]] = {}  # names of gatherings, by each of them
        for run in stitch(pieces):
            names = dict.fromkeys(by_trace[piece.trace_id].trace_id for piece in run)
            together = dict.fromkeys(name for each in names for name in (runs.get(each) or (each,)))
            members = list(together)
            runs.update(dict.fromkeys(members, members))
        for members in {id(each): each for each in runs.values()}.values():
            yield [by_trace[name] for name in members]

    def _tied(self, trace: Gathering) -> Collection[Gathering]:
        """Collect all that is tied to a trace, directly or through others."""
        found = {trace.trace_id: trace}
        followed: set[str] = set()
        queue = [trace]
        while queue:
            keys = [key for key in self._ties.keys(queue.pop()) if key not in followed]
            followed.update(keys)
            for trace_id in [trace_id for key in keys for trace_id in self._ties.tied_by(key)]:
                other = self._held(trace_id)
                if other is not None and other.trace_id not in found:
                    found[other.trace_id] = other
                    queue.append(other)
        return found.values()

    def _held(self, trace_id: str) -> Gathering | None:
        trace_id = self._homes.get(trace_id, trace_id)
        return self._open.get(trace_id) or self._emitted.get(trace_id)

    def _closed(self, members: Sequence[Gathering]) -> list[Gathering]:
        """Close the traces of a run and make one of them, as far as there is room in one.

        One that was handed out before takes in the others, so that it keeps its name. Of those that were handed out
        apart, because nobody could know better then, the run takes the place.
        """
        run = next((each for each in members if each.trace_id in self._emitted), members[0])
        runs = [run]
        for each in members:
            was_open = self._open.pop(each.trace_id, None) is not None
            has_room = each is run or len(run.operations) + len(each.operations) <= self._settings.max_trace_spans
            if has_room:
                self._emitted.pop(each.trace_id, None)
            elif was_open:
                runs.append(each)
            if has_room and each is not run:
                run.absorb(each)
                self._homes.update(dict.fromkeys(each.trace_ids, run.trace_id))
        for each in [each for each in runs if each.sets_up and not each.has_standing(*_SOMETHING_RUNS)]:
            self._dropped["setup_only"] += 1
            self._forget(each)
            runs.remove(each)
        return runs

    def _trace_of(self, operation: Operation, now_ns: int) -> Gathering | None:
        """Find the trace of an operation or begin it; None when it is too late."""
        trace_id = operation.trace_id
        trace = self._held(trace_id)
        if trace is None:
            if trace_id in self._forgotten:
                self._dropped["too_late"] += 1
                return None
            trace = self._open[trace_id] = Gathering(trace_id, first_seen_ns=now_ns)
        return trace

    def _take(self, trace: Gathering, operation: Operation, now_ns: int) -> None:
        is_new = operation.span_id not in trace.operations
        if is_new and len(trace.operations) >= self._settings.max_trace_spans:
            self._dropped["trace_too_large"] += 1
        elif trace.take(operation):
            self._spans += is_new
            if operation.links or operation.conversation is not None:
                self._ties.tie(trace, operation)
            if self._emitted.pop(trace.trace_id, None) is not None:
                trace.first_seen_ns = now_ns
                self._open[trace.trace_id] = trace
        if trace.trace_id in self._open:
            trace.last_seen_ns = now_ns
            self._open.move_to_end(trace.trace_id)

    def _may_be_due(self, trace: Gathering, now_ns: int) -> bool:
        is_quiet = now_ns - trace.last_seen_ns >= min(self._settings.quiet_ns, self._settings.idle_timeout_ns)
        return is_quiet or now_ns - trace.first_seen_ns >= self._settings.max_age_ns

    def _is_due(self, members: Sequence[Gathering], now_ns: int) -> bool:
        settings = self._settings
        still_open = [each for each in members if each.trace_id in self._open]
        idle_ns = now_ns - max(each.last_seen_ns for each in still_open)
        age_ns = now_ns - min(each.first_seen_ns for each in still_open)
        unheard_ns = min(idle_ns, now_ns - max(each.last_alive_ns for each in still_open))
        if unheard_ns >= settings.idle_timeout_ns or age_ns >= settings.max_age_ns:
            return True
        if idle_ns < settings.quiet_ns or not all(each.state().root_ended for each in still_open):
            return False
        missing = any(each.state().something_missing for each in still_open)
        if self._ties.is_tied(members[0]):
            has_run = any(each.has_standing(Standing.RUN) for each in members)
            if not has_run and messages_underway(members):
                return False
            # The run that calls belong to may come from another process.
            missing |= not has_run and any(each.has_standing(Standing.CALLS) for each in members)
        return idle_ns >= (settings.missing_quiet_ns if missing else settings.quiet_ns)

    def _make_room(self) -> None:
        """Let go of emitted runs, then hand out the longest idle, until the spans fit.

        What is tied to the longest idle one is looked at once for many of them: it may be all that there is.
        """
        limit = self._settings.max_open_spans
        while self._emitted and self._spans > limit * _LATE_RATIO:
            self._forget(self._emitted.popitem(last=False)[1])
        enough = limit - int(limit * _ROOM_RATIO)
        while self._spans > limit:
            idle = next(iter(self._open.values()))
            for members in sorted(self._runs([idle]), key=_last_seen_ns):
                for run in self._closed(members) if self._spans > enough else ():
                    self._forget(run)
                    self._dropped["evicted"] += 1
                    self._evicted.append(run)

    def _forget_late(self, now_ns: int) -> None:
        while self._emitted:
            trace = next(iter(self._emitted.values()))
            if now_ns - trace.last_seen_ns < self._settings.late_window_ns:
                return
            self._forget(self._emitted.pop(trace.trace_id))

    def _forget(self, run: Gathering) -> None:
        """Stop counting a run's spans, and remember only that it was handed out."""
        self._spans -= len(run.operations)
        self._ties.untie(run)
        for trace_id in run.trace_ids:
            self._homes.pop(trace_id, None)
            self._forgotten[trace_id] = None
        while len(self._forgotten) > _MAX_FORGOTTEN:
            self._forgotten.popitem(last=False)


def _last_seen_ns(members: Iterable[Gathering]) -> int:
    return max(each.last_seen_ns for each in members)
