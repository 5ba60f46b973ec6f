"""Runs of several traces while they arrive."""

import random
from collections.abc import Iterable

import pytest

from otel_wfperf.assembly import Assembler, AssemblySettings, assemble
from otel_wfperf.model import Execution, Link, Operation, OperationKind
from tests.assembly.operations import START_NS, op
from tests.assembly.test_stitching import TEAM, sent, taken, team, to, trace, woken

LLM, TOOL, WORKFLOW = OperationKind.LLM, OperationKind.TOOL, OperationKind.WORKFLOW
S = 1_000_000_000
SETTINGS = AssemblySettings()


def gathered(operations: Iterable[Operation], *, settings: AssemblySettings = SETTINGS) -> Assembler:
    assembler = Assembler(settings)
    assembler.add(operations, now_ns=0)
    return assembler


def known(executions: Iterable[Execution]) -> list[tuple[tuple[str, ...], int]]:
    """List the traces and the version of each execution."""
    return [(execution.trace_ids, execution.version) for execution in executions]


@pytest.mark.parametrize("seed", range(20))
def test_fragments_in_any_order_are_handed_out_as_one_run(seed: int) -> None:
    operations = team()
    expected = assemble(operations)
    random.Random(seed).shuffle(operations)
    assembler = Assembler()
    for operation in operations:
        assembler.add([operation], now_ns=0)

    assert assembler.due(now_ns=S) == []
    assert assembler.due(now_ns=2 * S) == expected
    assert assembler.open() == ()
    assert assembler.due(now_ns=3 * S) == []


def test_waits_for_an_agent_that_works_for_minutes() -> None:
    """All traces so far are complete, but nobody has linked to the last message yet."""
    assembler = gathered([sent(1, "s1", None, 0), *woken(2, "planner", (2, 100), to(1, "s1"))])

    assert assembler.due(now_ns=300 * S) == []
    assembler.add(woken(3, "writer", (101, 400_000), to(2, "s2"))[:-1], now_ns=400 * S)
    assert assembler.due(now_ns=401 * S) == []
    [run] = assembler.due(now_ns=402 * S)
    assert run.trace_ids == (trace(1), trace(2), trace(3))


def test_gives_up_a_message_that_nobody_gets() -> None:
    assembler = gathered([sent(1, "s1", None, 0), *woken(2, "planner", (2, 100), to(1, "s1"))])

    assert known(assembler.due(now_ns=600 * S)) == [((trace(1), trace(2)), 1)]


def test_a_fragment_that_comes_late_gives_the_run_another_version() -> None:
    assembler = gathered([op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1))])
    [first] = assembler.due(now_ns=2 * S)
    assembler.add([op("t", None, 100, 800, kind=TOOL, links=to(1, "w"), trace_id=trace(2))], now_ns=3 * S)

    [second] = assembler.due(now_ns=5 * S)
    assert known([first, second]) == [((trace(1),), 1), ((trace(1), trace(2)), 2)]
    assembler.add([op("x", "t", 200, 300, trace_id=trace(2))], now_ns=6 * S)
    [third] = assembler.due(now_ns=8 * S)
    assert (known([third]), len(third.operations)) == ([((trace(1), trace(2)), 3)], 3)


def test_a_run_keeps_its_name_when_an_earlier_part_comes_later() -> None:
    assembler = gathered(woken(3, "writer", (101, 400), to(2, "s2"))[:-1])
    [first] = assembler.due(now_ns=2 * S)
    assembler.add([*woken(2, "planner", (2, 100), to(1, "s1")), taken(4, to(3, "s3"))], now_ns=3 * S)

    [second] = assembler.due(now_ns=5 * S)
    assert (first.trace_id, second.trace_id, second.version) == (trace(3), trace(3), 2)
    assert second.trace_ids == (trace(3), trace(2), trace(4))


def test_late_spans_of_any_of_its_traces_open_a_run_again_and_too_late_ones_are_counted() -> None:
    assembler = gathered(team())
    assembler.due(now_ns=2 * S)
    assembler.add([op("late", "a4", 110, 120, trace_id=trace(4))], now_ns=10 * S)

    [again] = assembler.due(now_ns=12 * S)
    assert (again.trace_id, again.version, again.by_id["late"].parent_id) == (trace(1), 2, "a4")
    assembler.due(now_ns=72 * S)
    assembler.add([op("later", f"a{n}", 110, 120, trace_id=trace(n)) for n in range(1, 8)], now_ns=73 * S)
    assert assembler.open() == ()
    assert assembler.dropped == {"too_late": 7}


def test_calls_wait_for_the_run_of_their_conversation() -> None:
    assembler = gathered([op("c", None, 20, 480, kind=LLM, conversation="t", trace_id=trace(1))])

    assert assembler.due(now_ns=9 * S) == []
    assembler.add([op("w", None, 0, 1000, kind=WORKFLOW, conversation="t", trace_id=trace(9))], now_ns=9 * S)
    assert known(assembler.due(now_ns=11 * S)) == [((trace(9), trace(1)), 1)]


