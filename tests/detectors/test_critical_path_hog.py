import math
from random import Random

import pytest

from otel_wfperf.detectors.critical_path_hog import CriticalPathHog
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity, TokenUsage
from tests.detectors.builders import Run, population

NAMES = ("plan", "research", "outline", "review")


def pipeline(number: int, *, hog_ms: float, calls: int = 1, tool: str = "crunch") -> Execution:
    """Four phases of 1 s and ``outline``, which calls its tool for ``hog_ms`` in all."""
    run, at_ms = Run(number), 0.0
    for name in NAMES:
        duration_ms = hog_ms if name == "outline" else 1000
        phase = run.phase(name, at_ms, duration_ms)
        count = calls if name == "outline" else 1
        for call in range(count):
            run.tool(tool, at_ms + call * duration_ms / count, duration_ms / count, parent=phase)
        at_ms += duration_ms
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(CriticalPathHog().detect(population(*executions)))


def test_reports_a_phase_out_of_proportion_with_what_halving_it_saves() -> None:
    [finding] = found(*(pipeline(number, hog_ms=6000) for number in range(6)))

    assert finding.subject.name == "outline"
    assert finding.severity is Severity.CRITICAL
    assert finding.confidence is Confidence.OBSERVED
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3.0)
    assert finding.evidence["critical_path_share_ratio"] == pytest.approx(2 / 3, abs=1e-3)
    assert (
        finding.summary == "'outline' holds 67 % of the critical path, 6.0 times as much as the other phases on average"
    )


def test_leaves_a_phase_just_under_the_disproportion_alone() -> None:
    assert found(*(pipeline(number, hog_ms=2510) for number in range(6)))
    assert not found(*(pipeline(number, hog_ms=2490) for number in range(6)))


def test_few_runs_are_indicative_and_medium_at_most() -> None:
    [finding] = found(*(pipeline(number, hog_ms=6000) for number in range(4)))

    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.INDICATIVE)
    assert not found(*(pipeline(number, hog_ms=3900) for number in range(4)))


def test_few_runs_need_not_all_be_as_clear_as_most() -> None:
    assert found(*(pipeline(number, hog_ms=hog_ms) for number, hog_ms in enumerate((6000, 3000, 5000))))
    assert not found(*(pipeline(number, hog_ms=hog_ms) for number, hog_ms in enumerate((6000, 2400, 5000))))


def test_long_model_calls_without_token_counts_may_be_long_answers() -> None:
    def report(number: int, *, counted: bool) -> Execution:
        run = Run(number)
        for at, (name, duration_ms) in enumerate([("plan", 900), ("search", 1000), ("grade", 1100), ("write", 6000)]):
            phase = run.phase(name, at * 1200, duration_ms)
            tokens = TokenUsage(input=100, output=40) if counted else None
            run.add(OperationKind.LLM, "m", at * 1200, duration_ms, parent=phase, model="m", tokens=tokens)
        return run.build()

    [unknown] = found(*(report(number, counted=False) for number in range(6)))
    [slow] = found(*(report(number, counted=True) for number in range(6)))

    assert (unknown.subject.name, unknown.severity) == ("write", Severity.LOW)
    assert slow.severity is Severity.CRITICAL


def test_a_model_is_no_hog_where_nothing_but_tools_and_models_is_known() -> None:
    def run_of(number: int) -> Execution:
        run = Run(number)
        run.llm(0, 6000)
        for at, name in enumerate(("search", "rank", "store")):
            run.tool(name, 6000 + at * 1000, 900)
        return run.build()

    assert not found(*(run_of(number) for number in range(6)))


def test_the_nodes_that_every_agent_is_made_of_belong_to_the_phase_of_the_agent() -> None:
    def team(number: int) -> Execution:
        run, at_ms = Run(number), 0.0
        for name, duration_ms in [("researcher", 800), ("coder", 6000), ("critic", 900), ("editor", 1000)]:
            phase = run.phase(name, at_ms, duration_ms)
            agent = run.agent(name, at_ms, duration_ms, parent=phase)
            run.tool("crunch", at_ms, duration_ms, parent=run.phase("tools", at_ms, duration_ms, parent=agent))
            at_ms += duration_ms + 5
        return run.build()

    [finding] = found(*(team(number) for number in range(6)))

    assert finding.subject.name == "coder"


def test_one_run_is_low_at_most() -> None:
    [finding] = found(pipeline(0, hog_ms=6000))

    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.INDICATIVE)


def test_has_to_hold_in_every_one_of_few_runs() -> None:
    usual = [pipeline(number, hog_ms=6000) for number in range(5)]

    assert not found(*usual, pipeline(5, hog_ms=1000))


