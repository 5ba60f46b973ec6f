from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from otel_wfperf.assembly import Assembler, OpenOperation, OpenTrace
from otel_wfperf.model import Operation, OperationKind
from otel_wfperf.sidecar import live
from otel_wfperf.sidecar.live import LiveExecution, LiveView

SECOND_NS = 1_000_000_000
TRACE_ID = "a" * 32


def opened(
    span_id: str, parent_id: str | None = None, *, kind: str = "phase", start_s: float = 0, **fields: Any
) -> Operation:
    """Build an operation that runs; it is named by its id."""
    given: dict[str, Any] = {"trace_id": TRACE_ID, "name": span_id, **fields}
    return Operation(
        span_id=span_id,
        parent_id=parent_id,
        kind=OperationKind(kind),
        start_ns=int(start_s * SECOND_NS),
        end_ns=0,
        ended=False,
        **given,
    )


def ended(operation: Operation) -> Operation:
    return replace(operation, ended=True, end_ns=operation.start_ns + 1)


RUN = (
    opened("w", kind="workflow"),
    opened("draft", "w"),
    opened("writer", "draft", kind="agent"),
    opened("m", "writer", kind="llm"),
)


def shown(view: LiveView, *gathered: OpenTrace, at_s: float = 1) -> tuple[LiveExecution, ...]:
    return view.executions(gathered, limit=100, now_ns=int(at_s * SECOND_NS))


def one(view: LiveView, *gathered: OpenTrace, at_s: float = 1) -> LiveExecution:
    [execution] = shown(view, *gathered, at_s=at_s)
    return execution


def stalled(execution: LiveExecution) -> dict[str, str]:
    return {each.span_id: each.stalled for each in execution.running if each.stalled is not None}


def gathered(trace_id: str = TRACE_ID, **fields: Any) -> OpenTrace:
    defaults = {"first_seen_ns": 1, "last_seen_ns": 2, "operations": 3, "root_ended": False}
    return OpenTrace(trace_id=trace_id, **{**defaults, **fields})


def test_shows_what_runs_and_whose_it_is() -> None:
    view = LiveView()
    view.heard(RUN, now_ns=7)

    execution = one(view)

    assert (execution.workflow, execution.start_ns, execution.first_seen_ns) == ("w", 0, 7)
    assert [(each.span_id, each.phase, each.agent) for each in execution.running] == [
        ("w", None, None),
        ("draft", None, None),
        ("writer", "draft", "writer"),
        ("m", "draft", "writer"),
    ]
    assert stalled(execution) == {}


def test_what_has_ended_runs_no_more_whatever_comes_first() -> None:
    view = LiveView()
    view.heard(RUN, now_ns=0)
    view.ended([ended(RUN[3]), ended(RUN[2])], now_ns=0)
    view.heard(RUN[2:], now_ns=0)

    assert [each.span_id for each in one(view).running] == ["w", "draft"]
    view.ended([ended(each) for each in RUN], now_ns=0)
    assert shown(view) == ()


def test_a_finished_execution_runs_no_more_until_something_in_it_is_heard_of_again() -> None:
    view = LiveView()
    view.heard(RUN, now_ns=0)
    view.finished([TRACE_ID, "unknown"])
    assert shown(view) == ()

    view.heard(RUN[3:], now_ns=0)
    assert [each.span_id for each in one(view).running] == ["m"]


def test_adds_what_only_the_assembler_knows() -> None:
    view = LiveView()
    view.heard(RUN[:1], now_ns=5)
    from_children = OpenOperation(span_id="other", operation=None, start_ns=-1)
    known = OpenOperation(span_id="w", operation=None, start_ns=0)

    execution, other = shown(
        view,
        gathered("b" * 32, last_seen_ns=1, root_ended=True),
        gathered(last_seen_ns=4, running=(from_children, known)),
    )

    assert (execution.trace_id, execution.spans, execution.last_seen_ns) == (TRACE_ID, 3, 5)
    assert [(each.span_id, each.operation and each.operation.name) for each in execution.running] == [
        ("other", None),
        ("w", "w"),
    ]
    assert (other.workflow, other.root_ended, other.running, other.start_ns) == (None, True, (), 1)


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    view = LiveView()
    for number in range(5):
        view.heard([opened("w", kind="workflow", trace_id=f"{number:032x}")], now_ns=number)

    found = view.executions([], limit=2, now_ns=9)

    assert [int(each.trace_id, 16) for each in found] == [4, 3]
    assert view.counts([gathered("b" * 32), gathered("c" * 32, root_ended=True)], now_ns=9).running == 6


def test_a_call_that_takes_much_longer_than_usual_stalls_what_waits_for_it() -> None:
    view = LiveView(
        lambda workflow, kind, name: 10 * SECOND_NS if (workflow, kind, name) == ("w", "llm", "m") else None
    )
    view.heard(RUN, now_ns=0)
    view.heard([*RUN, opened("n", "writer", kind="tool", start_s=30)], now_ns=30 * SECOND_NS)

    busy = one(view, at_s=31)
    view.heard(RUN, now_ns=60 * SECOND_NS)
    view.ended([ended(opened("n", "writer"))], now_ns=30 * SECOND_NS)
    waiting = one(view, at_s=61)

    assert stalled(busy) == {"m": "open for 31.0 s; 95 of 100 take at most 10.0 s"}
    assert stalled(waiting) == {
        "m": "open for 1 min 01 s; 95 of 100 take at most 10.0 s",
        "writer": "all that is open in it has stalled",
        "draft": "all that is open in it has stalled",
        "w": "all that is open in it has stalled",
    }
    assert waiting.stalled == "llm m: open for 1 min 01 s; 95 of 100 take at most 10.0 s"
    assert view.counts([], now_ns=61 * SECOND_NS).stalled == 1


