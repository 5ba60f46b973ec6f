"""Detector: independent steps that run one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.effects import are_namesakes, changes_state
from otel_wfperf.detectors.independence import Orders, Verdict, judge, passed_on
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.series import Siblings, Unit, moved_together, siblings
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Severity,
    Subject,
    SubjectKind,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedParallelism:
    """Report tools, phases or agents that wait for each other without need.

    The tools that a model asks for in one turn are independent of each other: it chose their arguments before any
    had run. Where neither a finish reason nor ids of calls show that it asked, code may have called them, and they are
    judged as other steps are.

    Of those, independence is taken from a declared graph, from content (nothing that the first produced is in what
    the second was given; at most medium, as a value derived from it would not be seen), or from runs in which their
    order differed. Timing alone is enough, for a finding of low
    severity, for tools that follow a model call, for at least three different tools with no model call between, and
    for phases or agents whose names differ in a letter or number, as copies of one worker do; other phases follow
    each other in every healthy pipeline, and one tool called again polls or turns pages.

    Left alone are steps that change state or decide what runs next, loops, retries (they count as one step), steps
    that already run beside others, and all that a model call or a person stands between.

    The subject is the series: its names in order of first start.

    Attributes:
        min_step_ns: Shortest step (nanoseconds). Chosen: starting a task costs up to 90 ms on a busy machine.
        max_gap_ns: Longest pause between two steps (nanoseconds), or
        max_gap_ratio: the same over the length of the two. Chosen: what comes later
            waited for something else.
        min_assumed: Fewest steps where only timing speaks. Chosen: two tools in a row are common.
        min_saving_ns: Least saving (nanoseconds), or
        min_saving_ratio: the same over the length of the run. Chosen: one of the two is enough, so
            that short workflows are judged by their own measure.
    """

    name: ClassVar[str] = "missed_parallelism"
    min_step_ns: int = 100_000_000
    max_gap_ns: int = 50_000_000
    max_gap_ratio: float = 0.05
    min_assumed: int = 3
    min_saving_ns: int = 500_000_000
    min_saving_ratio: float = 0.10

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each series of names."""
        orders = Orders(population.executions)
        found: dict[Subject, list[_Series]] = {}
        for execution in population.executions:
            for series in self._series_of(execution, orders):
                found.setdefault(series.subject, []).append(series)
        for subject, cases in found.items():
            by_run: dict[str, list[_Series]] = {}
            for case in cases:
                by_run.setdefault(case.execution.trace_id, []).append(case)
            impact = replayed(population, {trace_id: _changes(of_run) for trace_id, of_run in by_run.items()})
            if impact is not None and self._is_enough(population, impact):
                yield _finding(self.name, population, subject, cases=cases, impact=impact)

    def _is_enough(self, population: Population, impact: Impact) -> bool:
        saving_ns = impact.saving.median_s * 1e9
        return saving_ns >= min(self.min_saving_ns, self.min_saving_ratio * population.median_duration_ns)

    def _series_of(self, execution: Execution, orders: Orders) -> Iterator[_Series]:
        of_turns: list[_Series] = []
        for turn in execution.once(_turns):
            of_turns += self._calls_in_series(execution, turn.calls, turn.parent, orders)
        yield from of_turns
        known = {member.span_id for series in of_turns for unit in series.units for member in unit.members}
        for group in execution.once(_in_series, self):
            for series in self._groups(execution, group, orders):
                if known.isdisjoint(member.span_id for unit in series.units for member in unit.members):
                    yield series

    def _calls_in_series(
        self, execution: Execution, calls: Sequence[Unit], parent: Operation, orders: Orders
    ) -> Iterator[_Series]:
        """Divide the calls of one turn where one changes state, or something else took place between two.

        Where nothing shows that a model asked for them, code may have called one after the other: then each pair is
        judged as other steps are. A result that was passed on divides them, unless the emitter wrote the turn: a
        model chooses all arguments of a turn before any result is there.
        """
        requested = _is_requested(execution, calls)
        units: list[Unit] = []
        verdicts: list[Verdict] = [Verdict.TURN] if requested else []
        for unit in calls:
            writes = changes_state(unit.name)
            judged = [] if requested else [judge(execution, each, unit, siblings=(), orders=orders) for each in units]
            divides = Verdict.DEPENDENT in judged or _shows_code(execution, units, unit.steps[0])
            if writes or divides or not self._follows(units, unit):
                yield from _Series.of(execution, parent, units, verdicts)
                units, judged = [], []
                verdicts = [Verdict.TURN] if requested else []
            if not writes and unit.duration_ns >= self.min_step_ns:
                units.append(unit)
                verdicts += judged
        yield from _Series.of(execution, parent, units, verdicts)

    def may_hold_series(self, group: Siblings) -> bool:
        """Tell whether any two steps of one parent ran in series, whatever they depend on."""
        serial = [unit for unit in group.units if self._counts(group, unit)]
        return any(
            first.kind is second.kind and self._follows([first], second) and not group.is_broken(first, second)
            for first, second in pairwise(serial)
        )

    def _counts(self, group: Siblings, unit: Unit) -> bool:
        return group.is_serial(unit) and unit.duration_ns >= self.min_step_ns

    def _groups(self, execution: Execution, group: Siblings, orders: Orders) -> Iterator[_Series]:
        """Find the steps of one parent that ran in series, each independent of all before it in the series."""
        series: list[Unit] = []
        verdicts: list[Verdict] = []
        for unit in group.units:
            fits = not series or (series[0].kind is unit.kind and not group.is_broken(series[0], unit))
            fits = fits and self._follows(series, unit)
            # Comparing content takes the longest: only where nothing else decides.
            judged = [_judged(execution, each, unit, group=group, orders=orders) for each in series if fits]
            if not fits or Verdict.DEPENDENT in judged:
                yield from self._believable(execution, group, series, verdicts)
                series, verdicts, judged = [], [], []
            if self._counts(group, unit):
                series.append(unit)
                verdicts += judged
        yield from self._believable(execution, group, series, verdicts)

    def _believable(
        self, execution: Execution, group: Siblings, series: Sequence[Unit], verdicts: Sequence[Verdict]
    ) -> Iterator[_Series]:
        if Verdict.UNKNOWN in verdicts:
            names = {unit.name for unit in series}
            is_step = series[0].kind in (OperationKind.PHASE, OperationKind.AGENT)
            if not is_step and (len(series) < self.min_assumed or len(names) < len(series)):
                return
        yield from _Series.of(execution, group.parent, series, verdicts)

    def _follows(self, series: Sequence[Unit], unit: Unit) -> bool:
        return not series or unit.is_soon_after(
            series[-1], max_gap_ns=self.max_gap_ns, max_gap_ratio=self.max_gap_ratio
        )


