from otel_wfperf.analysis.prediction import Combination, predict
from otel_wfperf.analysis.scenario import parse_scenario
from otel_wfperf.model import Execution, Saving
from otel_wfperf.report.predictions import all_together, effect, lengths
from tests.analysis.test_prediction import run
from tests.detectors.builders import Run


def test_says_which_runs_and_lengths_are_meant() -> None:
    [prediction] = predict(parse_scenario("remove tool:search"), [run(number) for number in range(8)])

    assert effect(prediction) == "research: saves about 1.00 s per run, 50 %, in 4 of 8 runs"
    assert lengths(prediction).startswith(
        "takes 1.00 s instead of 2.00 s (medians of these runs); 4 operations changed;"
    )


def test_explains_a_saving_that_is_not_the_difference_of_the_lengths() -> None:
    def searching(number: int, search_ms: float, length_ms: float) -> Execution:
        built = Run(number)
        built.tool("search", 0, search_ms)
        return built.build(length_ms)

    uneven = [searching(0, 1500, 2000), searching(1, 100, 3000), searching(2, 1600, 4000)]
    [prediction] = predict(parse_scenario("remove tool:search"), uneven)

    assert "saves about 1.50 s" in effect(prediction)
    assert lengths(prediction).startswith(
        "takes 2.40 s instead of 3.00 s (medians of the runs; apart by 600 ms, as the saving differs from run to run)"
    )


def test_says_that_a_change_makes_it_slower() -> None:
    [prediction] = predict(parse_scenario("faster tool:search x0.5"), [run(0)])
    [several] = predict(parse_scenario("faster tool:search x0.5"), [run(0), run(2, 1200)])

    assert effect(prediction) == "research: makes it slower: costs about 1.00 s, 50 %, in 1 run"
    assert effect(several).endswith(" in 2 runs (90 % interval: 1.00 s to 1.20 s)")
    assert prediction.assumptions[0] == "tool:search becomes slower, not faster: it takes 2 times as long."


def test_says_in_how_many_runs_all_findings_together_win() -> None:
    saving = Saving(median_s=1, low_s=1, high_s=1)
    combination = Combination(workflow="a", findings=2, runs=3, saving=saving, duration_s=4)

    said = all_together(combination, findings=2, runs=9)

    assert said == "all findings together: saves about 1.00 s of 4.00 s per run in 3 of 9 runs, 25 %"