def test_calls_wait_for_a_run_that_has_begun_as_long_as_it_takes() -> None:
    assembler = gathered(
        [
            op("c", None, 2000, 2480, kind=LLM, conversation="t", trace_id=trace(1)),
            op("d", "w", 10, 20, kind=LLM, conversation="t", trace_id=trace(9)),
        ]
    )

    assert assembler.due(now_ns=500 * S) == []
    assembler.add([op("w", None, 0, 500_000, kind=WORKFLOW, trace_id=trace(9))], now_ns=500 * S)
    assert known(assembler.due(now_ns=502 * S)) == [((trace(9), trace(1)), 1)]


def test_calls_without_a_run_are_handed_out_when_no_other_process_can_send_one() -> None:
    assembler = gathered([op("c", None, 20, 480, kind=LLM, conversation="t", trace_id=trace(1))])

    assert assembler.due(now_ns=9 * S) == []
    assert known(assembler.due(now_ns=10 * S)) == [((trace(1),), 1)]


def test_a_call_that_nothing_ties_to_others_does_not_wait() -> None:
    assembler = gathered([op("c", None, 20, 480, kind=LLM, trace_id=trace(1))])

    assert len(assembler.due(now_ns=2 * S)) == 1


def test_a_turn_of_a_session_is_handed_out_while_the_next_one_runs() -> None:
    assembler = gathered([op("w1", None, 0, 900, kind=WORKFLOW, conversation="t", trace_id=trace(1))])
    assembler.add([op("c2", "w2", 1000, 1100, kind=LLM, conversation="t", trace_id=trace(2))], now_ns=2 * S)

    assert known(assembler.due(now_ns=2 * S)) == [((trace(1),), 1)]
    assert [each.trace_id for each in assembler.open()] == [trace(2)]


def test_lists_each_trace_that_is_open() -> None:
    """Whoever keeps the spans needs all of them until the run is complete."""
    assembler = gathered([sent(1, "s1", None, 0), *woken(2, "planner", (2, 100), to(1, "s1"))])

    assert {each.trace_id for each in assembler.open()} == {trace(1), trace(2)}


def test_setting_up_is_counted_and_handed_out_never() -> None:
    assembler = gathered([op("s", None, 0, 1, setup=True, trace_id=trace(n), span_kind=0) for n in (1, 2)])

    assert assembler.due(now_ns=2 * S) == []
    assert assembler.dropped == {"setup_only": 2}
    assembler.add([op("s", None, 0, 1, setup=True, trace_id=trace(3))], now_ns=3 * S)
    assert assembler.flush() == []
    assert assembler.open() == ()
    assert assembler.dropped == {"setup_only": 3}


def test_what_makes_room_takes_its_run_along() -> None:
    settings = AssemblySettings(max_open_spans=20, max_trace_spans=20)
    assembler = gathered(team(), settings=settings)
    assembler.add([op(f"x{n}", "x", n, None, trace_id=trace(70)) for n in range(10)], now_ns=S)

    assert known(assembler.due(now_ns=S)) == [(TEAM, 1)]
    assert assembler.dropped == {"evicted": 1}
    assert [each.trace_id for each in assembler.open()] == [trace(70)]


def test_a_run_takes_no_more_than_fits_into_it() -> None:
    settings = AssemblySettings(max_open_spans=100, max_trace_spans=9)

    runs = gathered(team(), settings=settings).flush()

    assert [len(run.trace_ids) for run in runs] == [3, 1, 1, 1, 1]


def test_forgets_what_tied_traces_together() -> None:
    assembler = Assembler()
    for number in range(1, 500):
        second = number * 100
        links = (Link(trace_id=trace(number + 10_000), span_id="x"),)
        call = op(f"c{number}", None, second, second + 1, kind=LLM, conversation=f"t{number}", links=links,
                  trace_id=trace(number))  # fmt: skip
        assembler.add([call], now_ns=second * S)
        assembler.due(now_ns=(second + 50) * S)
    assembler.due(now_ns=100_000 * S)

    assert assembler._ties.naming == {}
    assert assembler._homes == {}