@pytest.mark.parametrize(
    ("usual_ms", "odd_ms", "is_reported"),
    [(4000, 2100, True), (4000, 1900, False), (3100, 2100, True), (2900, 2100, False)],
    ids=["clear, one near", "clear, one far", "just clear", "not clear"],
)
def test_one_run_slightly_under_does_not_hide_a_clear_case(usual_ms: int, odd_ms: int, is_reported: bool) -> None:  # noqa: FBT001
    findings = found(*(pipeline(number, hog_ms=odd_ms if number == 2 else usual_ms) for number in range(5)))

    assert [each.evidence["runs_affected"] for each in findings] == ([4] if is_reported else [])


def test_two_runs_of_five_slightly_under_are_too_many() -> None:
    assert not found(*(pipeline(number, hog_ms=2400 if number < 2 else 6000) for number in range(5)))


def test_a_single_run_may_have_been_cold_in_its_first_phase() -> None:
    run = Run()
    for name, start_ms, duration_ms in [("plan", 0, 6000), ("write", 6000, 900), ("review", 6900, 900)]:
        run.phase(name, start_ms, duration_ms)

    assert not found(run.build())


def test_a_phase_that_only_makes_more_calls_is_mentioned_not_blamed() -> None:
    [finding] = found(*(pipeline(number, hog_ms=6000, calls=6) for number in range(6)))

    assert finding.severity is Severity.INFO
    assert finding.evidence["works_as_designed"] is True


def test_a_phase_that_only_writes_long_answers_is_mentioned_not_blamed() -> None:
    def report(number: int) -> Execution:
        run, at_ms, random = Run(number), 0.0, Random(number)
        for name, tokens_out in [("plan", 30), ("research", 60), ("write", 900), ("review", 45)]:
            duration_ms = (250 + 12 * tokens_out) * math.exp(random.gauss(0, 0.2))
            phase = run.phase(name, at_ms, duration_ms)
            run.llm(at_ms, duration_ms, parent=phase, tokens=(400, tokens_out))
            at_ms += duration_ms
        return run.build()

    [finding] = found(*(report(number) for number in range(6)))

    assert (finding.subject.name, finding.severity) == ("write", Severity.INFO)


def search_and_answer(number: int, *, rewrites: bool = False) -> Execution:
    run = Run(number)
    query = run.phase("retrieve", 0, 300)
    if rewrites:
        run.llm(0, 290, parent=query, tokens=(100, 20))
    else:
        run.tool("handbook", 0, 290, parent=query)
    run.tool("rerank", 300, 240, parent=run.phase("rerank", 300, 250))
    run.llm(550, 3800, parent=run.phase("answer", 550, 3800), tokens=(2500, 180))
    return run.build()


def test_the_only_phase_that_asks_a_model_is_the_work_itself() -> None:
    [finding] = found(*(search_and_answer(number) for number in range(6)))

    assert (finding.subject.name, finding.severity) == ("answer", Severity.INFO)
    assert not found(*(search_and_answer(number) for number in range(3)))


def test_a_model_phase_is_compared_with_another_one_that_asks_a_model() -> None:
    [finding] = found(*(search_and_answer(number, rewrites=True) for number in range(3)))

    assert (finding.subject.name, finding.severity) == ("answer", Severity.MEDIUM)


def test_a_wrapper_around_phases_is_never_the_subject() -> None:
    def wrapped(number: int) -> Execution:
        run = Run(number)
        wrapper = run.phase("all", 0, 9000)
        for at, name in enumerate(("plan", "research", "review")):
            run.phase(name, at * 3000, 2990, parent=wrapper)
        return run.build()

    assert not found(*(wrapped(number) for number in range(6)))


def test_time_of_a_phase_within_the_phase_is_not_its_own() -> None:
    def nested(number: int) -> Execution:
        run = Run(number)
        outer = run.phase("outline", 0, 8000)
        run.phase("research", 0, 7000, parent=outer)
        for at, name in enumerate(("plan", "review")):
            run.phase(name, 8000 + at * 1000, 1000)
        return run.build()

    [finding] = found(*(nested(number) for number in range(6)))

    assert finding.subject.name == "research"
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3.5)


def test_waiting_for_a_person_is_no_bottleneck() -> None:
    def with_approval(number: int) -> Execution:
        run = Run(number)
        for at, name in enumerate(("plan", "write", "publish")):
            run.phase(name, at * 1000, 1000)
        approval = run.phase("approval", 3000, 60_000)
        run.wait("human", 3000, 60_000, parent=approval)
        return run.build()

    assert not found(*(with_approval(number) for number in range(6)))


def test_agents_take_the_place_of_phases_where_there_are_none() -> None:
    def crew(number: int) -> Execution:
        run = Run(number)
        for name, start_ms, duration_ms in [("analyst", 0, 1000), ("coder", 1000, 8000), ("tester", 9000, 1000)]:
            agent = run.agent(name, start_ms, duration_ms)
            run.tool("work", start_ms, duration_ms, parent=agent)
        return run.build()

    [finding] = found(*(crew(number) for number in range(6)))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "coder")