@dataclass(frozen=True, slots=True)
class _Series:
    """Steps of one run, all somewhere below one parent, that could have run together."""

    execution: Execution
    parent: Operation
    units: tuple[Unit, ...]
    verdicts: frozenset[Verdict]

    @classmethod
    def of(
        cls, execution: Execution, parent: Operation, units: Sequence[Unit], verdicts: Sequence[Verdict]
    ) -> Iterator[_Series]:
        """Yield the series if it is one; equal calls are to be made once, not at once."""
        one_call = len({(unit.name, unit.input_hash) for unit in units}) == 1 and units[0].input_hash is not None
        if len(units) >= 2 and not one_call:
            yield cls(execution, parent, tuple(units), frozenset(verdicts))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(unit.name for unit in self.units))

    @property
    def subject(self) -> Subject:
        return Subject(kind=subject_of(self.units[0].steps[0]).kind, name=", ".join(self.names))

    @property
    def confidence(self) -> Confidence:
        """That of the weakest link."""
        return max((each.confidence for each in self.verdicts), key=tuple(Confidence).index)


@dataclass(frozen=True, slots=True)
class _Turn:
    """The tool calls of one model turn that ran in series, below their nearest common parent."""

    parent: Operation
    calls: tuple[Unit, ...]


def _turns(execution: Execution) -> Sequence[_Turn]:
    turns: dict[str, list[Operation]] = {}
    for tool in execution.of_kind(OperationKind.TOOL):
        if tool.turn is not None and tool.error is None:
            turns.setdefault(tool.turn, []).append(tool)
    found = []
    for tools in turns.values():
        placed = _lift(execution, tools)
        overlaps = any(first.end_ns > second.start_ns for first, second in pairwise(tools))
        if placed is not None and not overlaps and not _thinks_between(execution, tools):
            calls = (Unit((tool,), (member,)) for tool, member in zip(tools, placed[1], strict=True))
            found.append(_Turn(placed[0], tuple(calls)))
    return found


def _in_series(execution: Execution, rule: MissedParallelism) -> Sequence[Siblings]:
    return [group for group in siblings(execution) if rule.may_hold_series(group)]