def test_a_run_takes_the_place_of_its_calls_that_were_handed_out_apart() -> None:
    """Its own span, which alone names the conversation, ends long after the first calls."""
    calls = [
        op(f"c{n}", None, n * 15_000, n * 15_000 + 5000, kind=LLM, conversation="t", trace_id=trace(n))
        for n in range(1, 4)
    ]
    root = op("w", None, 0, 55_000, kind=WORKFLOW, conversation="t", trace_id=trace(9))
    assembler = Assembler()
    for n, call in enumerate(calls, 1):
        assembler.add([call], now_ns=n * 15 * S)
        assert known(assembler.due(now_ns=(n * 15 + 10) * S)) == [((trace(n),), 1)]
    assembler.add([root], now_ns=56 * S)

    [run], [offline] = assembler.due(now_ns=58 * S), assemble([*calls, root])
    assert known([run]) == [((trace(1), trace(9), trace(2), trace(3)), 2)]
    assert (run.operations, run.workflow, run.root_id) == (offline.operations, offline.workflow, "w")
    assembler.add([op("late", "c3", 46_000, 47_000, trace_id=trace(3))], now_ns=60 * S)
    assert [len(each.operations) for each in assembler.due(now_ns=62 * S)] == [5]
    assembler.due(now_ns=200 * S)
    assert (assembler._spans, assembler._homes, assembler._ties.naming) == (0, {}, {})


def test_one_that_was_handed_out_and_has_no_room_is_not_handed_out_again() -> None:
    settings = AssemblySettings(max_open_spans=100, max_trace_spans=2)
    assembler = Assembler(settings)
    for n in (1, 2):
        call = op(f"c{n}", None, n * 15_000, n * 15_000 + 5000, kind=LLM, conversation="t", trace_id=trace(n))
        assembler.add([call], now_ns=n * 15 * S)
        assembler.due(now_ns=(n * 15 + 10) * S)
    assembler.add([op("w", None, 0, 55_000, kind=WORKFLOW, conversation="t", trace_id=trace(9))], now_ns=56 * S)

    assert known(assembler.due(now_ns=58 * S)) == [((trace(1), trace(9)), 2)]
    assert assembler.flush() == []


def test_a_run_whose_process_says_that_it_goes_on_is_not_given_up() -> None:
    """Waiting for a person: nothing ends for hours."""
    assembler = gathered([op("a", "w", 1, 2, conversation="t", trace_id=trace(1))])
    for minute in range(1, 120):
        assembler.keep_alive([trace(1), trace(2)], now_ns=minute * 60 * S)
        assert assembler.due(now_ns=minute * 60 * S) == []
    assert [each.trace_id for each in assembler.open()] == [trace(1)]

    assert len(assembler.due(now_ns=(119 * 60 + 600) * S)) == 1
    assert assembler.dropped == {"overdue": 1}


def test_such_words_hold_up_nothing_that_is_complete_and_last_for_so_long_only() -> None:
    assembler = gathered(
        [op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1)), op("x", "y", 0, 1, trace_id=trace(2))]
    )
    for second in range(0, 6 * 3600, 10):
        assembler.keep_alive([trace(1), trace(2)], now_ns=second * S)
        assert [each.trace_id for each in assembler.due(now_ns=second * S)] == ([trace(1)] if second == 10 else [])

    assert [each.trace_id for each in assembler.due(now_ns=6 * 3600 * S)] == [trace(2)]


def test_makes_room_in_one_go_where_everything_is_tied_together() -> None:
    settings = AssemblySettings(max_open_spans=1000, max_trace_spans=1000)
    assembler = Assembler(settings)
    for number in range(1001):
        run = op(f"w{number}", None, number, None, kind=WORKFLOW, conversation="default", trace_id=trace(number))
        assembler.add([run], now_ns=number)

    evicted = assembler.due(now_ns=1001)
    assert [each.trace_id for each in evicted] == [trace(number) for number in range(51)]
    assert assembler.dropped["evicted"] == 51


def test_what_was_told_to_be_forgotten_takes_in_no_more() -> None:
    assembler = gathered([op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1))])
    assembler.due(now_ns=2 * S)
    assembler.forget([trace(1), trace(2)])
    assembler.add([op("late", "w", 1, 2, trace_id=trace(1))], now_ns=3 * S)

    assert assembler.flush() == []
    assert assembler.dropped == {"too_late": 1}


def test_what_a_run_has_taken_in_draws_nothing_else_into_it() -> None:
    """Neither its later end nor its conversation is that of the run."""
    operations = [
        op("w", None, 0, 1000, kind=WORKFLOW, conversation="a", trace_id=trace(1)),
        op("t", None, 500, 20_000, kind=TOOL, conversation="b", links=to(1, "w"), trace_id=trace(2)),
        op("c", None, 19_000, 21_000, kind=LLM, conversation="a", trace_id=trace(3)),
        op("d", None, 600, 22_000, kind=LLM, conversation="b", trace_id=trace(4)),
    ]
    assembler = Assembler()
    handed_out = []
    for second in range(60):
        assembler.add([each for each in operations if each.end_ns == START_NS + second * S], now_ns=second * S)
        handed_out += assembler.due(now_ns=second * S)

    expected = [(trace(1), trace(2)), (trace(3),), (trace(4),)]
    assert [each.trace_ids for each in handed_out] == [(trace(1),), *expected]
    assert [each.trace_ids for each in assemble(operations)] == [expected[0], expected[2], expected[1]]
