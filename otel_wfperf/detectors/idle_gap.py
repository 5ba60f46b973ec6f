"""Detector: time in which a step waits for nothing that is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Final

from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.spells import Spell, intersection, joined, total_ns
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Move,
    Operation,
    OperationKind,
    Severity,
    Shorten,
    Subject,
)

_OWNERS: Final = (OperationKind.WORKFLOW, OperationKind.PHASE, OperationKind.AGENT, OperationKind.TOOL)
# Chosen: how frameworks and people call the steps in which somebody is asked.
_PEOPLE: Final = re.compile(
    r"human|approv|confirm|\buser|user_|feedback|interrupt|ask_|escalat|consent|(?<![a-z])input(?![a-z])", re.IGNORECASE
)
# Chosen: more spans missing than one in twenty may well have been in the gap.
_COMPLETE: Final = 0.95
# Source: RFC 9110 and 6585: what asks to try again.
_TRY_AGAIN: Final = (408, 425, 429, 500, 502, 503, 504)


class Cause(StrEnum):
    """What is known about a gap."""

    UNEXPLAINED = "unexplained"
    COMPUTING = "computing"
    BLOCKING = "blocking"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGap:
    """Report steps that, again and again, spend time in which nothing below them runs.

    Such time is unexplained: a call that nobody records, or work of the step itself. Where the step's own CPU time
    accounts for it, the finding says that it computes: for information, as no thread makes that shorter, and ``low`` at
    most where other steps of the run are under way meanwhile; no saving is predicted. Where the step held the event
    loop without computing, a blocking call did. Where no model call is recorded at all, thinking is what is not seen,
    and the finding is ``low`` at most. Looked at are steps that have something below them, on the critical path.

    Left alone are waits for people (recorded, or told by the names around the gap), pauses between turns of a
    conversation, back-off between attempts of a call that failed, pauses before and between calls of one tool with
    equal arguments (polling), runs of which spans are missing, and gaps around calls of another host that its clock's
    adjustment explains.

    Attributes:
        min_gap_ns: Least idle time of a step in one run (nanoseconds). Chosen: hand-over in a busy process stays below.
        min_gap_ratio: The same, over the length of the run (0..1). Chosen: less is not worth instrumenting.
        min_runs: Fewest runs in which the step is idle. Chosen: once is chance, twice may be.
        min_share_of_runs: Least share of the runs that have the step (0..1). Chosen: what most runs lack does not
            belong to the step.
        min_explained_ratio: Share of the gap that CPU time or blocking has to account for (0..1). Chosen: most of it.
    """

    name: ClassVar[str] = "idle_gap"
    min_gap_ns: int = 500_000_000
    min_gap_ratio: float = 0.10
    min_runs: int = 3
    min_share_of_runs: float = 0.5
    min_explained_ratio: float = 0.5

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each step that is idle."""
        if len(population.executions) < self.min_runs:
            return
        idle: dict[Subject, list[_Idle]] = {}
        for execution in population.executions:
            if execution.completeness >= _COMPLETE:
                for subject, found in self._idle_steps(population, execution).items():
                    idle.setdefault(subject, []).append(found)
        present = Counter(subject for each in population.executions for subject in _steps(each)) if idle else Counter()
        for subject, runs in idle.items():
            if len(runs) < max(self.min_runs, self.min_share_of_runs * present[subject]):
                continue
            impact = replayed(population, {each.trace_id: tuple(each.changes()) for each in runs})
            if impact is not None:
                yield self._finding(population, subject, runs, impact)

    def _idle_steps(self, population: Population, execution: Execution) -> Mapping[Subject, _Idle]:
        """Find the steps of one run that are idle for long enough, all of their invocations together."""
        floor_ns = max(self.min_gap_ns, self.min_gap_ratio * execution.duration_ns)
        long = execution.once(_long_steps, floor_ns)
        sections: dict[str, list[tuple[int, int]]] = {}
        for section in population.path(execution).sections if long else ():
            if section.span_id in long:
                sections.setdefault(section.span_id, []).append((section.start_ns, section.end_ns))
        result: dict[Subject, _Idle] = {}
        for span_id, subject in long.items():
            owner = execution.by_id[span_id]
            gaps = list(_gaps(execution, owner, sections.get(span_id, ())))
            result.setdefault(subject, _Idle(execution, [], [])).add(owner, gaps)
        return {subject: idle for subject, idle in result.items() if idle.total_ns >= floor_ns}

    def _cause(self, runs: Sequence[_Idle]) -> Cause:
        least_s = self.min_explained_ratio * sum(each.total_ns for each in runs) / 1e9
        # Computing holds the event loop too: what is known of the CPU goes first.
        if sum(each.cpu_s for each in runs) >= least_s:
            return Cause.COMPUTING
        return Cause.BLOCKING if sum(each.blocked_s for each in runs) >= least_s else Cause.UNEXPLAINED

    def _finding(self, population: Population, subject: Subject, runs: Sequence[_Idle], impact: Impact) -> Finding:
        cause = self._cause(runs)
        no_model = not any(each.execution.of_kind(OperationKind.LLM) for each in runs)
        beside_s = median([each.beside_ns for each in runs]) / 1e9
        gap_s = median([each.total_ns for each in runs]) / 1e9
        computes = cause is Cause.COMPUTING
        delays_others = computes and beside_s >= self.min_explained_ratio * gap_s
        owners = [owner for each in runs for owner in each.owners]
        longest = _most_idle(runs)
        places = {subject.name} | {place.name for each in owners if (place := place_of(each)) is not None}
        cpu_s = [each.cpu_s for each in runs]
        return Finding(
            detector=self.name,
            severity=at_most(impact.severity, _limit(cause, delays_others=delays_others, no_model=no_model)),
            confidence=Confidence.ASSUMED,
            workflow=population.workflow,
            subject=subject,
            trace_ids=impact.trace_ids,
            span_ids=examples(owners),
            summary=_summary(subject, cause, gap_s=gap_s, where=longest, runs=runs),
            evidence={
                "gap_s": round(gap_s, 4),
                "gap_share_ratio": round(median([each.total_ns / each.execution.duration_ns for each in runs]), 4),
                "cause": cause.value,
                "cpu_s": round(median(cpu_s), 4),
                "loop_blocked_s": round(median([each.blocked_s for each in runs]), 4),
                "others_under_way_s": round(beside_s, 4),
                "cpu_is_known": any(each.is_measured for each in runs),
                "model_calls_recorded": not no_model,
                "after": longest.after,
                "before": longest.before,
                "places": tuple(sorted(places)),
                "runs": len(population.executions),
                "runs_affected": impact.runs,
            },
            saving=None if computes else impact.saving,
            changes={} if computes else impact.changes,
            recommendation=_recommendation(subject, cause, longest, delays_others=delays_others),
        )


