"""What runs would take with something changed: a scenario, or all findings at once, over one or many runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_wfperf.analysis.interventions import Intervention, Plan, PlanError
from otel_wfperf.analysis.reconciling import reconciled
from otel_wfperf.analysis.scenario import Scenario, ScenarioError
from otel_wfperf.analysis.statistics import median, saving_interval
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.model import Change, Confidence, Execution, Finding, Saving, Severity

# Chosen: with fewer runs the interval of a median covers the whole sample.
MIN_RUNS: Final = 5
_QUEUES: Final = frozenset({"queue", "concurrency", "rate_limit", "lock"})

TIMES = "What had ended before a step started was waited for; this is taken from the times."
GAPS = "Pauses between steps and the results of steps stay as they were."
QUEUES = "Recorded waits for queues, slots and locks keep their length, though a faster run may wait less."


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a scenario does to the runs of one workflow.

    Attributes:
        scenario: As typed.
        runs: All runs (count).
        runs_touched: Those in which it changes an operation (count).
        operations: Operations changed (count).
        saving: Of the runs touched, with a 90 % interval (seconds); negative when it makes them slower. Zero when none
            is touched.
        saving_ratio: Median share of their length (0..1).
        before_s: Median length of the runs touched, or of all when none is (seconds).
        after: The same with the change, with a 90 % interval (seconds). Where the saving differs from run to run, the
            medians of the lengths are not apart by the median of the savings.
        assumptions: One sentence each.
    """

    scenario: str
    workflow: str
    runs: int
    runs_touched: int
    operations: int
    saving: Saving
    saving_ratio: float
    before_s: float
    after: Saving
    confidence: Confidence
    assumptions: tuple[str, ...]

    @property
    def touched_ratio(self) -> float:
        """Share of the runs touched (0..1)."""
        return self.runs_touched / self.runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What following all findings of one workflow would win: replayed together, not added.

    Attributes:
        findings: Those that could be replayed and are faults (count).
        runs: Runs that any of them affects (count).
        saving: Of these runs, with a 90 % interval (seconds).
        duration_s: Median length of these runs (seconds).
    """

    workflow: str
    findings: int
    runs: int
    saving: Saving
    duration_s: float


def predict(scenario: Scenario, executions: Iterable[Execution]) -> tuple[Prediction, ...]:
    """Replay a scenario for each workflow that has what it names.

    Raise ScenarioError for a name that nothing has, and for a change that cannot be told in any workflow.
    """
    by_workflow = _by_workflow(executions)
    scenario.check([each for runs in by_workflow.values() for each in runs])
    found: list[Prediction] = []
    problems: list[ScenarioError] = []
    for workflow, runs in by_workflow.items():
        if _concerns(scenario, runs):
            try:
                found.append(_predict(scenario, workflow, runs))
            except ScenarioError as error:
                problems.append(error)
    if problems and not found:
        raise problems[0]
    return tuple(sorted(found, key=lambda each: (-each.runs_touched, each.workflow)))


def together(executions: Iterable[Execution], findings: Iterable[Finding]) -> tuple[Combination, ...]:
    """Replay the changes of all findings together, for each workflow where at least two have some.

    Findings that only inform are left out. Where two concern the same calls, the better one counts.
    """
    replayable = [each for each in findings if each.changes and each.severity is not Severity.INFO]
    combined = []
    for workflow, runs in _by_workflow(executions).items():
        of_workflow = [each for each in replayable if each.workflow == workflow]
        proposals = {
            run.trace_id: [each.changes[run.trace_id] for each in of_workflow if run.trace_id in each.changes]
            for run in runs
        }
        affected = [run for run in runs if proposals[run.trace_id]]
        if len(of_workflow) < 2 or not affected:
            continue
        savings = [max(0, replay(run, reconciled(run, proposals[run.trace_id])).saving_ns) for run in affected]
        combined.append(
            Combination(
                workflow=workflow,
                findings=len(of_workflow),
                runs=len(affected),
                saving=saving_interval(savings),
                duration_s=median([run.duration_ns for run in affected]) / 1e9,
            )
        )
    return tuple(combined)


def _by_workflow(executions: Iterable[Execution]) -> Mapping[str, list[Execution]]:
    found: dict[str, list[Execution]] = {}
    for execution in sorted(executions, key=lambda each: (each.start_ns, each.trace_id)):
        if execution.duration_ns > 0:
            found.setdefault(execution.workflow, []).append(execution)
    return found


def _concerns(scenario: Scenario, runs: Sequence[Execution]) -> bool:
    return any(target.operations(run) for each in scenario.interventions for target in each.targets for run in runs)


def _predict(scenario: Scenario, workflow: str, runs: Sequence[Execution]) -> Prediction:
    plans = [_plan(scenario, intervention, workflow, runs) for intervention in scenario.interventions]
    changes = _joined(plans)
    touched = [run for run in runs if run.trace_id in changes]
    after_ns = [replay(run, changes[run.trace_id]).duration_ns for run in touched]
    savings = [run.duration_ns - length_ns for run, length_ns in zip(touched, after_ns, strict=True)]
    idle = _idle_parts(scenario, plans, list(zip(touched, after_ns, strict=True)))
    confidences = {plan.confidence for plan in plans}
    if len(touched) < MIN_RUNS and confidences != {Confidence.PROVEN}:
        confidences.add(Confidence.INDICATIVE)
    assumptions = dict.fromkeys((*idle, *(said for plan in plans for said in plan.assumptions)))
    shown = touched or runs
    waits = any(each.wait_kind in _QUEUES for run in touched for each in run.operations)
    return Prediction(
        scenario=scenario.text,
        workflow=workflow,
        runs=len(runs),
        runs_touched=len(touched),
        operations=sum(_count(of_run) for of_run in changes.values()),
        saving=saving_interval(savings or [0]),
        saving_ratio=median([saved / run.duration_ns for saved, run in zip(savings, touched, strict=True)] or [0.0]),
        before_s=median([run.duration_ns for run in shown]) / 1e9,
        after=saving_interval(after_ns or [run.duration_ns for run in shown]),
        confidence=max(confidences, key=tuple(Confidence).index),
        assumptions=(*assumptions, TIMES, GAPS, *([QUEUES] if waits else [])),
    )


def _joined(plans: Iterable[Plan]) -> Mapping[str, Sequence[Change]]:
    changes: dict[str, list[Change]] = {}
    for plan in plans:
        for trace_id, of_run in plan.changes.items():
            changes.setdefault(trace_id, []).extend(of_run)
    return changes


def _idle_parts(scenario: Scenario, plans: Sequence[Plan], outcome: Sequence[tuple[Execution, int]]) -> Iterator[str]:
    """Say which changes make no difference beside the others to any run, given with its length after all of them."""
    for at, part in enumerate(scenario.parts if len(plans) > 1 else ()):
        others = _joined(plan for number, plan in enumerate(plans) if number != at)
        if all(replay(run, others.get(run.trace_id, ())).duration_ns == length_ns for run, length_ns in outcome):
            yield f"{part!r} makes no difference beside the other changes."


def _plan(scenario: Scenario, intervention: Intervention, workflow: str, runs: Sequence[Execution]) -> Plan:
    try:
        return intervention.plan(runs)
    except PlanError as error:
        targets = intervention.targets
        message = f"{error.problem} {', '.join(each.text for each in targets)} of {workflow}"
        raise ScenarioError(message, text=scenario.text, position=targets[0].position, hint=str(error)) from error


def _count(changes: Sequence[Change]) -> int:
    return len({span_id for change in changes for span_id in getattr(change, "span_ids", ())})
