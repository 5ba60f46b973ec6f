import math
from random import Random

import pytest

from otel_wfperf.detectors.slow_phase import SlowPhase
from otel_wfperf.model import Confidence, Execution, Finding, Severity
from tests.detectors.builders import Run, population

PHASES = ("plan", "research", "analyse", "write", "review")


def team(
    number: int,
    *,
    slow: float = 1.0,
    slow_phase: str = "write",
    tokens_out: int = 35,
    calls: int = 3,
    cold: float = 1.0,
    host: str = "host-1",
) -> Execution:
    """Five phases of a few model calls each; those of one phase take ``slow`` times as long."""
    run, random, at_ms = Run(number, host=host), Random(number), 0.0
    for name in PHASES:
        start_ms = at_ms
        phase = run.phase(name, start_ms, 0)
        for _ in range(calls):
            out = tokens_out if name == slow_phase else 20 + random.randrange(30)
            factor = math.exp(random.gauss(0, 0.3)) * (slow if name == slow_phase else 1.0)
            duration_ms = (250 + 12 * out) * factor * (cold if at_ms == 0 else 1.0)
            run.llm(at_ms, duration_ms, parent=phase, tokens=(400, out))
            at_ms += duration_ms + 2
        run.resize(phase, at_ms - start_ms)
        at_ms += 3
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(SlowPhase().detect(population(*executions)))


def test_names_the_phase_whose_model_calls_are_slow_in_few_runs() -> None:
    [finding] = found(*(team(number, slow=5) for number in range(4)))

    assert (finding.subject.kind.value, finding.subject.name) == ("phase", "write")
    assert finding.severity is Severity.CRITICAL
    assert finding.confidence is Confidence.OBSERVED
    assert finding.evidence["calls"] == 12
    assert finding.evidence["slow_ratio"] == pytest.approx(5, rel=0.25)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3 * 4 * 0.67, rel=0.25)


def test_finds_it_in_a_single_run_with_enough_other_calls() -> None:
    [finding] = found(team(1, slow=6, calls=6))

    assert finding.subject.name == "write"


def test_a_phase_twice_as_slow_is_within_what_prompts_explain() -> None:
    assert not found(*(team(number, slow=2.0) for number in range(4)))


def test_few_other_calls_in_three_runs_are_indicative_and_medium() -> None:
    [finding] = found(*(team(number, slow=5, calls=1) for number in range(3)))

    assert (finding.subject.name, finding.severity) == ("write", Severity.MEDIUM)
    assert finding.confidence is Confidence.INDICATIVE
    assert finding.evidence["compared_calls"] == 11
    assert not found(*(team(number, slow=5, calls=1) for number in range(2)))


def test_few_calls_must_all_be_slow() -> None:
    usual = [team(number, slow=5, calls=1) for number in range(4)]

    assert not found(*usual, team(4, slow=1, calls=1))


def test_the_nodes_of_an_agent_are_the_agent() -> None:
    def agents(number: int) -> Execution:
        run, random, at_ms = Run(number), Random(number), 0.0
        for name in PHASES:
            agent = run.agent(name, at_ms, 0)
            start_ms = at_ms
            for _ in range(3):
                duration_ms = 600 * math.exp(random.gauss(0, 0.2)) * (5 if name == "write" else 1)
                node = run.phase("model", at_ms, duration_ms, parent=agent)
                run.llm(at_ms, duration_ms, parent=node)
                at_ms += duration_ms + 2
            run.resize(agent, at_ms - start_ms)
        return run.build()

    [finding] = found(*(agents(number) for number in range(3)))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "write")


def test_nineteen_other_calls_are_too_few_in_one_run() -> None:
    def short(number: int, count: int) -> Execution:
        run, at_ms = Run(number), 0.0
        for name, calls in [("warm", 1), ("plan", count), ("write", 3)]:
            phase = run.phase(name, at_ms, calls * 1000 * (5 if name == "write" else 1))
            for _ in range(calls):
                duration_ms = 990 * (5 if name == "write" else 1)
                run.llm(at_ms, duration_ms, parent=phase)
                at_ms += duration_ms + 10
        return run.build()

    assert not found(short(0, 19))
    assert [finding.subject.name for finding in found(short(0, 20))] == ["write"]


def test_long_answers_are_not_slow() -> None:
    assert not found(*(team(number, tokens_out=90) for number in range(4)))
    assert not found(*(team(number, tokens_out=900) for number in range(4)))


def test_answers_far_longer_than_any_other_cannot_be_judged() -> None:
    assert not found(*(team(number, slow=5, tokens_out=900) for number in range(4)))


def test_the_cold_first_call_of_a_process_is_not_a_slow_phase() -> None:
    assert not found(*(team(number, calls=1, cold=20 if number == 0 else 1) for number in range(6)))


def test_the_cold_first_call_of_each_of_many_processes_is_not_a_slow_phase() -> None:
    assert not found(*(team(number, calls=1, cold=20, host=f"process-{number}") for number in range(8)))


def tools(*, slow: int, total: int = 40, factor: float = 8.0, kind: str = "tool") -> list[Execution]:
    """Runs of one tool call each, the last of which are slow."""
    executions, random = [], Random(3)
    for number in range(total):
        run = Run(number)
        duration_ms = 400 * math.exp(random.gauss(0, 0.2)) * (factor if number >= total - slow else 1)
        phase = run.phase("search", 0, duration_ms + 10)
        if kind == "tool":
            run.tool("search_web", 0, duration_ms, parent=phase)
        executions.append(run.build())
    return executions


def test_names_a_tool_that_is_slow_at_times_not_the_phase_around_it() -> None:
    [finding] = found(*tools(slow=4))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "search_web")
    assert finding.evidence["calls"] == 4
    assert finding.evidence["expected_s"] == pytest.approx(0.4, rel=0.1)
    assert finding.evidence["runs_affected"] == 4


def test_names_a_phase_whose_own_code_is_slow_at_times() -> None:
    [finding] = found(*tools(slow=4, kind="none"))

    assert (finding.subject.kind.value, finding.subject.name) == ("phase", "search")


def test_two_slow_calls_are_chance() -> None:
    assert not found(*tools(slow=2))


def test_calls_that_merely_vary_are_not_slow() -> None:
    assert not found(*tools(slow=4, factor=1.9))


def test_nineteen_calls_do_not_tell_what_is_usual() -> None:
    assert not found(*tools(slow=4, total=19))
    assert found(*tools(slow=4, total=20))


def test_a_tool_that_is_slow_for_larger_inputs_is_judged_among_its_like() -> None:
    executions = []
    for number in range(40):
        run = Run(number)
        large = number % 4 == 0
        run.tool("parse", 0, 5000 if large else 400, input_bytes=900_000 if large else 2_000)
        executions.append(run.build())

    assert not found(*executions)