@dataclass(frozen=True, slots=True)
class _Gap:
    """A time in which a step owns the path and nothing below it runs.

    Attributes:
        after: Name of what ended before it; "" at the start of the step.
        before: Name of what starts after it; "" at the end.
        following: What starts after it, and would start earlier.
    """

    owner: Operation
    start_ns: int
    end_ns: int
    after: str
    before: str
    following: Operation | None

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class _Idle:
    """The gaps of one step in one run."""

    execution: Execution
    owners: list[Operation]
    gaps: list[_Gap]

    def add(self, owner: Operation, gaps: Iterable[_Gap]) -> None:
        found = list(gaps)
        if found:
            self.owners.append(owner)
            self.gaps.extend(found)

    @property
    def trace_id(self) -> str:
        return self.execution.trace_id

    @property
    def total_ns(self) -> int:
        return sum(gap.duration_ns for gap in self.gaps)

    @property
    def is_measured(self) -> bool:
        return any(owner.resources is not None and owner.resources.cpu_time_s is not None for owner in self.owners)

    @property
    def cpu_s(self) -> float:
        return sum((owner.resources.cpu_time_s or 0.0) for owner in self.owners if owner.resources is not None)

    @property
    def blocked_s(self) -> float:
        return sum((owner.resources.loop_blocked_s or 0.0) for owner in self.owners if owner.resources is not None)

    @property
    def beside_ns(self) -> int:
        """How much of the gaps other steps of the run were under way in (nanoseconds)."""
        return sum(_beside_ns(self.execution, gap) for gap in self.gaps)

    def changes(self) -> Iterator[Change]:
        """Yield what closes the gaps: what follows starts at once, and the step ends with its last child."""
        for gap in self.gaps:
            if gap.following is None:
                yield Shorten(frozenset({gap.owner.span_id}), gap.duration_ns)
            else:
                yield Move(gap.following.span_id, gap.start_ns - gap.owner.start_ns)


