"""What holds for every detector, present and future."""

from collections.abc import Iterator

import pytest

from otel_wfperf.detectors import DETECTORS, Detector, detect
from otel_wfperf.detectors.severity import MAX_SPAN_IDS
from otel_wfperf.model import Execution, Finding, Severity
from tests.detectors.builders import Run, population
from tests.detectors.corpus import RUNS, SHAPES, healthy
from tests.detectors.faults import FAULTS
from tests.detectors.planting import Fault

# Every shape with every number of runs.
HEALTHY_SEEDS = range(len(SHAPES) * len(RUNS))
FAULT_SEEDS = range(3)


def planted(fault: Fault) -> Iterator[tuple[Finding, list[Execution]]]:
    for seed in FAULT_SEEDS:
        executions = fault.build(seed)
        yield from ((finding, executions) for finding in detect(executions))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
def test_finds_nothing_worth_acting_on_in_healthy_workflows(detector: Detector) -> None:
    for seed in HEALTHY_SEEDS:
        executions = healthy(seed)
        found = [each for each in detector.detect(population(*executions)) if each.severity.rank < Severity.LOW.rank]
        assert not found, f"seed {seed}"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_finds_each_planted_fault_and_nothing_else_above_low(fault: Fault) -> None:
    for seed in FAULT_SEEDS:
        found = {
            (each.detector, each.subject.kind.value, each.subject.name)
            for each in detect(fault.build(seed))
            if each.severity.rank < Severity.LOW.rank
        }
        assert found == {(fault.detector, *fault.subject)}, f"seed {seed}"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_findings_can_be_checked_and_acted_upon(fault: Fault) -> None:
    for finding, executions in planted(fault):
        known = {operation.span_id for execution in executions for operation in execution.operations}
        assert finding.workflow == executions[0].workflow
        assert 0 < len(finding.span_ids) <= MAX_SPAN_IDS
        assert known.issuperset(finding.span_ids)
        assert {execution.trace_id for execution in executions}.issuperset(finding.trace_ids)
        assert finding.evidence["runs"] == len(executions)
        assert finding.saving is not None
        assert 0 < finding.saving.median_s <= max(execution.duration_ns for execution in executions) / 1e9
        assert finding.summary[0].isupper() or finding.summary[0] in "'0123456789"
        assert finding.recommendation.endswith(".")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_order_of_executions_makes_no_difference(fault: Fault) -> None:
    executions = fault.build(0)

    assert detect(executions) == detect(executions[::-1])


def test_names_are_unique() -> None:
    names = [detector.name for detector in DETECTORS]

    assert len(set(names)) == len(names)


def test_workflows_are_judged_apart_and_the_worst_comes_first() -> None:
    mixed = [
        *FAULTS["repeated"].build(1),
        *(renamed(execution, "other") for execution in FAULTS["slow_phase"].build(1)),
        *(renamed(execution, "healthy") for execution in healthy(3)),
    ]

    found = detect(mixed)

    assert [(each.workflow, each.detector) for each in found] == [
        ("other", "slow_phase"),
        ("research", "repeated_call"),
    ]


def test_accepts_executions_without_content_or_length() -> None:
    assert detect([]) == ()
    assert detect([Run().build(), Run(1).build(5000)]) == ()


def renamed(execution: Execution, workflow: str) -> Execution:
    """Move an execution to another workflow."""
    return Execution(
        trace_id=execution.trace_id,
        workflow=workflow,
        root_id=execution.root_id,
        operations=execution.operations,
    )


def test_a_run_5000_deep_is_examined_without_recursion() -> None:
    run = Run()
    parent = run.phase("outermost", 0, 1_000)
    for depth in range(5_000):
        parent = run.phase(f"level {depth % 7}", depth * 0.01, 1_000 - depth * 0.02, parent=parent)
        run.tool(f"look up {depth % 5}", depth * 0.01, 0.005, parent=parent)

    assert all(finding.workflow for finding in detect([run.build()]))
