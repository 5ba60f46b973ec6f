"""Runs that came in several traces, and traces that only look as if they were one run."""

import random
from dataclasses import replace
from typing import Any

import pytest

from otel_wfperf.assembly import assemble
from otel_wfperf.assembly.stitching import MAX_CALLS
from otel_wfperf.model import Execution, ExecutionStatus, Link, Operation, OperationKind, SpanKind
from tests.assembly.operations import op, times

AGENT, LLM, PHASE, TOOL, WORKFLOW = (
    OperationKind.AGENT,
    OperationKind.LLM,
    OperationKind.PHASE,
    OperationKind.TOOL,
    OperationKind.WORKFLOW,
)
SECOND = 1000.0


def trace(number: int) -> str:
    return f"{number:032x}"


def to(number: int, span_id: str) -> tuple[Link, ...]:
    """Link to a span of a trace."""
    return (Link(trace_id=trace(number), span_id=span_id),)


def sent(number: int, span_id: str, parent_id: str | None, at_ms: float) -> Operation:
    """Build the span of a message that is put in a queue."""
    return op(
        span_id,
        parent_id,
        at_ms,
        at_ms + 1,
        trace_id=trace(number),
        span_kind=SpanKind.PRODUCER,
        dialect="autogen",
        workflow="Team",
    )


def woken(number: int, agent: str, times_ms: tuple[float, float], links: tuple[Link, ...]) -> list[Operation]:
    """Build the trace of an agent that a message wakes, which ends with a message of its own."""
    start, end = times_ms
    shared: dict[str, Any] = {"trace_id": trace(number), "dialect": "autogen"}
    return [
        op(f"p{number}", None, start, end, span_kind=SpanKind.PRODUCER, links=links, **shared),
        op(f"c{number}", f"p{number}", start, end, span_kind=SpanKind.CONSUMER, links=links, **shared),
        op(f"a{number}", f"c{number}", start, end, kind=AGENT, name=agent, agent=agent, **shared),
        sent(number, f"s{number}", f"a{number}", end - 1),
    ]


def taken(number: int, links: tuple[Link, ...]) -> Operation:
    """Build the trace of a message that was taken out of the queue for nobody."""
    return op(
        f"p{number}",
        None,
        499,
        500,
        trace_id=trace(number),
        span_kind=SpanKind.PRODUCER,
        dialect="autogen",
        links=links,
    )


def team() -> list[Operation]:
    """Build a run of messages: one agent, two at once, and one that only the second of them wakes."""
    return [
        sent(1, "s1", None, 0),
        *woken(2, "planner", (2, 100), to(1, "s1")),
        *woken(3, "one", (102, 300), to(2, "s2")),
        *woken(4, "two", (103, 400), to(2, "s2")),
        *woken(5, "writer", (402, 500), to(4, "s4")),
        taken(6, to(3, "s3")),
        taken(7, to(5, "s5")),
    ]


TEAM = tuple(map(trace, (1, 2, 3, 4, 5, 6, 7)))


def parts(execution: Execution, *kinds: OperationKind) -> list[str]:
    return [operation.name for operation in execution.of_kind(*kinds)]


def ids_of(executions: list[Execution]) -> list[tuple[str, ...]]:
    return [execution.trace_ids for execution in executions]


def in_conversation(conversation: str, operations: list[Operation]) -> list[Operation]:
    return [replace(each, conversation=conversation) for each in operations]


def test_agents_that_wake_each_other_by_messages_are_one_run() -> None:
    [run] = assemble(team())

    assert (run.trace_id, run.trace_ids) == (trace(1), TEAM)
    assert (run.workflow, run.root.kind, run.root.synthetic) == ("Team", WORKFLOW, True)
    assert (run.status, run.completeness) == (ExecutionStatus.OK, 1.0)
    assert [(each.name, times(run, each.span_id)) for each in run.children(run.root_id)] == [
        ("planner", (2, 100)),
        ("one", (102, 300)),
        ("two", (103, 400)),
        ("writer", (402, 500)),
    ]
    assert times(run, run.root_id) == (0, 500)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_in_which_fragments_come_makes_no_difference(seed: int) -> None:
    operations = [*team(), *woken(9, "stray", (0, 1), to(8, "gone")), op("w", None, 0, 9, kind=WORKFLOW)]
    expected = assemble(operations)
    random.Random(seed).shuffle(operations)

    assert assemble(operations) == expected
    assert len(expected) == 3


