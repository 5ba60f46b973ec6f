from typing import Any

import pytest

from otel_wfperf.analysis.spells import difference, intersection, joined, levels
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.detectors.fan_out import FanOut, Scheduling
from otel_wfperf.detectors.rescheduling import with_capacity
from otel_wfperf.detectors.scheduled_together import fan_outs
from otel_wfperf.model import Execution, OperationKind, ResourceUse
from tests.detectors.builders import MS, Run, population
from tests.detectors.fan_out_simulation import Simulation, Spans, Work


def groups(execution: Execution) -> list[tuple[Scheduling, list[str]]]:
    return [(each.scheduling, [branch.name for branch in each.branches]) for each in found(execution)]


def found(execution: Execution) -> tuple[FanOut, ...]:
    return population(execution).once(fan_outs)[execution.trace_id]


def steps(*starts_and_ends: tuple[float, float], **fields: Any) -> Execution:
    run = Run()
    for at, (start_ms, end_ms) in enumerate(starts_and_ends):
        run.phase(f"step_{at}", start_ms, end_ms - start_ms, **fields)
    return run.build()


def test_spells_are_joined_cut_and_counted() -> None:
    assert joined([(5, 9), (1, 3), (2, 4), (4, 4)]) == ((1, 4), (5, 9))
    assert joined([(1, 3), (4, 6)], over_ns=1) == ((1, 6),)
    assert difference([(0, 10), (20, 30)], [(2, 3), (8, 22), (25, 26)]) == ((0, 2), (3, 8), (22, 25), (26, 30))
    assert intersection([(0, 10), (20, 30)], [(8, 22), (29, 40)]) == ((8, 10), (20, 22), (29, 30))
    assert list(levels([[(0, 4)], [(2, 6)], [(8, 9)]])) == [(1, 0, 2), (2, 2, 4), (1, 4, 6), (1, 8, 9)]


def test_branches_of_which_all_start_before_the_first_ends_belong_together() -> None:
    assert groups(steps((0, 900), (10, 700), (20, 1000))) == [(Scheduling.OVERLAP, ["step_0", "step_1", "step_2"])]


def test_steps_in_a_row_do_not() -> None:
    assert not groups(steps((0, 900), (900, 1700), (1705, 2600)))


def test_a_chain_beside_one_long_branch_is_no_group() -> None:
    assert not groups(steps((0, 3000), (10, 900), (905, 1800), (1805, 2900)))


def test_two_that_overlap_need_several_runs_to_mean_anything() -> None:
    runs = [steps((0, 900), (10, 700))]
    assert not groups(runs[0])

    several = [Run(number) for number in range(5)]
    for run in several:
        run.phase("a", 0, 900)
        run.phase("b", 10, 700)
    assert all(population(*(run.build() for run in several)).once(fan_outs).values())


@pytest.mark.parametrize("fields", [{"parallel_group": "research"}, {"step": 4}])
def test_a_declared_group_may_run_one_at_a_time(fields: dict[str, Any]) -> None:
    execution = steps((0, 900), (900, 1700), (1705, 2600), **fields)

    assert groups(execution) == [(Scheduling.GROUP, ["step_0", "step_1", "step_2"])]


def test_what_runs_inside_of_a_node_repeats_its_step_and_is_no_group() -> None:
    run = Run()
    node = run.phase("agent", 0, 3000, step=2)
    run.phase("model", 0, 1000, parent=node, step=2)
    run.phase("tools", 1001, 1000, parent=node, step=2)
    run.llm(2002, 900, parent=node, step=2)

    assert not groups(run.build())


def test_the_next_round_of_a_loop_is_another_group() -> None:
    execution = steps((0, 900), (10, 700), (1500, 2400), (1510, 2300), parallel_group="research")

    assert [names for _, names in groups(execution)] == [["step_0", "step_1"], ["step_2", "step_3"]]


def test_equal_dependencies_and_one_turn_are_groups_where_some_overlap() -> None:
    overlapping = ((0, 900), (10, 700), (700, 1600), (900, 1500))
    in_a_row = ((0, 900), (900, 1700), (1705, 2600))

    assert [scheduling for scheduling, _ in groups(steps(*overlapping, depends_on=("plan",)))] == [Scheduling.GRAPH]
    assert not groups(steps(*in_a_row, depends_on=("plan",)))
    assert [scheduling for scheduling, _ in groups(calls(*overlapping, turn="t"))] == [Scheduling.TURN]
    assert not groups(calls(*in_a_row, turn="t"))


def test_calls_of_one_name_are_a_group_where_some_overlap() -> None:
    execution = calls((0, 900), (10, 700), (705, 1600), (905, 1500))

    assert [scheduling for scheduling, _ in groups(execution)] == [Scheduling.NAMES]


def calls(*starts_and_ends: tuple[float, float], **fields: Any) -> Execution:
    run = Run()
    for start_ms, end_ms in starts_and_ends:
        run.tool("fetch", start_ms, end_ms - start_ms, **fields)
    return run.build()


