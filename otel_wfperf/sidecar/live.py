"""What runs now: the open spans that processes have announced, beside the traces that are being gathered.

Announced spans are for looking at only. They become operations of an execution when nothing is to come any more.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.alerts import Running
from otel_wfperf.assembly import OpenTrace
from otel_wfperf.model import Operation, OperationKind
from otel_wfperf.sidecar.stalls import StallRule, Usual

# Chosen: some 20 MB at most, as names are cut; what one process has open at most.
_MAX_SPANS: Final = 10_000
# Chosen: enough of a name to know it again.
_MAX_NAME_CHARS: Final = 200
# Chosen: agents are not nested any deeper; a chain of thousands would be walked for each of its spans.
_MAX_ABOVE: Final = 100
# Chosen: some 3 MB. A start event may come after the end of its span, by the time that an exporter retries.
_MAX_ENDED: Final = 20_000
# Chosen: a person who looks ten minutes later still sees that a process died; as long as an idle trace is kept.
_FORGET_NS: Final = 600_000_000_000
# Chosen: looking for room costs a pass over all spans.
_MAKE_ROOM_NS: Final = 1_000_000_000
# Chosen: more in one execution than a person reads.
MAX_SHOWN: Final = 50
_NOTHING_BELOW_GOES_ON: Final = "all that is open in it has stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSpan:
    """One open span.

    Attributes:
        operation: What is known of it; None when only its children came.
        agent: The agent that it belongs to; None = none, or not known.
        phase: The phase that it belongs to; the same.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch).
        stalled: Why it counts as stalled; None = it does not.
    """

    span_id: str
    parent_id: str | None = None
    operation: Operation | None = None
    agent: str | None = None
    phase: str | None = None
    start_ns: int
    stalled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveExecution:
    """One execution that is not complete.

    Attributes:
        workflow: Name of the workflow; None = not known yet.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch).
        first_seen_ns: When the first word of it came (nanoseconds, by the sidecar's clock).
        last_seen_ns: When the last word of it came (nanoseconds, by the sidecar's clock).
        spans: Spans received, ended ones mostly (count).
        root_ended: True when the root has ended and only the quiet period is awaited.
        running: Its open spans, earliest first; not more than :data:`MAX_SHOWN`.
        stalled: Why it counts as stalled: which span has, and why; None = none has.
    """

    trace_id: str
    workflow: str | None
    start_ns: int
    first_seen_ns: int
    last_seen_ns: int
    spans: int
    root_ended: bool
    running: tuple[LiveSpan, ...]
    stalled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCounts:
    """How many executions run, and how many of those have stalled (count)."""

    running: int = 0
    stalled: int = 0


@dataclass(slots=True, eq=False)
class _Announced:
    """One open span that its process told of.

    Attributes:
        heard_ns: When it was last told (nanoseconds, by the sidecar's clock).
        changed_ns: When something below it last began or ended (the same); 0 = never.
    """

    operation: Operation
    heard_ns: int
    changed_ns: int = 0


@dataclass(slots=True, eq=False)
class _Trace:
    """The announced spans of one trace, by id."""

    first_heard_ns: int
    spans: dict[str, _Announced] = field(default_factory=dict)

    def above(self, operation: Operation) -> Iterator[_Announced]:
        """Yield the open spans that an operation is in, nearest first; so many only, should they name each other."""
        parent_id = operation.parent_id
        for _ in range(_MAX_ABOVE):
            found = self.spans.get(parent_id or "")
            if found is None or found.operation.span_id == operation.span_id:
                return
            yield found
            parent_id = found.operation.parent_id

    def change(self, operation: Operation, now_ns: int) -> None:
        for each in self.above(operation):
            each.changed_ns = now_ns


def _nothing_is_usual(_workflow: str, _kind: OperationKind, _name: str) -> None:
    """Know of no operation how long it takes."""


class LiveView:
    """Keeps the announced spans, and says what runs.

    There is no clock inside: the caller says what time it is.

    Attributes:
        dropped: Start events that were not taken in for want of room (count), by reason.
    """

    def __init__(self, usual: Usual = _nothing_is_usual, *, rule: StallRule | None = None) -> None:
        """Know of nothing that runs.

        Args:
            usual: How long operations take.
            rule: When one has stalled; None = the usual rule.
        """
        self._usual = usual
        self._rule = rule or StallRule()
        self._traces: dict[str, _Trace] = {}
        self._spans = 0
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._room_made_ns = 0
        self._dropped: Counter[str] = Counter()

    @property
    def dropped(self) -> Mapping[str, int]:
        """What was not taken in, by reason (count)."""
        return self._dropped

    def heard(self, operations: Iterable[Operation], *, now_ns: int) -> None:
        """Take in operations that are open, for the first time or again."""
        for operation in operations:
            if operation.span_id in self._ended:
                continue
            trace = self._traces.get(operation.trace_id)
            if trace is not None and operation.span_id in trace.spans:
                trace.spans[operation.span_id].heard_ns = now_ns
            elif self._has_room(now_ns):
                trace = self._traces.setdefault(operation.trace_id, _Trace(now_ns))
                trace.spans[operation.span_id] = _Announced(_noted(operation), now_ns)
                trace.change(operation, now_ns)
                self._spans += 1
            else:
                self._dropped["live_view_full"] += 1

    def ended(self, operations: Iterable[Operation], *, now_ns: int) -> None:
        """Take out operations that have ended."""
        for operation in operations:
            if not operation.ended:
                continue
            self._ended[operation.span_id] = None
            trace = self._traces.get(operation.trace_id)
            if trace is None:
                continue
            trace.change(operation, now_ns)
            if trace.spans.pop(operation.span_id, None) is not None:
                self._spans -= 1
                if not trace.spans:
                    del self._traces[operation.trace_id]
        while len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    def finished(self, trace_ids: Iterable[str]) -> None:
        """Take out traces that are complete; what runs on in them is announced again."""
        for trace_id in trace_ids:
            trace = self._traces.pop(trace_id, None)
            self._spans -= len(trace.spans) if trace is not None else 0

    def starts(self) -> Iterator[Running]:
        """Yield what was announced and has not ended, as far as alerts need it."""
        for trace_id, trace in self._traces.items():
            start_ns = min(each.operation.start_ns for each in trace.spans.values())
            yield Running(trace_id=trace_id, workflow=_known_workflow(trace), start_ns=start_ns)

    def open(self) -> tuple[Operation, ...]:
        """Return what was announced and has not ended."""
        return tuple(each.operation for trace in self._traces.values() for each in trace.spans.values())

    def executions(self, gathered: Sequence[OpenTrace], *, limit: int, now_ns: int) -> tuple[LiveExecution, ...]:
        """List what is not complete, that which was heard of last first.

        Args:
            gathered: The traces that are not complete.
            limit: Most executions (count).
            now_ns: The present (nanoseconds since the Unix epoch).
        """
        self._forget(now_ns, _FORGET_NS)
        by_id = {trace.trace_id: trace for trace in gathered}
        seen_ns = {trace.trace_id: trace.last_seen_ns for trace in gathered}
        for trace_id, trace in self._traces.items():
            heard_ns = max(each.heard_ns for each in trace.spans.values())
            seen_ns[trace_id] = max(heard_ns, seen_ns.get(trace_id, 0))
        newest = sorted(seen_ns, key=lambda trace_id: seen_ns[trace_id], reverse=True)[:limit]
        return tuple(self._execution(trace_id, by_id.get(trace_id), now_ns) for trace_id in newest)

    def counts(self, gathered: Sequence[OpenTrace], *, now_ns: int) -> LiveCounts:
        """Count what runs.

        Args:
            gathered: The traces that are not complete.
            now_ns: The present (nanoseconds since the Unix epoch).
        """
        self._forget(now_ns, _FORGET_NS)
        running = {trace.trace_id for trace in gathered if not trace.root_ended}.union(self._traces)
        stalled = sum(bool(self._stalled(trace, now_ns)) for trace in self._traces.values())
        return LiveCounts(running=len(running), stalled=stalled)

    def _has_room(self, now_ns: int) -> bool:
        """Tell whether there is room for one more span; what is lost makes room for what runs."""
        if self._spans >= _MAX_SPANS and now_ns - self._room_made_ns >= _MAKE_ROOM_NS:
            self._room_made_ns = now_ns
            self._forget(now_ns, self._rule.silent_ns)
        return self._spans < _MAX_SPANS

    def _forget(self, now_ns: int, silent_ns: int) -> None:
        """Give up spans whose process has been silent for so long (nanoseconds)."""
        for trace_id, trace in list(self._traces.items()):
            silent = [span_id for span_id, each in trace.spans.items() if now_ns - each.heard_ns >= silent_ns]
            for span_id in silent:
                del trace.spans[span_id]
            self._spans -= len(silent)
            if not trace.spans:
                del self._traces[trace_id]

    def _execution(self, trace_id: str, gathered: OpenTrace | None, now_ns: int) -> LiveExecution:
        trace = self._traces.get(trace_id) or _Trace(now_ns)
        stalled = self._stalled(trace, now_ns)
        announced = sorted((each.operation for each in trace.spans.values()), key=lambda each: each.start_ns)
        running = [_live_span(trace, each, stalled.get(each.span_id)) for each in announced[:MAX_SHOWN]]
        if gathered is not None:
            running += [
                LiveSpan(
                    span_id=each.span_id, operation=each.operation and _noted(each.operation), start_ns=each.start_ns
                )
                for each in gathered.running
                if each.span_id not in trace.spans
            ]
        running.sort(key=lambda each: each.start_ns)
        heard = [each.heard_ns for each in trace.spans.values()]
        seen = [] if gathered is None else [gathered.first_seen_ns, gathered.last_seen_ns]
        return LiveExecution(
            trace_id=trace_id,
            workflow=_name(trace, gathered),
            start_ns=_start_ns(running, gathered, now_ns),
            first_seen_ns=min([trace.first_heard_ns, *seen]),
            last_seen_ns=max([*heard, *seen], default=now_ns),
            spans=0 if gathered is None else gathered.operations,
            root_ended=gathered is not None and gathered.root_ended,
            running=tuple(running[:MAX_SHOWN]),
            stalled=_cause(announced, stalled),
        )

    def _stalled(self, trace: _Trace, now_ns: int) -> dict[str, str]:
        """Say which spans have stalled, by id, and why."""
        if not any(self._rule.is_worth_a_look(now_ns - each.operation.start_ns) for each in trace.spans.values()):
            return {}
        workflow = _workflow_name(trace) or ""
        below: dict[str, list[str]] = {}
        for span_id, each in trace.spans.items():
            if each.operation.parent_id in trace.spans:
                below.setdefault(each.operation.parent_id, []).append(span_id)
        found: dict[str, str] = {}
        for span_id in _children_first(trace.spans, below):
            reason = self._reason(trace.spans[span_id], workflow, now_ns, is_leaf=span_id not in below)
            if reason is None and span_id in below and all(child in found for child in below[span_id]):
                reason = _NOTHING_BELOW_GOES_ON
            if reason is not None:
                found[span_id] = reason
        return found

    def _reason(self, span: _Announced, workflow: str, now_ns: int, *, is_leaf: bool) -> str | None:
        operation = span.operation
        still_ns = now_ns - max(operation.start_ns, span.changed_ns)
        return self._rule.silence(now_ns - span.heard_ns) or self._rule.reason(
            operation,
            self._usual,
            workflow=workflow,
            age_ns=now_ns - operation.start_ns,
            still_ns=still_ns if is_leaf else None,
        )


def _name(trace: _Trace, gathered: OpenTrace | None) -> str | None:
    """Name the workflow: once its root has ended, what is still open may be called something else."""
    gathered_name = None if gathered is None else _cut(gathered.workflow)
    if gathered is not None and gathered.root_ended:
        return gathered_name or _workflow_name(trace)
    return _workflow_name(trace) or gathered_name


def _start_ns(running: Iterable[LiveSpan], gathered: OpenTrace | None, now_ns: int) -> int:
    starts_ns = [each.start_ns for each in running]
    if gathered is not None:
        starts_ns.append(gathered.start_ns or gathered.first_seen_ns)
    return min(starts_ns, default=now_ns)


def _workflow_name(trace: _Trace) -> str | None:
    """Name the workflow: the outermost one, else what the spans say they belong to, else the outermost span."""
    operations = [each.operation for each in trace.spans.values()]
    operations.sort(key=lambda each: each.start_ns)
    named = [each.name for each in operations if each.kind is OperationKind.WORKFLOW]
    named += [each.workflow for each in operations if each.workflow]
    named += [each.name or each.span_name for each in operations if each.parent_id not in trace.spans]
    return named[0] if named else None


def _known_workflow(trace: _Trace) -> str | None:
    """Name the workflow; None while nothing but a part of it was heard of, as after a restart in its middle."""
    is_heard = any(
        each.operation.kind is OperationKind.WORKFLOW or each.operation.workflow or each.operation.parent_id is None
        for each in trace.spans.values()
    )
    return _workflow_name(trace) if is_heard else None


def _noted(operation: Operation) -> Operation:
    """Keep of an operation what is shown, with long names cut: anybody may send them."""
    return Operation(
        trace_id=operation.trace_id,
        span_id=operation.span_id,
        parent_id=_cut(operation.parent_id),
        kind=operation.kind,
        name=operation.name[:_MAX_NAME_CHARS],
        span_name=operation.span_name[:_MAX_NAME_CHARS],
        start_ns=operation.start_ns,
        end_ns=0,
        ended=False,
        agent=_cut(operation.agent),
        workflow=_cut(operation.workflow),
        wait_kind=_cut(operation.wait_kind),
    )


def _cut(name: str | None) -> str | None:
    return name and name[:_MAX_NAME_CHARS]


def _cause(announced: Iterable[Operation], stalled: Mapping[str, str]) -> str | None:
    """Name the first span that has stalled by itself, and why; None = none has."""
    for each in announced:
        if stalled.get(each.span_id) not in {None, _NOTHING_BELOW_GOES_ON}:
            return f"{each.kind.value} {each.name}: {stalled[each.span_id]}"
    return None


def _live_span(trace: _Trace, operation: Operation, stalled: str | None) -> LiveSpan:
    around = [each.operation for each in trace.above(operation)]
    agent = operation.name if operation.kind is OperationKind.AGENT else operation.agent
    agents = (each.name if each.kind is OperationKind.AGENT else each.agent for each in around)
    phases = (each.name for each in around if each.kind is OperationKind.PHASE)
    return LiveSpan(
        span_id=operation.span_id,
        parent_id=operation.parent_id,
        operation=operation,
        agent=agent or next(filter(None, agents), None),
        phase=next(phases, None),
        start_ns=operation.start_ns,
        stalled=stalled,
    )


def _children_first(spans: Mapping[str, _Announced], below: Mapping[str, Sequence[str]]) -> list[str]:
    """Order spans so that each comes after those below it; those of a cycle are left out."""
    ordered = [span_id for span_id, each in spans.items() if each.operation.parent_id not in spans]
    for span_id in ordered:
        ordered.extend(below.get(span_id, ()))
    return ordered[::-1]
