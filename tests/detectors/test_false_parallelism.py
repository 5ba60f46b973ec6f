from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from otel_wfperf.detectors.false_parallelism import FalseParallelism
from otel_wfperf.detectors.missed_parallelism import MissedParallelism
from otel_wfperf.model import Confidence, Execution, Finding, ResourceUse, Severity
from tests.detectors.builders import Run, population
from tests.detectors.fan_out_simulation import Simulation, Spans, Work, drawn_work


def found(*executions: Execution) -> list[Finding]:
    return list(FalseParallelism().detect(population(*executions)))


def works(*lengths_ms: float) -> tuple[Work, ...]:
    return tuple(Work(f"worker_{at}", ((2.0, length_ms),)) for at, length_ms in enumerate(lengths_ms))


def many(simulation: Simulation, count: int = 5) -> Iterable[Execution]:
    return [simulation.build(number) for number in range(count)]


def test_says_what_happens_what_it_costs_and_what_to_do() -> None:
    [finding] = found(*many(Simulation(works(1000, 1200, 900), places=1)))

    assert (finding.subject.kind.value, finding.subject.name) == ("phase", "worker_0, worker_1, worker_2")
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.OBSERVED)
    assert finding.summary == (
        "3 branches (worker_0, worker_1, worker_2) are started together but work one at a time: 3.1 s in all, the "
        "longest works 1.2 s"
    )
    assert finding.recommendation == (
        "Find what worker_0, worker_1, worker_2 wait for and remove it: a lock, a single client or session, a limit of "
        "one, or a call that blocks the event loop."
    )
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.9, abs=0.01)
    assert set(finding.changes) == set(finding.trace_ids)
    assert finding.evidence == {
        "parent": "gather",
        "places": ("gather",),
        "members": ("worker_0", "worker_1", "worker_2"),
        "branches": 3,
        "effective_parallelism": 1.0,
        "group_s": 3.102,
        "longest_branch_s": 1.2,
        "scheduling": ("overlap",),
        "cause": "unknown",
        "runs": 5,
        "runs_affected": 5,
    }


@pytest.mark.parametrize("branches", [3, 5, 8, 20])
@pytest.mark.parametrize("spread", [0.4, 0.7])
def test_finds_groups_of_any_width_and_usual_spread(branches: int, spread: float) -> None:
    runs = [
        Simulation(drawn_work(Random(f"{number}"), branches, spread=spread), places=1).build(number)
        for number in range(5)
    ]

    assert len(found(*runs)) == 1


@pytest.mark.parametrize("branches", [2, 3, 5, 20])
@pytest.mark.parametrize("places", [2, 20])
def test_branches_that_run_at_once_are_left_alone(branches: int, places: int) -> None:
    runs = [
        Simulation(
            drawn_work(Random(f"{number}/{branches}"), branches, spread=1.0, calls=2), places, each_call=True
        ).build(number)
        for number in range(6)
    ]

    assert not found(*runs)


def test_two_branches_take_five_runs() -> None:
    pair = Simulation(works(1000, 1100), places=1)

    assert found(*many(pair, 5))
    assert not found(*many(pair, 4))


def test_overlap_in_few_runs_is_assumed_and_medium_at_most() -> None:
    [finding] = found(Simulation(works(3000, 3500, 2500), places=1).build())

    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.ASSUMED)


@pytest.mark.parametrize("fields", [{"parallel_group": "g"}, {"step": 2}])
def test_a_declared_group_is_proof_even_where_spans_follow_each_other(fields: dict[str, Any]) -> None:
    execution = Simulation(works(1000, 1200, 900), places=1, spans=Spans.LATE, fields=fields).build()

    [finding] = found(execution)

    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.PROVEN)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.9, abs=0.02)


def test_a_pipeline_is_never_called_parallel() -> None:
    runs = many(Simulation(works(1000, 1200, 900, 1100), places=1, spans=Spans.LATE), 8)

    assert not found(*runs)


def test_what_missed_parallelism_finds_is_no_false_parallelism() -> None:
    fields = {"depends_on": ("plan",)}
    runs = list(many(Simulation(works(1000, 1200, 900), places=1, spans=Spans.LATE, fields=fields), 5))

    assert not found(*runs)
    assert list(MissedParallelism().detect(population(*runs)))


def test_one_branch_that_does_most_of_the_work_is_no_lock() -> None:
    assert found(*many(Simulation(works(3000, 450, 450), places=1)))
    assert not found(*many(Simulation(works(3000, 370, 370), places=1)))


def test_work_that_is_not_seen_proves_nothing() -> None:
    runs = []
    for number in range(6):
        run = Run(number)
        for at in range(3):
            phase = run.phase(f"worker_{at}", 0, 3000)
            run.llm(1000 * at, 700, parent=phase)
        runs.append(run.build())

    assert not found(*runs)


def test_long_times_that_come_out_one_at_a_time_by_chance_are_left_alone() -> None:
    serial = Simulation(works(1000, 1200, 900), places=1)
    parallel = Simulation(works(1000, 1200, 900), places=3)

    assert found(*(serial.build(number) for number in range(3)), *(parallel.build(number) for number in range(3, 6)))
    assert not found(
        *(serial.build(number) for number in range(3)), *(parallel.build(number) for number in range(3, 7))
    )


