from collections.abc import Collection

import pytest

from otel_wfperf.assembly import Assembler, AssemblySettings
from otel_wfperf.assembly.assemble import assemble_trace
from otel_wfperf.model import Execution, ExecutionStatus, Operation
from tests.assembly.operations import op

S = 1_000_000_000
OTHER_TRACE = "e" * 32
SETTINGS = AssemblySettings()


def gathered(*operations: Operation, settings: AssemblySettings = SETTINGS) -> Assembler:
    assembler = Assembler(settings)
    assembler.add(operations, now_ns=0)
    return assembler


def test_hands_a_trace_out_once_its_root_ended_and_nothing_has_come_for_a_while() -> None:
    assembler = gathered(op("a", "r", 1, 2))
    assembler.add([op("r", None, 0, 9)], now_ns=S)

    assert assembler.due(now_ns=2 * S) == []
    [execution] = assembler.due(now_ns=3 * S)
    assert (len(execution.operations), execution.status, execution.version) == (2, ExecutionStatus.OK, 1)
    assert assembler.due(now_ns=4 * S) == []


def test_spans_that_keep_coming_hold_it_back() -> None:
    assembler = gathered(op("r", None, 0, 9))
    for second in range(1, 5):
        assembler.add([op(f"s{second}", "r", second, second + 1)], now_ns=second * S)
        assert assembler.due(now_ns=second * S + S) == []

    [execution] = assembler.due(now_ns=6 * S)
    assert len(execution.operations) == 5


def test_without_its_root_a_trace_is_given_up_when_idle() -> None:
    assembler = gathered(op("a", "r", 1, 2))

    assert assembler.due(now_ns=599 * S) == []
    [execution] = assembler.due(now_ns=600 * S)
    assert execution.status is ExecutionStatus.INCOMPLETE
    assert assembler.dropped["overdue"] == 1


def test_a_root_that_never_ended_is_given_up_at_its_age() -> None:
    assembler = gathered(op("r", None, 0, None))
    for minute in range(1, 361):
        assembler.add([op(f"s{minute}", "r", minute, minute + 1)], now_ns=minute * 60 * S)

    [execution] = assembler.due(now_ns=6 * 3600 * S)
    assert execution.status is ExecutionStatus.INCOMPLETE


def test_waits_longer_for_other_processes_while_a_parent_is_missing() -> None:
    assembler = gathered(op("r", None, 0, 9), op("a", "lost", 1, 2))

    assert assembler.due(now_ns=9 * S) == []
    assert len(assembler.due(now_ns=10 * S)) == 1


def test_a_root_whose_parent_is_remote_completes_a_trace() -> None:
    assembler = gathered(op("r", "elsewhere", 0, 9, parent_is_remote=True), op("a", "r", 1, 2))

    assert assembler.due(now_ns=9 * S) == []
    [execution] = assembler.due(now_ns=10 * S)
    assert execution.status is ExecutionStatus.OK


def test_late_spans_give_another_version() -> None:
    assembler = gathered(op("r", None, 0, 9))
    [first] = assembler.due(now_ns=2 * S)
    assembler.add([op("late", "r", 1, 2)], now_ns=30 * S)

    assert assembler.due(now_ns=31 * S) == []
    [second] = assembler.due(now_ns=32 * S)
    assert (first.version, len(first.operations)) == (1, 1)
    assert (second.version, len(second.operations)) == (2, 2)


def test_a_span_sent_again_gives_no_version() -> None:
    assembler = gathered(op("r", None, 0, 9))
    assembler.due(now_ns=2 * S)
    assembler.add([op("r", None, 0, 9)], now_ns=3 * S)

    assert assembler.due(now_ns=9 * S) == []


def test_spans_after_the_late_window_are_dropped_and_counted() -> None:
    assembler = gathered(op("r", None, 0, 9))
    assembler.due(now_ns=2 * S)
    assembler.due(now_ns=62 * S)
    assembler.add([op("late", "r", 1, 2)], now_ns=63 * S)

    assert assembler.flush() == []
    assert assembler.dropped == {"too_late": 1}


def test_a_trace_over_its_limit_drops_what_comes() -> None:
    settings = AssemblySettings(max_open_spans=10, max_trace_spans=3)
    assembler = gathered(op("r", None, 0, 9), *(op(f"s{n}", "r", n, n + 1) for n in range(5)), settings=settings)

    [execution] = assembler.flush()
    assert len(execution.operations) == 3
    assert assembler.dropped["trace_too_large"] == 3