def test_a_failed_agent_shows_in_the_run() -> None:
    failed = [op("x", "a4", 390, 399, kind=TOOL, error="boom", trace_id=trace(4))]
    [run] = assemble([*team(), *failed])

    assert [each.span_id for each in run.children("a4")] == ["x"]


def test_a_message_that_failed_stays_where_it_was() -> None:
    undelivered = op(
        "u",
        "a4",
        399,
        400,
        span_kind=SpanKind.PRODUCER,
        dialect="autogen",
        error="undeliverable",
        trace_id=trace(4),
    )
    [run] = assemble([*team(), undelivered])

    assert run.by_id["u"].parent_id == "a4"


def test_two_runs_of_one_team_stay_apart_whatever_they_share() -> None:
    first = [*woken(2, "planner", (2, 100), to(1, "s1")), sent(1, "s1", None, 0)]
    second = [*woken(4, "planner", (102, 200), to(3, "s3")), sent(3, "s3", None, 101)]

    runs = assemble(in_conversation("team-1", [*first, *second]))

    assert ids_of(runs) == [(trace(1), trace(2)), (trace(3), trace(4))]


def test_calls_that_lost_their_context_belong_to_the_run_of_their_conversation() -> None:
    """Each call of a run a trace of its own: open-telemetry/opentelemetry-python-genai#513."""
    [run] = assemble(
        [
            op("w", None, 0, 1000, kind=WORKFLOW, name="graph", conversation="t", trace_id=trace(9)),
            op("p", "w", 10, 500, kind=PHASE, name="plan", trace_id=trace(9)),
            op("c", None, 20, 480, kind=LLM, conversation="t", trace_id=trace(1)),
            op("d", None, 600, 900, kind=LLM, conversation="t", trace_id=trace(2)),
        ]
    )

    assert (run.trace_id, run.root_id, run.workflow) == (trace(9), "w", "graph")
    assert run.trace_ids == (trace(9), trace(1), trace(2))
    assert (run.by_id["c"].parent_id, run.by_id["d"].parent_id) == ("p", "w")
    assert run.by_id["c"].phase == "plan"


def test_of_parallel_branches_that_hold_a_call_none_is_guessed() -> None:
    [run] = assemble(
        [
            op("w", None, 0, 1000, kind=WORKFLOW, conversation="t", trace_id=trace(9)),
            op("p", "w", 10, 500, kind=PHASE, trace_id=trace(9)),
            op("q", "w", 11, 510, kind=PHASE, trace_id=trace(9)),
            op("c", None, 20, 480, kind=LLM, conversation="t", trace_id=trace(1)),
        ]
    )

    assert run.by_id["c"].parent_id == "w"


def test_calls_of_one_conversation_without_a_run_are_one_when_they_follow_at_once() -> None:
    starts = enumerate((0, 600, 2000, 60 * SECOND))
    calls = [op(f"c{n}", None, at, at + 500, kind=LLM, conversation="t", trace_id=trace(n)) for n, at in starts]

    first, second = assemble(calls)

    assert (len(first.trace_ids), second.trace_ids) == (3, (trace(3),))
    assert first.root.kind is WORKFLOW


def test_two_turns_of_a_session_are_two_runs() -> None:
    turns = [
        each
        for number, start in ((1, 0.0), (2, 120 * SECOND))
        for each in (
            op(f"w{number}", None, start, start + 900, kind=WORKFLOW, conversation="t", trace_id=trace(number)),
            op(f"c{number}", f"w{number}", start, start + 800, kind=LLM, conversation="t", trace_id=trace(number)),
        )
    ]

    assert ids_of(assemble(turns)) == [(trace(1),), (trace(2),)]


