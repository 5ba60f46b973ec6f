"""That the benchmark is what it says; how right the detectors are is its result, and no matter of a test."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.dialects import DIALECTS
from benchmarks.accuracy.judging import Ratio, judge_case, sort_out
from benchmarks.accuracy.recording import executions_of
from benchmarks.accuracy.running import Case, record
from benchmarks.accuracy.scenario import Kind, Scenario
from benchmarks.accuracy.scenarios import DETECTORS_TRIED, SCENARIOS
from benchmarks.accuracy.seeds import JUDGING, TUNING, case_of, cases, seeds_of
from benchmarks.accuracy.world import World
from otel_wfperf.detectors import DETECTORS
from otel_wfperf.instrumentation import call, spans

BY_NAME = {each.name: each for each in SCENARIOS}


def durations_s(case: Case, *, repaired: bool = False) -> list[float]:
    return [each.duration_ns / 1e9 for each in executions_of(record(case, repaired=repaired).spans)]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
def test_every_detector_has_positives_near_misses_and_look_alikes(detector: object) -> None:
    name = getattr(detector, "name", "")
    kinds = Counter(each.kind for each in SCENARIOS if each.detector == name)

    assert kinds[Kind.POSITIVE] >= 3
    assert kinds[Kind.NEAR_MISS] >= 1
    assert kinds[Kind.LOOK_ALIKE] >= 1


def test_names_are_unique_and_detectors_exist() -> None:
    assert len(BY_NAME) == len(SCENARIOS)
    assert {*DETECTORS_TRIED} <= {each.name for each in DETECTORS}


def test_healthy_workflows_have_many_shapes_and_500_executions() -> None:
    healthy = [each for each in SCENARIOS if each.kind is Kind.HEALTHY]

    assert len(healthy) >= 12
    assert sum(case.runs for case in cases(healthy, JUDGING)) >= 500


def test_seeds_for_tuning_and_judging_have_nothing_in_common() -> None:
    used = [{case.seed for case in cases(SCENARIOS, seeds)} for seeds in (TUNING, JUDGING)]

    assert used[0].isdisjoint(used[1])
    assert TUNING.named(8) == "tuning seeds 10000 to 10007"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.name)
def test_each_dialect_tells_of_the_same_calls(dialect: object) -> None:
    [write] = [each for each in DIALECTS if each is dialect]
    recorded = record(case_of(BY_NAME["healthy agent with tools"], TUNING, 1))
    ours, theirs = executions_of(recorded.spans), executions_of(write.write(recorded))

    def calls(executions: object) -> list[tuple[str, str, int, int]]:
        return [
            (each.kind.value, each.name, each.start_ns, each.end_ns)
            for execution in executions  # type: ignore[attr-defined]
            for each in execution.operations
            if each.kind.value in ("llm", "tool", "agent")
        ]

    assert calls(theirs) == calls(ours)
    assert {each.workflow for each in theirs} == {each.workflow for each in ours}


def test_the_same_seed_gives_the_same_spans_and_another_one_does_not() -> None:
    scenario = BY_NAME["healthy fan out"]

    assert durations_s(case_of(scenario, TUNING, 1)) == durations_s(case_of(scenario, TUNING, 1))
    assert durations_s(case_of(scenario, TUNING, 1)) != durations_s(Case(scenario, 4, 3))


def test_the_repair_keeps_the_service_times() -> None:
    case = case_of(BY_NAME["repeated_call rates in all runs"], TUNING, 0)
    before, after = durations_s(case), durations_s(case, repaired=True)

    assert after[0] == pytest.approx(before[0], abs=0.02)
    assert all(earlier - later > 1 for earlier, later in zip(before[1:], after[1:], strict=True))


def test_the_clock_of_the_instrumentation_is_given_back() -> None:
    before = vars(call)["time"], vars(spans)["time_ns"]
    record(case_of(BY_NAME["healthy chain"], TUNING, 0))

    assert (vars(call)["time"], vars(spans)["time_ns"]) == before


def test_a_workflow_that_waits_for_nobody_is_no_endless_run() -> None:
    async def stuck(w: World) -> None:
        async with w.slot("lock", 1), w.slot("lock", 1):
            pass

    scenario = Scenario(name="stuck", detector=None, kind=Kind.HEALTHY, run=stuck)

    with pytest.raises(RuntimeError, match="waits for something that nobody will do"):
        record(Case(scenario, 1, 1))


def test_a_positive_needs_a_subject() -> None:
    with pytest.raises(ValueError, match="needs its detector and the subjects"):
        Scenario(name="x", detector="loop", kind=Kind.POSITIVE, run=BY_NAME["healthy chain"].run)


def test_a_finding_about_something_else_is_false_and_the_fault_is_missed() -> None:
    scenario = BY_NAME["repeated_call glossary x5"]
    [verdict] = judge_case(case_of(scenario, TUNING, 1), DIALECTS[:1])
    elsewhere = Scenario(
        name="other", detector="repeated_call", kind=Kind.POSITIVE, run=scenario.run, subjects=(("tool", "other"),)
    )
    right, false = sort_out(elsewhere, verdict.right)

    assert verdict.right
    assert verdict.prediction is not None
    assert right == ()
    assert false == verdict.right


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    low, high = Ratio(19, 20).interval

    assert (low, high) == pytest.approx((0.7639, 0.9911), abs=1e-4)
    assert Ratio(0, 0).value is None


def test_a_quick_run_counts_everything(capsys: pytest.CaptureFixture[str]) -> None:
    names = [part for name in ("repeated_call", "loop") for part in ("--only", name)]

    assert main(["--quick", "--seeds", "tuning", "--format", "json", *names]) == 0

    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["seeds"] == "tuning seeds 10000 to 10000"
    assert found["cases"] == sum(each.detector in ("repeated_call", "loop") for each in SCENARIOS)
    assert {each["dialect"] for each in found["dialects"]} <= {each.name for each in DIALECTS[1:]}
    assert "populations of" in told.err


def test_the_page_names_the_seeds_and_lists_what_was_planted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--quick", "--seeds", "tuning", "--only", "repeated_call", "--write", str(tmp_path / "page.md")])

    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "tuning seeds 10000 to 10000" in capsys.readouterr().out
    assert page.startswith("# How right the findings are")
    assert "| repeated_call glossary x5 | 1.7 times the count |" in page


def test_cases_that_judge_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seeds", "judging", "--explain", "healthy chain"])

    assert "--explain shows cases of tuning seeds only" in capsys.readouterr().err


def test_one_case_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--explain", "repeated_call glossary x5", "--seed", "1"])

    assert "To be found: repeated_call of tool:load_glossary; found" in capsys.readouterr().out


def test_a_name_that_is_not_known_is_answered_with_one_that_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--explain", "healthy chian"])

    assert "did you mean 'healthy chain'?" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "python -m benchmarks.accuracy --quick" in capsys.readouterr().out


def test_large_populations_have_fewer_seeds() -> None:
    assert seeds_of(BY_NAME["latency_trend no change"]) == 4
    assert seeds_of(BY_NAME["retry_storm 1 failure in 1 run"]) == 8