def passing_on(number: int, **fields: Any) -> Execution:
    """Three branches under way at once, each given what the one before produced."""
    run = Run(number)
    for at in range(3):
        phase = run.phase(f"worker_{at}", 0, 1000 * (at + 1), **fields)
        run.llm(
            1000 * at,
            1000,
            parent=phase,
            input_fragments=frozenset({1, 10 + at}),
            output_fragments=frozenset({11 + at}),
        )
    return run.build()


def test_branches_that_were_given_each_others_results_wait_for_a_reason() -> None:
    assert not found(*(passing_on(number) for number in range(5)))


def test_a_declared_group_whose_branches_need_each_other_is_named_as_such() -> None:
    [finding] = found(passing_on(0, parallel_group="g"))

    assert finding.evidence["cause"] == "result of another branch"
    assert finding.severity is Severity.MEDIUM
    assert finding.recommendation == (
        "Give worker_0, worker_1, worker_2 what they need beforehand, or declare that they follow each other."
    )


def blocking(*, cpu_s: float, only: int | None = None) -> Execution:
    """Declared branches, of which all or one hold the event loop; the rest computes nothing."""
    run = Run()
    for at in range(3):
        blocked_s = 1.0 if only in (None, at) else 0.0
        use = ResourceUse(loop_blocked_s=blocked_s, cpu_time_s=cpu_s)
        run.tool(f"parse_{at}", 1000 * at, 1000, parallel_group="g", resources=use)
    return run.build()


def test_names_the_branches_that_hold_the_event_loop() -> None:
    [finding] = found(blocking(cpu_s=0.1))

    assert finding.evidence["cause"] == "blocked event loop"
    assert finding.evidence["blocked_by"] == ("parse_0", "parse_1", "parse_2")
    assert finding.evidence["blocked_s"] == 3.0
    assert finding.summary.endswith("; 'parse_0', 'parse_1', 'parse_2' hold the event loop")
    assert finding.recommendation == (
        "Move the blocking call of 'parse_0', 'parse_1', 'parse_2' to a thread (asyncio.to_thread), or use an "
        "asynchronous client."
    )


def test_one_branch_that_holds_the_event_loop_is_named_alone() -> None:
    [finding] = found(blocking(cpu_s=0.1, only=1))

    assert (finding.evidence["blocked_by"], finding.evidence["blocked_s"]) == (("parse_1",), 1.0)


def test_a_thread_is_no_advice_for_what_computes() -> None:
    [finding] = found(blocking(cpu_s=0.9))

    assert finding.evidence["blocked_computing_s"] == 2.7
    assert "a process pool" in finding.recommendation


@pytest.mark.parametrize(
    ("kind", "fields", "severity"),
    [
        ("lock", {}, Severity.CRITICAL),
        ("queue", {}, Severity.CRITICAL),
        ("concurrency", {}, Severity.CRITICAL),
        ("concurrency", {"concurrency_limit": 1}, Severity.INFO),
        ("rate_limit", {}, Severity.INFO),
    ],
)
def test_recorded_waits_name_the_cause_and_a_chosen_limit_is_for_information(
    kind: str, fields: dict[str, Any], severity: Severity
) -> None:
    simulation = Simulation(works(1000, 1200, 900), places=1, waits=kind, wait_fields=fields)

    [finding] = found(*many(simulation))

    assert finding.severity is severity
    assert (finding.evidence["cause"], finding.evidence["waits"]) == (kind, 10)
    assert finding.evidence.get("concurrency_limit") == fields.get("concurrency_limit")
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.9, abs=0.02)


def test_a_pool_of_one_connection_is_named() -> None:
    run = Run()
    for at in range(3):
        tool = run.tool(f"tool_{at}", 0, 1000 * (at + 1), parallel_group="g")
        run.add_other("GET", 0, 1000 * (at + 1), parent=tool, connection_wait_s=float(at))

    [finding] = found(run.build())

    assert (finding.evidence["cause"], finding.evidence["wait_s"]) == ("connection", 3.0)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(2.0)


def test_people_who_decide_one_after_another_are_no_lock() -> None:
    runs = []
    for number in range(6):
        run = Run(number)
        for at in range(3):
            phase = run.phase(f"worker_{at}", 0, 10_000 * (at + 1))
            run.llm(0, 500, parent=phase)
            run.wait("human", 500, 10_000 * (at + 1) - 1000, parent=phase)
            run.llm(10_000 * (at + 1) - 500, 500, parent=phase)
        runs.append(run.build())

    assert not found(*runs)


def test_the_saving_is_that_of_calls_that_no_longer_hold_the_event_loop() -> None:
    run = Run()
    run.phase("plan", 0, 900)
    reached_ms = 900.0
    for at, parsing_ms in enumerate((1000.0, 1500.0, 1200.0)):
        use = ResourceUse(loop_blocked_s=parsing_ms / 1e3)
        phase = run.phase(f"parse_{at}", 900, reached_ms - 900 + 40 + parsing_ms, resources=use)
        run.tool("fetch_page", 900, reached_ms - 900 + 40, parent=phase)
        reached_ms += parsing_ms
    run.phase("write", reached_ms + 40, 800)

    [finding] = found(run.build())

    assert finding.evidence["cause"] == "blocked event loop"
    assert finding.saving is not None
    # One after another 3.7 s, side by side as long as the longest.
    assert finding.saving.median_s == pytest.approx(3.7 - 1.5, abs=0.05)