@pytest.mark.parametrize("kind", [WORKFLOW, AGENT])
def test_concurrent_runs_that_share_a_session_stay_apart(kind: OperationKind) -> None:
    runs = [
        op("w1", None, 0, 900, kind=WORKFLOW, conversation="t", trace_id=trace(1)),
        op("w2", None, 100, 300, kind=kind, name="titles", conversation="t", trace_id=trace(2)),
    ]
    call = op("c", None, 150, 200, kind=LLM, conversation="t", trace_id=trace(3))

    assert ids_of(assemble(runs)) == [(trace(1),), (trace(2),)]
    assert len(assemble([*runs, call])) == 3  # the call may belong to either


def test_requests_of_a_server_that_share_a_session_are_runs_of_their_own() -> None:
    requests = [
        each
        for number in (1, 2)
        for each in (
            op(f"r{number}", None, number, number + 9, span_kind=SpanKind.SERVER, trace_id=trace(number)),
            op(f"c{number}", f"r{number}", number, number + 8, kind=LLM, conversation="t", trace_id=trace(number)),
        )
    ]

    assert len(assemble(requests)) == 2


def test_a_run_that_follows_from_another_is_not_part_of_it() -> None:
    first = op("w1", None, 0, 900, kind=WORKFLOW, trace_id=trace(1))
    for kind in (WORKFLOW, AGENT):
        after = op("w2", None, 901, 1900, kind=kind, links=to(1, "w1"), trace_id=trace(2))

        assert len(assemble([first, after])) == 2


def test_a_run_that_waits_in_a_queue_of_the_users_own_is_no_fragment() -> None:
    """A job of a web application: the request that enqueued it did not run it."""
    request = [
        op("r", None, 0, 9, span_kind=SpanKind.SERVER, trace_id=trace(1)),
        op("q", "r", 1, 2, span_kind=SpanKind.PRODUCER, dialect="leaves", trace_id=trace(1)),
    ]
    job = [
        op("j", None, 50, 99, span_kind=SpanKind.CONSUMER, dialect="leaves", links=to(1, "q"), trace_id=trace(2)),
        op("a", "j", 51, 98, kind=AGENT, name="worker", trace_id=trace(2)),
    ]

    assert ids_of(assemble([*request, *job])) == [(trace(1),), (trace(2),)]


def test_a_background_call_belongs_to_the_run_that_it_links_to() -> None:
    run = [
        op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1)),
        op("p", "w", 1, 400, kind=PHASE, trace_id=trace(1)),
        op("a", "p", 1, 300, kind=AGENT, trace_id=trace(1)),
    ]
    during = op("t", None, 350, 800, kind=TOOL, links=to(1, "a"), trace_id=trace(2))
    after = op("u", None, 950, 999, kind=TOOL, links=to(1, "a"), trace_id=trace(3))

    [execution] = assemble([*run, during, after])

    assert (execution.by_id["t"].parent_id, execution.by_id["u"].parent_id) == ("p", "w")
    assert execution.trace_ids == (trace(1), trace(2), trace(3))


def test_a_call_long_after_what_it_links_to_is_not_part_of_it() -> None:
    run = op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1))

    assert (
        len(assemble([run, op("t", None, 61 * SECOND, 62 * SECOND, kind=TOOL, links=to(1, "w"), trace_id=trace(2))]))
        == 2
    )


def test_a_consumer_of_a_batch_joins_none_of_its_producers() -> None:
    producers = [op(f"w{n}", None, n, n + 9, kind=WORKFLOW, trace_id=trace(n)) for n in range(1, 301)]
    links = tuple(link for n in range(1, 301) for link in to(n, f"w{n}"))
    batch = op("b", None, 400, 500, kind=TOOL, links=links, trace_id=trace(999))

    assert len(assemble([*producers, batch])) == 301


def test_a_fragment_that_waits_for_several_of_one_run_belongs_to_it() -> None:
    operations = [*team(), *woken(8, "joiner", (502, 600), (*to(3, "s3"), *to(5, "s5")))]

    [run] = assemble(operations)
    assert parts(run, AGENT)[-1] == "joiner"