def test_the_longest_idle_trace_makes_room() -> None:
    settings = AssemblySettings(max_open_spans=3, max_trace_spans=3)
    assembler = gathered(op("r", None, 0, None), op("a", "r", 1, 2), settings=settings)
    assembler.add([op("x", None, 0, None, trace_id=OTHER_TRACE), op("y", "x", 1, 2, trace_id=OTHER_TRACE)], now_ns=S)

    [execution] = assembler.due(now_ns=S)
    assert (execution.root_id, execution.status) == ("r", ExecutionStatus.INCOMPLETE)
    assert assembler.dropped["evicted"] == 1
    assert [trace.trace_id for trace in assembler.open()] == [OTHER_TRACE]


def test_traces_that_were_handed_out_make_room_first() -> None:
    settings = AssemblySettings(max_open_spans=3, max_trace_spans=3)
    assembler = gathered(op("r", None, 0, 9), op("a", "r", 1, 2), settings=settings)
    assembler.due(now_ns=2 * S)
    assembler.add(
        [op("x", None, 0, None, trace_id=OTHER_TRACE), op("y", "x", 1, 2, trace_id=OTHER_TRACE)], now_ns=3 * S
    )

    assert assembler.dropped["evicted"] == 0
    assert assembler.due(now_ns=3 * S) == []


def test_lists_open_traces_for_the_live_view() -> None:
    assembler = gathered(op("a", "r", 1, 2))
    assembler.add([op("x", None, 0, 3, trace_id=OTHER_TRACE)], now_ns=S)

    first, second = assembler.open()
    assert (first.operations, first.first_seen_ns, first.last_seen_ns, first.root_ended) == (1, 0, 0, False)
    assert (second.trace_id, second.last_seen_ns, second.root_ended) == (OTHER_TRACE, S, True)


def test_lists_what_runs_in_an_open_trace() -> None:
    """An operation is known to run from its own start, or from a child of it that has ended."""
    assembler = gathered(op("a", "r", 3, 4), op("b", "r", 1, 2), op("c", "r", 5, None))

    [trace] = assembler.open()
    assert [(each.span_id, each.operation and each.operation.name) for each in trace.running] == [
        ("r", None),
        ("c", "c"),
    ]
    assert [each.start_ns for each in trace.running] == [op("", None, 1, 2).start_ns, op("", None, 5, 6).start_ns]


def test_a_span_whose_parent_is_remote_is_not_waited_for() -> None:
    [trace] = gathered(op("r", "elsewhere", 0, 9, parent_is_remote=True)).open()

    assert trace.running == ()


def test_lists_a_bounded_number_of_what_runs() -> None:
    [trace] = gathered(*(op(f"s{number}", "r", number, None) for number in range(1000))).open()

    assert len(trace.running) == 50


@pytest.mark.parametrize("hand_out", ["due", "flush"])
def test_a_fault_in_one_trace_does_not_lose_the_others(monkeypatch: pytest.MonkeyPatch, hand_out: str) -> None:
    def fault(trace_id: str, operations: Collection[Operation], *, version: int) -> Execution:
        if trace_id == OTHER_TRACE:
            raise ZeroDivisionError
        return assemble_trace(trace_id, operations, version=version)

    monkeypatch.setattr("otel_wfperf.assembly.assembler.assemble_trace", fault)
    assembler = gathered(op("x", None, 0, 9, trace_id=OTHER_TRACE), op("r", None, 0, 9))

    [execution] = assembler.due(now_ns=2 * S) if hand_out == "due" else assembler.flush()
    assert execution.root_id == "r"
    assert assembler.dropped == {"assembly_failed": 1}
    assert assembler.open() == ()


def test_flush_hands_out_everything_once() -> None:
    assembler = gathered(op("r", None, 0, 9), op("x", None, 0, None, trace_id=OTHER_TRACE))

    assert len(assembler.flush()) == 2
    assert assembler.flush() == []
    assert assembler.open() == ()


def test_refuses_settings_that_cannot_work_and_names_all_of_them() -> None:
    with pytest.raises(ValueError, match=r"quiet_ns is negative; 1 <= max_trace_spans <= max_open_spans"):
        AssemblySettings(quiet_ns=-1, max_open_spans=5)