def test_a_phase_in_which_short_calls_come_and_go_has_not_stalled() -> None:
    view = LiveView()
    view.heard(RUN[:2], now_ns=0)
    for second in range(0, 300, 10):
        view.heard(RUN[:2], now_ns=second * SECOND_NS)
        view.ended([ended(opened(f"call {second}", "draft"))], now_ns=second * SECOND_NS)
    assert stalled(one(view, at_s=300)) == {}

    for second in range(300, 411, 10):
        view.heard(RUN[:2], now_ns=second * SECOND_NS)
    assert stalled(one(view, at_s=411)) == {
        "draft": "nothing in it has begun or ended for 2 min 01 s",
        "w": "all that is open in it has stalled",
    }


def test_a_process_that_died_is_told_from_a_long_call() -> None:
    view = LiveView(lambda *_: 3600 * SECOND_NS)
    view.heard(RUN, now_ns=0)
    view.heard([opened("w", kind="workflow", trace_id="b" * 32)], now_ns=0)
    view.heard([opened("w", kind="workflow", trace_id="b" * 32)], now_ns=30 * SECOND_NS)

    alive, dead = shown(view, at_s=40)

    assert (alive.stalled, dead.stalled) == (None, "workflow w: its process has been silent for 40.0 s")
    assert len(shown(view, at_s=610)) == 1
    assert shown(view, at_s=630) == ()


def test_spans_that_name_each_other_as_parents_do_no_harm() -> None:
    view = LiveView()
    view.heard([opened("a", "b"), opened("b", "a"), opened("c", "c")], now_ns=0)
    view.ended([ended(opened("d", "a"))], now_ns=1)

    assert len(one(view, at_s=500).running) == 3


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MAX_SPANS", 3)
    view = LiveView()
    view.heard(RUN, now_ns=0)
    assert view.dropped == {"live_view_full": 1}

    view.ended([ended(RUN[0])], now_ns=0)
    view.heard(RUN[3:], now_ns=0)
    assert {each.span_id for each in one(view).running} == {"draft", "writer", "m"}
    view.finished([TRACE_ID])
    view.heard([opened(f"p{number}") for number in range(3)], now_ns=0)
    assert view.dropped == {"live_view_full": 1}


def test_the_ends_of_many_spans_are_remembered_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MAX_ENDED", 2)
    view = LiveView()
    view.ended([ended(each) for each in RUN], now_ns=0)
    view.heard(RUN, now_ns=0)

    assert {each.span_id for each in one(view).running} == {"w", "draft"}


def test_what_is_lost_makes_room_for_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MAX_SPANS", 2)
    view = LiveView()
    view.heard(RUN[:2], now_ns=0)
    view.heard([opened("x", trace_id="b" * 32)], now_ns=10 * SECOND_NS)
    assert view.dropped == {"live_view_full": 1}

    view.heard([RUN[0]], now_ns=20 * SECOND_NS)
    view.heard([opened("x", trace_id="b" * 32)], now_ns=31 * SECOND_NS)
    assert {each.span_id for each in shown(view, at_s=31)[0].running} == {"x"}
    assert [each.span_id for each in shown(view, at_s=31)[1].running] == ["w"]


def test_names_are_cut_whoever_sends_them() -> None:
    view = LiveView()
    long = "n" * 1_000_000
    view.heard([opened("a", long, name=long, agent=long, workflow=long, span_name=long)], now_ns=0)
    seen = OpenOperation(span_id="g", operation=opened("g", name=long), start_ns=0)

    assert len(repr(shown(view, gathered(running=(seen,), workflow=long)))) < 5000


def test_a_long_chain_of_spans_is_not_walked_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    walked, above = 0, live._Trace.above

    def counted(trace: live._Trace, operation: Operation) -> Iterator[live._Announced]:
        nonlocal walked
        for each in above(trace, operation):
            walked += 1
            yield each

    monkeypatch.setattr(live._Trace, "above", counted)
    view = LiveView()
    view.heard([opened(f"s{n}", f"s{n - 1}", start_s=n) for n in range(2000)], now_ns=0)
    assert len(one(view).running) == live.MAX_SHOWN

    assert walked <= 100 * (2000 + live.MAX_SHOWN)


def test_keeps_the_name_and_the_start_of_what_has_ended_and_is_not_complete() -> None:
    view = LiveView()
    view.heard([RUN[0]], now_ns=SECOND_NS)
    assembler = Assembler()
    root = replace(ended(RUN[0]), start_ns=SECOND_NS // 2, end_ns=2 * SECOND_NS)
    assembler.add([root], now_ns=2 * SECOND_NS)
    view.ended([root], now_ns=2 * SECOND_NS)

    execution = one(view, *assembler.open(), at_s=2.5)

    assert (execution.workflow, execution.start_ns, execution.root_ended) == ("w", SECOND_NS // 2, True)
    assert execution.running == ()


def test_a_run_is_named_by_what_came_of_it_even_without_an_announcement() -> None:
    assembler = Assembler()
    step = replace(ended(RUN[1]), workflow="team", start_ns=7)
    assembler.add([step], now_ns=SECOND_NS)

    execution = one(LiveView(), *assembler.open())

    assert (execution.workflow, execution.start_ns) == ("team", 7)


def test_a_part_of_a_run_is_not_taken_for_its_workflow() -> None:
    view = LiveView()
    view.heard([opened("draft", "research")], now_ns=0)
    [part] = view.starts()

    view.heard([opened("research", kind="workflow")], now_ns=0)
    [whole] = view.starts()

    assert (part.workflow, whole.workflow) == (None, "research")