def _judged(execution: Execution, first: Unit, second: Unit, *, group: Siblings, orders: Orders) -> Verdict:
    """Judge a pair; phases and agents of which nothing is known depend on each other unless they are copies."""
    verdict = judge(execution, first, second, siblings=group.units, orders=orders)
    is_step = second.kind in (OperationKind.PHASE, OperationKind.AGENT)
    if verdict is Verdict.UNKNOWN and is_step and not are_namesakes((first.name, second.name)):
        return Verdict.DEPENDENT
    return verdict


def _changes(cases: Sequence[_Series]) -> Sequence[Change]:
    """Run all series of one run together."""
    return [change for case in cases for change in moved_together(case.units)]


def _lift(execution: Execution, tools: Sequence[Operation]) -> tuple[Operation, Sequence[Operation]] | None:
    """Find the nearest common parent of tool calls, and what is directly below it on the way to each."""
    if len(tools) < 2:
        return None
    chains = [[tool, *execution.ancestors(tool.span_id)][::-1] for tool in tools]
    depth = 0
    while all(len(chain) > depth + 1 for chain in chains) and len({chain[depth].span_id for chain in chains}) == 1:
        depth += 1
    members = [chain[depth] for chain in chains]
    if depth == 0 or len({member.span_id for member in members}) < len(tools):
        return None
    return chains[0][depth - 1], members


def _is_requested(execution: Execution, calls: Sequence[Unit]) -> bool:
    """Tell whether a model asked for the calls: the emitter wrote the turn, or its answer or their ids say so."""
    asking = execution.by_id.get(calls[0].steps[0].turn or "")
    return asking is None or asking.requested or all(call.steps[0].requested for call in calls)


def _shows_code(execution: Execution, units: Sequence[Unit], tool: Operation) -> bool:
    """Tell whether a turn that assembly inferred (it is the model call's id then) cannot be one."""
    return tool.turn in execution.by_id and any(passed_on(each.steps[0], tool) for each in units)


def _thinks_between(execution: Execution, tools: Sequence[Operation]) -> bool:
    """Tell whether a model was called between the tools, other than by the tools themselves."""
    inside = {below.span_id for tool in tools for below in execution.descendants(tool.span_id)}
    return any(
        tools[0].start_ns <= call.start_ns <= tools[-1].start_ns and call.span_id not in inside
        for call in execution.of_kind(OperationKind.LLM)
        if call.phase == tools[0].phase and call.agent == tools[0].agent
    )


def _finding(
    detector: str, population: Population, subject: Subject, *, cases: Sequence[_Series], impact: Impact
) -> Finding:
    confidence = max((case.confidence for case in cases), key=tuple(Confidence).index)
    by_content = any(Verdict.CONTENT in case.verdicts for case in cases)
    limit = Severity.LOW if confidence is Confidence.ASSUMED else Severity.MEDIUM if by_content else Severity.CRITICAL
    width = round(median([len(case.units) for case in cases]))
    place = place_of(cases[0].units[0].steps[0]) if subject.kind is SubjectKind.TOOL else place_of(cases[0].parent)
    now_s = median([case.units[-1].end_ns - case.units[0].start_ns for case in cases]) / 1e9
    longest_s = median([max(unit.duration_ns for unit in case.units) for case in cases]) / 1e9
    reasons = sorted({verdict.value for case in cases for verdict in case.verdicts})
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, limit),
        confidence=confidence,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(step for case in cases for unit in case.units for step in unit.steps),
        summary=(
            f"{width} {'possibly ' if confidence is Confidence.ASSUMED else ''}independent steps ({subject.name}) run "
            f"one after another in {now_s:.2g} s; the longest takes {longest_s:.2g} s"
        ),
        evidence={
            "parent": cases[0].parent.name,
            "place": place.name if place else population.workflow,
            "steps": width,
            "members": cases[0].names,
            "series_s": round(now_s, 4),
            "longest_step_s": round(longest_s, 4),
            "independence": tuple(reasons),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=_recommendation(subject, confidence),
    )


def _recommendation(subject: Subject, confidence: Confidence) -> str:
    checks = {
        Confidence.ASSUMED: "Check that they are independent, then run",
        Confidence.OBSERVED: "Check that none uses a value derived from another, then run",
    }
    how = "as parallel tool calls" if subject.kind is SubjectKind.TOOL else "as parallel branches"
    examples_of = "asyncio.gather" if subject.kind is SubjectKind.TOOL else "edges from one node, or asyncio.gather"
    return f"{checks.get(confidence, 'Run')} {subject.name} {how}: {examples_of}."
