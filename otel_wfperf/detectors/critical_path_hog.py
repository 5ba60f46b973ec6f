"""Detector: one phase that holds far more of the critical path than the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import ServiceTime, service_time
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.place import SUBJECT_KINDS, is_inside_of_agent
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import (
    CALLS,
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Scale,
    Severity,
    Subject,
    SubjectKind,
)
from otel_wfperf.model.finding import EvidenceValue

_HUMAN = "human"
# In one or two runs the first phase may be long because the process was cold.
_FEW = 2
# From here on a share of the runs says something.
_MANY = 8
_LEVEL_NAMES = {OperationKind.PHASE: "phases", OperationKind.AGENT: "agents", OperationKind.TOOL: "tools"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPathHog:
    """Report a phase whose share of the critical path is out of proportion in nearly every run.

    All that happens below a phase counts as that phase, except phases within it; so a wrapper, which owns no time,
    is never reported. Where there are no phases agents take their place, then tools. Time in which a person was
    waited for is left out. The saving is that of a phase twice as fast.

    A phase that is long because it makes many calls of usual length, or because its answers are long, works
    as designed: it is mentioned as ``info``, not as a fault, and only when five runs agree. So does the only phase that
    asks a model: there is no other call of the kind to compare with. Model calls without token counts may have long
    answers: then it is ``low``.

    Attributes:
        min_share_ratio: Least share of the path (0..1). Chosen: a fifth is what halving turns into 10 %.
        min_disproportion: Least ratio to the mean share of the other phases on the path. Chosen: of four equal
            phases each has 25 %, which 20 % alone would report four times over.
        min_disproportion_of_few: The same for the median of the runs where there are fewer than five. Chosen: at 2.5 of
            480 healthy workflows with three or four runs, two had a phase that happened to be slow each time; with
            5 in every run, phases planted five times as long as the others were missed in most of the cases.
        min_phases: Fewer phases on the path are no distribution. Chosen: of two, one always leads.
        min_call_ratio: Least ratio of the time for one call of the phase to that of the others. Chosen: below,
            the phase does more, not slower, work.
        min_share_of_runs: Share of the runs in which the rule must hold; all of them below eight runs. Chosen: with
            service times as skewed as recorded ones (log deviation 1.3), medians of 5 runs gave 16 % false alarms.
        min_disproportion_of_odd_run: Least ratio in one of five to seven runs that is excepted. Chosen: phases planted
            four times as long as the others were missed for one run at 2.4. Of 3,000 simulated sets of five
            runs of like phases with log deviations of 0.35 to 1.3, at most 0.3 % more were reported.
        min_disproportion_with_odd_run: The median over all runs must be this high then. Chosen: with it.
    """

    name: ClassVar[str] = "critical_path_hog"
    min_share_ratio: float = 0.20
    min_disproportion: float = 2.5
    min_disproportion_of_few: float = 4.0
    min_phases: int = 3
    min_call_ratio: float = 2.0
    min_share_of_runs: float = 0.8
    min_disproportion_of_odd_run: float = 2.0
    min_disproportion_with_odd_run: float = 3.0

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield at most one finding: two phases cannot both be out of proportion."""
        level = _level(population)
        runs = [_Run(execution, *execution.once(_parts, level)) for execution in population.executions]
        names = sorted({name for run in runs for name in run.parts})
        few = len(runs) < MIN_RUNS
        for name in names:
            held = [run for run in runs if self._is_hog(run, name)]
            cold = len(runs) <= _FEW and bool(held) and held[0].starts_with(name)
            as_designed = bool(held) and self._works_as_designed(runs, held, name)
            if (
                not held
                or not self._holds(runs, held, name)
                or cold
                or (few and (as_designed or not self._is_clear(held, name)))
            ):
                continue
            impact = replayed(population, {run.execution.trace_id: run.changes(name, level) for run in held})
            if impact is not None:
                yield self._finding(population, level, name, held=held, impact=impact, as_designed=as_designed)

    def _holds(self, runs: Sequence[_Run], held: Sequence[_Run], name: str) -> bool:
        """Tell whether enough runs agree."""
        if len(runs) >= _MANY:
            return len(held) >= self.min_share_of_runs * len(runs)
        if len(runs) < MIN_RUNS or len(held) != len(runs) - 1:
            return len(held) == len(runs)
        ratios = [run.disproportion(name) for run in runs]
        return (
            min(ratios) >= self.min_disproportion_of_odd_run and median(ratios) >= self.min_disproportion_with_odd_run
        )

    def _is_clear(self, held: Sequence[_Run], name: str) -> bool:
        return median([run.disproportion(name) for run in held]) >= self.min_disproportion_of_few

    def _is_hog(self, run: _Run, name: str) -> bool:
        share = run.share(name)
        if name not in run.parts or run.parts[name].is_model:
            return False
        others = [other for other in run.parts if other != name and run.share(other) >= 0.01]
        if share < self.min_share_ratio or len(others) + 1 < self.min_phases:
            return False
        return share >= self.min_disproportion * sum(map(run.share, others)) / len(others)

    def _works_as_designed(self, runs: Sequence[_Run], held: Sequence[_Run], name: str) -> bool:
        if median([run.call_ratio(name) for run in held]) < self.min_call_ratio:
            return True
        if all(run.is_only_model_work(name) for run in held):
            return True
        expected = service_time([each for run in runs for part in run.parts.values() for each in part.llm_calls])
        return _is_explained_by_tokens(held, name, expected)

    def _finding(
        self,
        population: Population,
        level: OperationKind,
        name: str,
        *,
        held: Sequence[_Run],
        impact: Impact,
        as_designed: bool,
    ) -> Finding:
        share = median([run.share(name) for run in held])
        ratio = median([run.disproportion(name) for run in held])
        few = len(population.executions) < MIN_RUNS
        limit = Severity.MEDIUM if few else Severity.CRITICAL
        if as_designed or len(population.executions) <= _FEW:
            limit = Severity.INFO if as_designed else Severity.LOW
        if all(run.parts[name].length_is_unknown for run in held):
            limit = at_most(limit, Severity.LOW)
        operations = [each for run in held for each in run.parts[name].owners]
        return Finding(
            detector=self.name,
            severity=at_most(impact.severity, limit),
            confidence=Confidence.INDICATIVE if few else Confidence.OBSERVED,
            workflow=population.workflow,
            subject=Subject(kind=SUBJECT_KINDS.get(level, SubjectKind.TOOL), name=name),
            trace_ids=impact.trace_ids,
            span_ids=examples(operations),
            summary=(
                f"{name!r} holds {100 * share:.0f} % of the critical path, {ratio:.1f} times as much as the other "
                f"{_LEVEL_NAMES[level]} on average"
            ),
            evidence=_evidence(population, held, name) | {"works_as_designed": as_designed},
            saving=impact.saving,
            changes=impact.changes,
            recommendation=_recommendation(name, as_designed=as_designed),
        )