def _long_steps(execution: Execution, least_ns: float) -> Mapping[str, Subject]:
    """Return the span ids of the steps that themselves, all invocations together, hold the path for so long."""
    path = execution.once(critical_path)
    own_ns: dict[Subject, int] = {}
    owners: dict[Subject, list[Operation]] = {}
    for operation in execution.of_kind(*_OWNERS):
        exclusive_ns = path.exclusive_ns(operation.span_id)
        if exclusive_ns > 0 and operation.ended and not operation.synthetic:
            subject = subject_of(operation)
            own_ns[subject] = own_ns.get(subject, 0) + exclusive_ns
            owners.setdefault(subject, []).append(operation)
    return {each.span_id: subject for subject, found in owners.items() if own_ns[subject] >= least_ns for each in found}


def _gaps(execution: Execution, owner: Operation, sections: Sequence[tuple[int, int]]) -> Iterator[_Gap]:
    """Yield the stretches between the children of a step that lie on the path and that nothing accounts for."""
    children = execution.children(owner.span_id)
    if not children or _PEOPLE.search(owner.name):
        return
    polls = _polls(children)
    on_path = iter(sorted(sections))
    section = next(on_path, None)
    for start_ns, end_ns, earlier, later in _between(owner, children):
        while section is not None and section[1] <= start_ns:
            section = next(on_path, None)
        if section is None:
            return
        polled = later is not None and later.span_id in polls
        if section[0] < end_ns and not polled and not _is_accounted_for(execution, earlier, later):
            after, before = earlier.name if earlier else "", later.name if later else ""
            yield _Gap(owner, max(start_ns, section[0]), min(end_ns, section[1]), after, before, later)


def _between(
    owner: Operation, children: Sequence[Operation]
) -> Iterator[tuple[int, int, Operation | None, Operation | None]]:
    """Yield when no child runs, with the children before and after."""
    reached_ns, last = owner.start_ns, None
    for child in children:
        if child.start_ns > reached_ns:
            yield reached_ns, min(child.start_ns, owner.end_ns), last, child
        if child.end_ns >= reached_ns:
            reached_ns, last = child.end_ns, child
    if reached_ns < owner.end_ns:
        yield reached_ns, owner.end_ns, last, None


def _polls(children: Sequence[Operation]) -> frozenset[str]:
    """Return the calls of tools that are made again and again with equal arguments, as far as these are known."""
    calls = [child for child in children if child.kind is OperationKind.TOOL]
    found: set[str] = set()
    for earlier, later in pairwise(calls):
        if (earlier.name, earlier.input_hash) == (later.name, later.input_hash) and earlier.error is None:
            found |= {earlier.span_id, later.span_id}
    return frozenset(found)


def _beside_ns(execution: Execution, gap: _Gap) -> int:
    """Return how long steps that are neither around nor below the owner of a gap were under way in it."""
    spells: list[Spell] = []
    inner = gap.owner
    while inner.parent_id is not None and inner.parent_id in execution.by_id:
        beside = (each for each in execution.children(inner.parent_id) if each.span_id != inner.span_id)
        spells += ((each.start_ns, each.end_ns) for each in beside if each.kind is not OperationKind.WAIT)
        inner = execution.by_id[inner.parent_id]
    return total_ns(intersection([(gap.start_ns, gap.end_ns)], joined(spells)))


