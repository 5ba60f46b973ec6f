import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wfperf.assembly import ADJUSTERS, Assembler, assemble
from otel_wfperf.model import Execution, ExecutionStatus, Link, Operation, OperationKind, SpanKind
from tests.assembly.operations import MS, START_NS, assembled, op

AGENT, WORKFLOW = OperationKind.AGENT, OperationKind.WORKFLOW
IDS = st.sampled_from("abcdefgh")
TRACES = st.sampled_from(["1" * 32, "2" * 32, "3" * 32, "4" * 32])


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    """Anything: cycles, duplicates, missing parents, skewed hosts, spans that never ended, fragments, links."""
    trace_id = draw(TRACES)
    mark = trace_id[0] if draw(st.integers(0, 9)) else ""
    parent_id = draw(st.none() | IDS | st.just("lost"))
    return op(
        mark + draw(IDS),
        parent_id and mark + parent_id,
        draw(st.integers(0, 50)),
        draw(st.none() | st.integers(0, 50)),
        kind=draw(st.sampled_from(OperationKind)),
        name=draw(st.sampled_from(["x", "y"])),
        trace_id=trace_id,
        span_kind=draw(st.sampled_from(SpanKind)),
        dialect=draw(st.sampled_from(["", "autogen"])),
        conversation=draw(st.none() | st.sampled_from(["t", "u"])),
        links=tuple(draw(st.lists(st.builds(Link, trace_id=TRACES, span_id=IDS), max_size=2))),
        setup=draw(st.integers(0, 9)) == 0,
        host=draw(st.sampled_from(["", "h1", "h2"])),
        parent_is_remote=draw(st.booleans()),
    )


@settings(max_examples=300, deadline=None)
@given(operations=st.lists(any_operation(), min_size=1, max_size=12), seed=st.integers(0, 2**16))
def test_any_operations_in_any_order_give_the_same_trees(operations: Sequence[Operation], seed: int) -> None:
    shuffled = list(operations)
    random.Random(seed).shuffle(shuffled)

    executions = assemble(operations)

    assert executions == assemble(shuffled) == streamed(shuffled, random.Random(seed))
    for execution in executions:
        assert {each.span_id for each in execution.descendants(execution.root_id)} | {execution.root_id} == set(
            execution.by_id
        )
        assert all(each.end_ns >= each.start_ns for each in execution.operations)
        assert [*execution.operations] == sorted(
            execution.operations, key=lambda each: (each.start_ns, -each.end_ns, each.span_id)
        )
        assert 0 < execution.completeness <= 1


def streamed(operations: Sequence[Operation], chance: random.Random) -> list[Execution]:
    """Feed an assembler in batches of random sizes."""
    assembler = Assembler()
    rest = list(operations)
    while rest:
        size = chance.randint(1, len(rest))
        assembler.add(rest[:size], now_ns=START_NS)
        del rest[:size]
    return sorted(assembler.flush(), key=lambda execution: (execution.start_ns, execution.trace_id))


@pytest.mark.parametrize("seed", range(5))
def test_a_real_sized_trace_does_not_depend_on_order_and_batches(seed: int) -> None:
    chance = random.Random(seed)
    operations = [op("0", None, 0, 10_000, kind=WORKFLOW, name="team")]
    for number in range(1, 300):
        start_ms = chance.randint(0, 5000)
        operations.append(op(str(number), str(chance.randrange(number)), start_ms, start_ms + chance.randint(1, 900)))
    expected = assemble(operations)
    chance.shuffle(operations)

    assert streamed(operations, chance) == expected


def test_depth_does_not_matter() -> None:
    deep = 5_000
    chain = [op(str(n), str(n - 1) if n else None, n / 1000, 20_000 - n / 1000) for n in range(deep)]
    wide = [op(f"w{n}", str(n % deep), 100 + n / 1000, 101 + n / 1000) for n in range(5_000)]

    execution = assembled(*chain, *wide)

    assert len(execution.operations) == 10_000
    assert sum(1 for _ in execution.ancestors(str(deep - 1))) == deep - 1


def test_traces_come_in_order_of_start() -> None:
    executions = assemble([op("a", None, 5, 6, trace_id="1" * 32), op("a", None, 1, 2, trace_id="2" * 32)])

    assert [execution.trace_id for execution in executions] == ["2" * 32, "1" * 32]


def test_nothing_gives_nothing() -> None:
    assert assemble([]) == []


def test_names_of_adjusters_are_unique() -> None:
    assert len({adjuster.name for adjuster in ADJUSTERS}) == len(ADJUSTERS)


def test_the_workflow_is_the_outermost_one() -> None:
    execution = assembled(
        op("http", None, 0, 20, name="POST /run"),
        op("w", "http", 1, 19, kind=WORKFLOW, name="outer", workflow="outer"),
        op("v", "w", 2, 9, kind=WORKFLOW, name="inner", workflow="inner"),
    )

    assert (execution.workflow, execution.root_id) == ("outer", "http")


def test_several_workflows_belong_to_what_the_root_is_called() -> None:
    runs = [op(name, "main", 1, 2, kind=WORKFLOW, name=name, workflow=name) for name in ("one", "two")]

    assert assembled(op("main", None, 0, 9), *runs).workflow == "main"


def test_spans_that_name_their_workflow_tell_it_when_its_span_is_missing() -> None:
    lost = [op(name, "lost", 1, 2, kind=OperationKind.PHASE, workflow="team") for name in ("a", "b")]

    assert assembled(*lost).workflow == "team"


def test_without_a_workflow_the_agent_gives_the_name() -> None:
    assert (
        assembled(op("r", None, 0, 9), op("a", "r", 1, 2, kind=AGENT, name="writer", agent="writer")).workflow
        == "writer"
    )


def test_ids_are_taken_out_of_names_that_were_not_meant_to_be_one() -> None:
    topic = "publish planner_4f0bf589-d8c4-47c2-9769-8acfff30dfb7"

    assert assembled(op("r", None, 0, 9, name=topic)).workflow == "publish planner_{id}"
    assert assembled(op("r", None, 0, 9, name="GET /health")).workflow == "GET /health"


def test_a_failed_root_or_workflow_is_an_error() -> None:
    assert assembled(op("r", None, 0, 9, error="x")).status is ExecutionStatus.ERROR
    assert assembled(op("r", None, 0, 9), op("w", "r", 1, 2, kind=WORKFLOW, error="x")).status is ExecutionStatus.ERROR
    assert assembled(op("r", None, 0, 9), op("a", "r", 1, 2, error="x")).status is ExecutionStatus.OK


def test_times_are_kept_exactly() -> None:
    assert assembled(op("r", None, 0, 9)).duration_ns == 9 * MS