@dataclass(slots=True)
class _Part:
    """What one phase contributed to the path of one run."""

    path_ns: int = 0
    owners: list[Operation] = field(default_factory=list)
    calls: list[Operation] = field(default_factory=list)

    @property
    def llm_calls(self) -> list[Operation]:
        return [call for call in self.calls if call.kind is OperationKind.LLM]

    @property
    def is_model(self) -> bool:
        """Whether it is the model itself: where only tools and models are known, thinking is most of the work."""
        return any(owner.kind is OperationKind.LLM for owner in self.owners)

    @property
    def mostly_model(self) -> bool:
        return sum(call.duration_ns for call in self.llm_calls) >= 0.7 * self.path_ns

    @property
    def length_is_unknown(self) -> bool:
        """Whether most of it is model calls of which nobody recorded how much they wrote."""
        counted = [call for call in self.llm_calls if call.tokens is not None and call.tokens.output > 0]
        return self.mostly_model and 2 * len(counted) < len(self.llm_calls)


@dataclass(frozen=True, slots=True)
class _Run:
    """The path of one run, divided among phases."""

    execution: Execution
    total_ns: int
    parts: Mapping[str, _Part]

    def share(self, name: str) -> float:
        part = self.parts.get(name)
        return part.path_ns / self.total_ns if part else 0.0

    def starts_with(self, name: str) -> bool:
        """Tell whether a phase was the first to run."""
        owners = [part.owners[0] for part in self.parts.values() if part.owners]
        return min(owners, key=lambda each: each.start_ns).name == name

    def disproportion(self, name: str) -> float:
        others = [other for other in self.parts if other != name and self.share(other) >= 0.01]
        return self.share(name) * len(others) / sum(map(self.share, others)) if others else 0.0

    def is_only_model_work(self, name: str) -> bool:
        """Tell whether a phase is model calls, and no other phase makes one."""
        others = [part for other, part in self.parts.items() if other != name]
        return self.parts[name].mostly_model and not any(part.llm_calls for part in others)

    def call_ratio(self, name: str) -> float:
        """Compare the time for one call with that of the other phases."""
        others = [part for other, part in self.parts.items() if other != name and self.share(other) >= 0.01]
        theirs = sum(part.path_ns for part in others) / max(1, sum(max(1, len(part.calls)) for part in others))
        part = self.parts[name]
        return part.path_ns / max(1, len(part.calls)) / max(1.0, theirs)

    def changes(self, name: str, level: OperationKind) -> Sequence[Change]:
        """Make the phase twice as fast, phases within it as they are."""
        hog = {each.span_id for each in self.parts[name].owners}
        owner_of = {each.span_id: owner for each, owner, _ in _owned(self.execution, level)}
        faster, as_before = set[str](), set[str]()
        for each in self.execution.operations:
            outer = owner_of.get(each.parent_id or "")
            is_within = outer is not None and outer.span_id in hog
            if each.span_id in hog and not is_within:
                faster.add(each.span_id)
            elif is_within and each.span_id not in hog and _is_at(each, level):
                as_before.add(each.span_id)
        return [Scale(frozenset(faster), 0.5), Scale(frozenset(as_before), 2.0)]


