import pytest

from otel_wfperf.analysis.prediction import QUEUES, Combination, predict, together
from otel_wfperf.analysis.scenario import ScenarioError, parse_scenario
from otel_wfperf.detectors import detect
from otel_wfperf.model import Confidence, Execution, Remove, Saving, Severity
from tests.detectors.builders import Run
from tests.detectors.faults import FAULTS
from tests.report.runs import finding


def run(number: int, search_ms: float = 1000, *, workflow: str = "research", waits: bool = False) -> Execution:
    """A phase of 1 s; then, in even runs, a search."""
    built = Run(number, workflow)
    built.phase("plan", 0, 1000)
    if number % 2 == 0:
        built.tool("search", 1000, search_ms)
    if waits:
        built.wait("queue", 0, 10)
    return built.build()


def test_a_prediction_says_what_it_rests_on() -> None:
    runs = [run(number, 1000 + 100 * number) for number in range(20)]

    [prediction] = predict(parse_scenario("faster tool:search x2"), runs)

    assert (prediction.workflow, prediction.scenario) == ("research", "faster tool:search x2")
    assert (prediction.runs, prediction.runs_touched, prediction.touched_ratio) == (20, 10, 0.5)
    assert prediction.operations == 10
    assert prediction.saving.median_s == pytest.approx(0.95)
    assert 0.5 <= prediction.saving.low_s < 0.95 < prediction.saving.high_s <= 1.4
    assert prediction.before_s == pytest.approx(2.9)
    assert prediction.after.median_s == pytest.approx(1.95)
    assert prediction.confidence is Confidence.OBSERVED
    assert prediction.assumptions[0].startswith("What had ended before a step started")


def test_few_runs_are_indicative() -> None:
    [prediction] = predict(parse_scenario("remove tool:search"), [run(number) for number in range(8)])

    assert prediction.runs_touched == 4
    assert prediction.confidence is Confidence.INDICATIVE


def test_changes_of_a_scenario_are_replayed_together() -> None:
    texts = "faster phase:plan x2", "parallel workflow:research"

    savings = [predict(parse_scenario(text), [run(0)])[0].saving.median_s for text in (*texts, ";".join(texts))]

    assert savings == pytest.approx([0.5, 1.0, 1.0])


def test_slower_is_told_too() -> None:
    [prediction] = predict(parse_scenario("faster tool:search x0.5"), [run(0)])

    assert prediction.saving == Saving(median_s=-1.0, low_s=-1.0, high_s=-1.0)
    assert prediction.after.median_s == 3.0


def test_each_workflow_that_has_the_name_is_predicted() -> None:
    runs = [run(0), run(2, workflow="other"), run(4, workflow="other"), run(1, workflow="without")]

    predictions = predict(parse_scenario("remove tool:search"), runs)

    assert [(each.workflow, each.runs) for each in predictions] == [("other", 2), ("research", 1)]


def test_a_name_that_nothing_has_and_a_change_that_cannot_be_told_are_errors() -> None:
    with pytest.raises(ScenarioError, match="character 8: no tool is called sarch"):
        predict(parse_scenario("remove tool:sarch"), [run(0)])
    with pytest.raises(ScenarioError, match="character 7: cannot tell for tool:search of research") as caught:
        predict(parse_scenario("cache tool:search"), [run(0)])
    assert "add scope=warm" in caught.value.hint


def test_waits_that_stay_as_long_are_mentioned() -> None:
    [without] = predict(parse_scenario("remove tool:search"), [run(0)])
    [with_waits] = predict(parse_scenario("remove tool:search"), [run(0, waits=True)])

    assert QUEUES not in without.assumptions
    assert QUEUES in with_waits.assumptions


def test_findings_together_save_less_than_their_sum_where_they_overlap() -> None:
    built = Run()
    built.tool("a", 0, 1000)
    built.tool("b", 0, 900)
    execution = built.build()
    [a, b] = [each.span_id for each in built.operations]
    first, second = (
        finding(detector=name, changes={execution.trace_id: (Remove(frozenset({span_id})),)})
        for name, span_id in (("one", a), ("two", b))
    )

    [combination] = together([execution], [first, second])

    saving = Saving(median_s=1.0, low_s=1.0, high_s=1.0)
    assert combination == Combination(workflow="research", findings=2, runs=1, saving=saving, duration_s=1.0)
    assert together([execution], [first]) == ()
    assert together([execution], [first, finding(changes=second.changes, severity=Severity.INFO)]) == ()


@pytest.mark.parametrize("name", ["bloat", "repeated", "slow_phase"])
def test_findings_of_real_detectors_can_be_replayed_together(name: str) -> None:
    executions = FAULTS[name].build(0)
    findings = detect(executions)
    twice = [each for found in findings for each in (found, found)]

    [combination] = together(executions, twice)

    savings = [each.saving.median_s for each in findings if each.saving]
    assert max(savings) <= combination.saving.median_s * 1.001
    assert combination.saving.median_s <= sum(savings) * 1.001


def test_the_lengths_are_those_of_the_runs_that_it_changes() -> None:
    """Most runs have no search: over all of them, the median would not change at all."""
    runs = [run(number) for number in (0, 2, 1, 3, 5, 7, 9)]

    [prediction] = predict(parse_scenario("remove tool:search"), runs)

    assert (prediction.runs_touched, prediction.before_s, prediction.after.median_s) == (2, 2.0, 1.0)
    assert prediction.saving.median_s == 1.0


def test_a_change_without_effect_beside_the_others_is_told() -> None:
    idle = "'faster tool:search 30%' makes no difference beside the other changes."

    [both] = predict(parse_scenario("remove tool:search; faster tool:search 30%"), [run(0)])
    [apart] = predict(parse_scenario("faster phase:plan x2; faster tool:search 30%"), [run(0)])

    assert both.assumptions[0] == idle
    assert not any("makes no difference" in each for each in apart.assumptions)


def test_a_change_that_cannot_be_told_names_all_that_it_is_made_to() -> None:
    built = Run()
    built.phase("a", 0, 100, depends_on=())
    built.phase("b", 100, 100, depends_on=("a",))

    with pytest.raises(ScenarioError, match="cannot start together: phase:a, phase:b of research") as caught:
        predict(parse_scenario("parallel phase:a,b"), [built.build()])
    assert caught.value.hint.startswith("b waits for a (declared); ")