def test_attempts_after_the_first_are_no_branches() -> None:
    run = Run()
    run.phase("a", 0, 400, error="Timeout", parallel_group="g")
    run.phase("b", 1, 1500, parallel_group="g")
    run.phase("c", 2, 1300, parallel_group="g")
    run.phase("a", 401, 1000, parallel_group="g")

    assert groups(run.build()) == [(Scheduling.GROUP, ["a", "b", "c"])]


def test_waits_beside_a_branch_tell_when_it_was_under_way() -> None:
    run = Run()
    for at, name in enumerate("abc"):
        if at:
            run.wait("concurrency", 1, 1000 * at - 2)
        run.tool(name, 1000 * at, 990)

    [fan_out] = found(run.build())

    assert (fan_out.scheduling, fan_out.overlaps, len(fan_out.waits)) == (Scheduling.OVERLAP, True, 2)
    assert fan_out.parallelism == pytest.approx(1)


def test_waits_and_pauses_are_not_busy_time() -> None:
    run = Run()
    for at in range(3):
        phase = run.phase(f"worker_{at}", 0, 3000)
        run.wait("lock", 0, 1000 * at, parent=phase)
        run.llm(1000 * at, 1000, parent=phase)

    [fan_out] = found(run.build())

    assert [branch.busy_ns // MS for branch in fan_out.branches] == [1000, 1000, 1000]
    assert (fan_out.parallelism, fan_out.peak, fan_out.overlaps) == (1.0, 1, True)


def test_a_call_is_busy_although_its_requests_are_recorded_too() -> None:
    run = Run()
    for at in range(3):
        tool = run.tool(f"tool_{at}", 0, 3000)
        run.add_other("GET", 1000 * at, 900, parent=tool)

    assert found(run.build())[0].parallelism == 3


def test_waiting_for_a_free_connection_is_not_busy_time() -> None:
    run = Run()
    for at in range(3):
        tool = run.tool(f"tool_{at}", 0, 1000 * (at + 1))
        run.add_other("GET", 0, 1000 * (at + 1), parent=tool, connection_wait_s=float(at))

    assert found(run.build())[0].parallelism == 1


def test_time_in_which_another_branch_held_the_event_loop_is_not_busy_time() -> None:
    run = Run()
    for at in range(3):
        phase = run.phase(f"worker_{at}", 0, 1000 * (at + 1), resources=ResourceUse(loop_blocked_s=1.0))
        run.tool("fetch", 0, 1000 * at + 10, parent=phase)

    [fan_out] = found(run.build())

    assert fan_out.parallelism == pytest.approx(1, abs=0.02)
    assert [branch.blocked_ns // MS for branch in fan_out.branches] == [1000, 1000, 1000]


@pytest.mark.parametrize("spans", Spans)
@pytest.mark.parametrize("waits", [None, "lock"])
@pytest.mark.parametrize(("now", "then"), [(1, 7), (2, 4), (3, 6)])
def test_a_replay_with_more_places_is_what_a_run_with_more_places_takes(
    spans: Spans, waits: str | None, now: int, then: int
) -> None:
    work = tuple(Work(f"w{at}", ((3.0, 700.0 + 190 * (at * 5 % 7)), (4.0, 300.0))) for at in range(7))
    fields = {"parallel_group": "g"}

    execution = Simulation(work, places=now, spans=spans, waits=waits, fields=fields).build()
    changed = Simulation(work, places=then, spans=spans, waits=waits, fields=fields).build()

    [fan_out] = found(execution)
    predicted = replay(execution, with_capacity(fan_out, now=now, then=then))
    assert predicted.duration_ns / MS == pytest.approx(changed.duration_ns / MS, abs=15)


@pytest.mark.parametrize(("now", "then"), [(1, 5), (2, 4)])
def test_a_place_for_each_call_is_replayed_as_such(now: int, then: int) -> None:
    work = tuple(Work(f"w{at}", ((3.0, 500.0 + 130 * at), (40.0, 900.0 - 90 * at))) for at in range(5))

    execution = Simulation(work, places=now, each_call=True).build()
    changed = Simulation(work, places=then, each_call=True).build()

    [fan_out] = found(execution)
    predicted = replay(execution, with_capacity(fan_out, now=now, then=then))
    assert predicted.duration_ns == pytest.approx(changed.duration_ns, rel=0.05)


def test_steps_that_did_not_end_or_are_made_up_are_left_out() -> None:
    run = Run()
    run.phase("a", 0, 900, ended=False)
    run.phase("b", 0, 900, synthetic=True)
    run.add(OperationKind.PHASE, "c", 0, 900)
    run.phase("d", 0, 900)
    run.phase("e", 0, 5)

    assert not groups(run.build())


def test_a_branch_ends_with_its_own_work_once_no_other_holds_the_event_loop() -> None:
    run = Run()
    for at in range(3):
        branch = run.phase(f"parse_{at}", 1000 * at, 6000 - 1000 * at, parallel_group="parse")
        for turn in range(2):
            use = ResourceUse(loop_blocked_s=1.0)
            run.tool("parse", 1000 * (at + 3 * turn), 1000, parent=branch, resources=use)
    execution = run.build()
    [fan_out] = found(execution)

    replayed = replay(execution, with_capacity(fan_out, now=1, then=3))

    assert replayed.saving_ns == 4000 * MS