def _parts(execution: Execution, level: OperationKind) -> tuple[int, Mapping[str, _Part]]:
    """Divide the path of a run; return its length too, without the time in which a person is awaited (nanoseconds)."""
    path = execution.once(critical_path)
    parts: dict[str, _Part] = {}
    human_ns = 0
    for operation, owner, is_human in _owned(execution, level):
        path_ns = path.exclusive_ns(operation.span_id)
        if is_human:
            human_ns += path_ns
        if is_human or owner is None:
            continue
        part = parts.get(owner.name)
        if part is None:
            part = parts[owner.name] = _Part()
        part.path_ns += path_ns
        if operation is owner:
            part.owners.append(operation)
        if operation.kind in CALLS and operation.span_id in path.span_ids:
            part.calls.append(operation)
    return max(1, execution.duration_ns - human_ns), parts


def _owned(execution: Execution, level: OperationKind) -> Iterator[tuple[Operation, Operation | None, bool]]:
    """Yield each operation with the nearest of a level around it, itself included, and whether a person is awaited.

    One walk from the root down, as a trace may be thousands of operations deep; in order of start.
    """
    around: dict[str, tuple[Operation | None, bool]] = {}
    for operation in (execution.root, *execution.descendants(execution.root_id)):
        owner, is_human = around.get(operation.parent_id or "", (None, False))
        around[operation.span_id] = (
            operation if _is_at(operation, level) else owner,
            is_human or operation.wait_kind == _HUMAN,
        )
    for operation in execution.operations:
        yield operation, *around[operation.span_id]


def _level(population: Population) -> OperationKind:
    """Tell what the parts of the workflow are: phases, else agents, else tools and models."""
    for level in (OperationKind.PHASE, OperationKind.AGENT):
        if any(_is_at(each, level) for execution in population.executions for each in execution.of_kind(level)):
            return level
    return OperationKind.TOOL


def _is_at(operation: Operation, level: OperationKind) -> bool:
    if level is OperationKind.TOOL:
        return operation.kind in CALLS
    is_agents_own = level is OperationKind.PHASE and is_inside_of_agent(operation.name, operation.agent)
    return operation.kind is level and not is_agents_own


def _is_explained_by_tokens(held: Sequence[_Run], name: str, expected: ServiceTime | None) -> bool:
    """Tell whether model calls make up most of the phase and take as long as their tokens need."""
    if expected is None:
        return False
    calls = [call for run in held for call in run.parts[name].llm_calls]
    mostly_model = all(run.parts[name].mostly_model for run in held)
    return mostly_model and bool(calls) and median([expected.ratio(call) for call in calls]) < 1.5


def _evidence(population: Population, held: Sequence[_Run], name: str) -> dict[str, EvidenceValue]:
    return {
        "critical_path_share_ratio": round(median([run.share(name) for run in held]), 4),
        "disproportion_ratio": round(median([run.disproportion(name) for run in held]), 2),
        "time_per_call_ratio": round(median([run.call_ratio(name) for run in held]), 2),
        "runs": len(population.executions),
        "runs_affected": len(held),
    }


def _recommendation(name: str, *, as_designed: bool) -> str:
    if as_designed:
        return f"Let {name!r} do less: fewer calls or shorter answers; nothing says that its calls are slow."
    return (
        f"Speed {name!r} up or split it: look at its slowest call first, then at a faster model or tool; the saving is "
        "that of half its time."
    )