def _limit(cause: Cause, *, delays_others: bool, no_model: bool) -> Severity:
    if cause is Cause.COMPUTING:
        return Severity.LOW if delays_others else Severity.INFO
    return Severity.LOW if cause is Cause.UNEXPLAINED and no_model else Severity.MEDIUM


def _is_accounted_for(execution: Execution, earlier: Operation | None, later: Operation | None) -> bool:
    """Tell whether a person, a back-off or the clock of another host may be the reason for a gap."""
    around = [each for each in (earlier, later) if each is not None]
    if any(_PEOPLE.search(each.name) or each.wait_kind == "human" for each in around):
        return True
    if any(each.skew_ns for each in around):
        return True
    if earlier is None or later is None or earlier.name != later.name or earlier.kind is not later.kind:
        return False
    is_retry = earlier.error is not None or (later.attempt or 1) > 1 or (earlier.status_code or 0) in _TRY_AGAIN
    # In a conversation the same agent answers again, once somebody has read what it said.
    is_next_turn = earlier.parent_id == execution.root_id and earlier.kind in (
        OperationKind.AGENT,
        OperationKind.LLM,
        OperationKind.WORKFLOW,
    )
    return is_retry or is_next_turn


def _steps(execution: Execution) -> frozenset[Subject]:
    return frozenset(subject_of(each) for each in execution.of_kind(*_OWNERS))


def _most_idle(runs: Sequence[_Idle]) -> _Gap:
    """Return the longest gap of those between the two steps that lose most time over all runs."""
    totals: dict[tuple[str, str], int] = {}
    for each in runs:
        for gap in each.gaps:
            key = gap.after, gap.before
            totals[key] = totals.get(key, 0) + gap.duration_ns
    most = max(totals, key=lambda key: (totals[key], key))
    gaps = [gap for each in runs for gap in each.gaps if (gap.after, gap.before) == most]
    return max(gaps, key=lambda gap: (gap.duration_ns, gap.owner.span_id))


def _where(gap: _Gap) -> str:
    if gap.after and gap.before:
        return f"between {gap.after!r} and {gap.before!r}"
    if gap.after:
        return f"after {gap.after!r}"
    return f"before {gap.before!r}"


def _summary(subject: Subject, cause: Cause, *, gap_s: float, where: _Gap, runs: Sequence[_Idle]) -> str:
    if cause is Cause.COMPUTING:
        cpu_s = median([each.cpu_s for each in runs])
        return f"{subject.name!r} itself computes for {cpu_s:.2g} s a run, mostly {_where(where)}"
    if cause is Cause.BLOCKING:
        blocked_s = median([each.blocked_s for each in runs])
        return (
            f"A blocking call of {subject.name!r} holds the event loop for {blocked_s:.2g} s a run, mostly "
            f"{_where(where)}"
        )
    return f"{gap_s:.2g} s a run in {subject.name!r} are unexplained, mostly {_where(where)}: nothing recorded runs"


def _recommendation(subject: Subject, cause: Cause, gap: _Gap, *, delays_others: bool) -> str:
    if cause is Cause.COMPUTING and delays_others:
        return f"Let another process do what {subject.name!r} computes {_where(gap)}, so that other steps go on."
    if cause is Cause.COMPUTING:
        return f"Profile the code of {subject.name!r} {_where(gap)}: a thread would not make it shorter."
    if cause is Cause.BLOCKING:
        return (
            f"Record the blocking call of {subject.name!r} {_where(gap)}, and await an asynchronous client instead, so "
            "that other work goes on meanwhile."
        )
    return f"Record what {subject.name!r} does {_where(gap)}: a call that is not instrumented, or work of its own."