def test_fragments_that_link_to_each_other_are_one_run() -> None:
    operations = [
        *woken(1, "asker", (0, 100), to(2, "s2")),
        *woken(2, "answerer", (10, 50), to(1, "s1")),
    ]

    assert len(assemble(operations)) == 1


def test_what_only_sets_something_up_is_no_run() -> None:
    alone = op("s", None, 0, 1, setup=True, dialect="autogen", trace_id=trace(70))

    assert assemble([alone]) == []
    [run] = assemble([alone, *team()])
    assert trace(70) not in run.trace_ids
    [run] = assemble([op("r", None, 0, 9, trace_id=trace(70)), op("s", "r", 0, 1, setup=True, trace_id=trace(70))])
    assert len(run.operations) == 2


def test_plain_traces_stay_apart_even_when_linked() -> None:
    traces = [op("a", None, 0, 1, trace_id=trace(1)), op("b", None, 2, 3, links=to(1, "a"), trace_id=trace(2))]

    assert len(assemble(traces)) == 2


def test_traces_that_use_the_same_span_ids_stay_apart() -> None:
    traces = [
        op("w", None, 0, 900, kind=WORKFLOW, conversation="t", trace_id=trace(1)),
        op("w", None, 100, 200, kind=LLM, conversation="t", trace_id=trace(2)),
    ]

    assert len(assemble(traces)) == 2


def test_a_fragment_of_another_host_is_not_moved_into_what_it_links_to() -> None:
    run = op("w", None, 0, 900, kind=WORKFLOW, trace_id=trace(1), host="a")
    after = op("u", None, 950, 999, kind=TOOL, links=to(1, "w"), trace_id=trace(2), host="b")

    [execution] = assemble([run, after])
    assert times(execution, "u") == (950, 999)


def test_a_run_whose_root_is_missing_takes_its_fragments_in() -> None:
    """Its spans name a parent that did not come, so it has a run of its own."""
    operations = [
        op("p", "lost", 0, 900, kind=PHASE, conversation="t", trace_id=trace(5)),
        op("c", None, 100, 200, kind=LLM, conversation="t", trace_id=trace(1)),
    ]

    [run] = assemble(operations)
    assert (run.trace_id, run.root_id, run.status) == (trace(5), "p", ExecutionStatus.INCOMPLETE)
    assert run.by_id["c"].parent_id == "p"


@pytest.mark.parametrize("differs", [{"host": "machine/2"}, {"service": "another"}])
def test_a_conversation_of_the_same_id_in_another_process_is_another_one(differs: dict[str, str]) -> None:
    here = {"conversation": "default", "host": "machine/1", "service": "one"}
    run = op("w", None, 0, 1000, kind=WORKFLOW, trace_id=trace(9), **here)
    own = op("c", None, 20, 480, kind=LLM, trace_id=trace(1), **here)
    alien = op("d", None, 30, 500, kind=LLM, trace_id=trace(2), **{**here, **differs})

    assert ids_of(assemble([run, own, alien])) == [(trace(9), trace(1)), (trace(2),)]


def test_calls_that_never_pause_are_not_one_endless_run() -> None:
    calls = [
        op(f"c{n}", None, n * 100, n * 100 + 90, kind=LLM, conversation="default", trace_id=trace(n))
        for n in range(MAX_CALLS + 50)
    ]

    assert [len(execution.trace_ids) for execution in assemble(calls)] == [MAX_CALLS, 50]


@pytest.mark.parametrize("seed", range(5))
def test_what_links_to_a_run_that_is_not_here_is_one_only_while_it_follows(seed: int) -> None:
    starts = (0.0, 50 * SECOND, 3600 * SECOND)
    jobs = [
        op(f"t{n}", None, at, at + 1, kind=TOOL, links=to(99, "gone"), trace_id=trace(n))
        for n, at in enumerate(starts, 1)
    ]
    random.Random(seed).shuffle(jobs)

    assert ids_of(assemble(jobs)) == [(trace(1), trace(2)), (trace(3),)]
