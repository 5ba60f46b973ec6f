import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind

pytest.importorskip("langgraph")
from langchain_core.runnables import RunnableLambda
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from otel_wfperf import agent, current_operation, phase, uninstrument, workflow
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.langchain import runs as langchain_runs
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration
from tests.instrumentation.graphs import ASYNC, CALLS, SYNC, State, async_node, node
from tests.instrumentation.recorded import Recorded, Tree, attributes_of


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(LangGraphIntegration()):
        yield


def phase_tree(name: str) -> Tree:
    return Tree(f"phase {name}", (Tree(f"inside {name}"),))


def sorted_tree(tree: Tree) -> Tree:
    """Branches that run together start in any order."""
    return Tree(tree.name, tuple(sorted(map(sorted_tree, tree.children), key=repr)))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_run_is_one_workflow_with_a_phase_for_each_node_and_the_users_spans_inside(
    call: Callable[[State], Any], recorded: Recorded
) -> None:
    call({"seen": []})

    children = tuple(phase_tree(name) for name in ("join", "left", "plan", "right"))
    assert [sorted_tree(tree) for tree in recorded.trees()] == [Tree("invoke_workflow report", children)]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_and_the_order_of_a_stream_are_the_same_without_us(
    call: Callable[[State], Any], recorded: Recorded
) -> None:
    with_us = call({"seen": []})
    assert recorded.spans
    uninstrument()

    assert call({"seen": []}) == with_us


async def test_every_event_of_a_stream_comes_in_the_same_order_without_us(recorded: Recorded) -> None:
    graph = StateGraph(State).add_node("one", node("one")).add_node("two", async_node("two"))
    compiled = graph.add_edge(START, "one").add_edge("one", "two").compile(name="line")

    async def events() -> list[Any]:
        modes: Any = ["values", "updates", "messages", "custom"]
        streamed: list[Any] = [each async for each in compiled.astream({"seen": []}, stream_mode=modes)]
        reported = compiled.astream_events({"seen": []}, version="v2")
        return [*streamed, *[(each["event"], each["name"], each["data"]) async for each in reported]]

    with_us = await events()
    assert recorded.spans
    uninstrument()

    assert await events() == with_us


MEASURED = ("wfperf.cpu.", "wfperf.memory.", "wfperf.event_loop.")


def stable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the machine decides, and hashes, which have tests of their own."""
    return {
        key: value
        for key, value in attributes.items()
        if not key.startswith(MEASURED) and not key.endswith(("hash", ".fragments"))
    }


def test_workflow_and_phase_attributes(recorded: Recorded) -> None:
    SYNC.invoke({"seen": []}, {"configurable": {"thread_id": "thread-1"}})

    assert stable(recorded.attributes("invoke_workflow report")) == {
        "wfperf.span.kind": "workflow",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "report",
        "gen_ai.conversation.id": "thread-1",
        "wfperf.output.bytes": len("seenplanleftrightjoin"),
    }
    assert stable(recorded.attributes("phase right")) == {
        "wfperf.span.kind": "phase",
        "wfperf.phase.name": "right",
        "wfperf.phase.index": 2,
        "wfperf.parallel.group": "step 2",
        "wfperf.retry.attempt": 1,
        "wfperf.input.bytes": len("seenplan"),
        "wfperf.output.bytes": len("seenright"),
    }
    assert recorded.one("phase right").kind is SpanKind.INTERNAL
    assert [recorded.attributes(f"phase {name}")["wfperf.phase.index"] for name in ("plan", "left", "join")] == [
        1,
        2,
        3,
    ]


def test_branches_that_were_sent_are_phases_of_one_step(recorded: Recorded) -> None:
    def fan_out(_state: State) -> list[Send]:
        return [Send("work", {"seen": [str(number)]}) for number in range(3)]

    graph = StateGraph(State).add_node("work", node("work")).add_conditional_edges(START, fan_out, ["work"])
    graph.compile(name="fan").invoke({"seen": []})

    phases = recorded.all("phase work")
    assert len(phases) == 3
    attributes = [attributes_of(span) for span in phases]
    assert {each["wfperf.parallel.group"] for each in attributes} == {"step 1"}
    assert {each["wfperf.retry.attempt"] for each in attributes} == {1}
    assert [tree.name for tree in recorded.trees()] == ["invoke_workflow fan"]


def test_routers_prompts_and_lambdas_inside_a_node_get_no_span(recorded: Recorded) -> None:
    def route(_state: State) -> str:
        return "after"

    first: Any = RunnableLambda(lambda _state: {"seen": ["x"]}) | RunnableLambda(lambda update: update)
    graph = StateGraph(State).add_node("first", first).add_node("after", node("after"))
    graph.add_edge(START, "first").add_conditional_edges("first", route, ["after"])
    graph.compile(name="routed").invoke({"seen": []})

    assert recorded.trees() == [Tree("invoke_workflow routed", (Tree("phase first"), phase_tree("after")))]


def test_a_graph_that_is_a_node_or_is_called_by_one_is_a_workflow_inside_the_phase(recorded: Recorded) -> None:
    inner = StateGraph(State).add_node("step", node("step")).add_edge(START, "step").compile(name="inner")

    def call(state: State) -> Any:
        with trace.get_tracer("user").start_as_current_span("around"):
            return inner.invoke(state)

    outer = StateGraph(State).add_node("node", inner).add_node("caller", call)
    outer.add_edge(START, "node").add_edge("node", "caller")
    outer.compile(name="outer").invoke({"seen": []})

    nested = Tree("invoke_workflow inner", (phase_tree("step"),))
    assert recorded.trees() == [
        Tree(
            "invoke_workflow outer",
            (Tree("phase node", (nested,)), Tree("phase caller", (Tree("around", (nested,)),))),
        )
    ]
    inner_spans, phases = recorded.all("invoke_workflow inner"), recorded.all("phase step")
    for workflow_span, step in zip(inner_spans, phases, strict=True):
        assert (workflow_span.start_time or 0) <= (step.start_time or 0)


def test_a_node_that_calls_the_api_contains_what_it_records(recorded: Recorded) -> None:
    def writes(state: State) -> State:
        del state
        with agent("writer"):
            RunnableLambda(lambda value: value).invoke(1)
            SYNC.invoke({"seen": []})
        return {"seen": []}

    with workflow("mine"):
        StateGraph(State).add_node("draft", writes).add_edge(START, "draft").compile(name="graph").invoke({"seen": []})

    [tree] = recorded.trees()
    assert tree.name == "invoke_workflow mine"
    assert recorded.parent_of("invoke_workflow graph") == "invoke_workflow mine"
    assert recorded.parent_of("invoke_agent writer") == "phase draft"
    assert recorded.parent_of("invoke_workflow report") == "invoke_agent writer"


def test_tasks_of_the_functional_api_are_phases(recorded: Recorded) -> None:
    @task
    def double(number: int) -> int:
        return number * 2

    @entrypoint()
    def flow(number: int) -> int:
        return double(number).result() + double(number + 1).result()

    assert flow.invoke(1) == 6
    assert recorded.trees() == [
        Tree("invoke_workflow LangGraph", (Tree("phase flow", (Tree("phase double"), Tree("phase double"))),))
    ]
    assert [attributes_of(span)["wfperf.retry.attempt"] for span in recorded.all("phase double")] == [1, 1]


def test_a_plain_chain_is_a_workflow_only_where_nothing_surrounds_it(recorded: Recorded) -> None:
    chain: Any = (RunnableLambda(lambda value: value + 1) | RunnableLambda(lambda value: value * 2)).with_config(
        run_name="arithmetic"
    )

    assert chain.invoke(1) == 4
    with phase("outer"):
        chain.invoke(1)

    assert recorded.trees() == [Tree("invoke_workflow arithmetic"), Tree("phase outer")]


# -- agents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["writer_agent", "agent_1", "WriterAgent", "my writer agent", "agent", "sql-agent"])
def test_names_that_say_agent(name: str) -> None:
    assert langchain_runs.is_agent_name(name)


@pytest.mark.parametrize("name", ["magenta", "reagent", "agents", "agenda", "management", "LangGraph"])
def test_names_that_do_not_say_agent(name: str) -> None:
    assert not langchain_runs.is_agent_name(name)


def test_a_node_named_as_an_agent_is_a_phase_with_the_agent_inside(recorded: Recorded) -> None:
    graph = StateGraph(State).add_node("writer_agent", node("x")).add_node("plain", node("y"))
    graph.add_edge(START, "writer_agent").add_edge("writer_agent", "plain")
    graph.compile(name="crew").invoke({"seen": []})

    assert recorded.trees() == [
        Tree(
            "invoke_workflow crew",
            (
                Tree("phase writer_agent", (Tree("invoke_agent writer_agent", (Tree("inside x"),)),)),
                Tree("phase plain", (Tree("inside y"),)),
            ),
        )
    ]
    assert recorded.attributes("invoke_agent writer_agent")["gen_ai.agent.name"] == "writer_agent"


def test_metadata_can_name_the_agent_of_a_node(recorded: Recorded) -> None:
    graph = StateGraph(State).add_node("step", SYNC, metadata={"agent_name": "planner"}).add_edge(START, "step")
    graph.compile(name="crew").invoke({"seen": []})

    assert recorded.parent_of("invoke_agent planner") == "phase step"
    assert recorded.parent_of("invoke_workflow report") == "invoke_agent planner"
    assert recorded.parent_of("phase join") == "invoke_workflow report"


# -- context --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("recorded")
def test_the_consumer_of_a_stream_sees_its_own_context() -> None:
    for _ in SYNC.stream({"seen": []}):
        assert not trace.get_current_span().get_span_context().is_valid
        assert current_operation() is None


@pytest.mark.usefixtures("recorded")
async def test_the_consumer_of_an_async_stream_sees_its_own_context() -> None:
    graph = StateGraph(State).add_node("only", async_node("only")).add_edge(START, "only").compile()
    async for _ in graph.astream({"seen": []}):
        assert not trace.get_current_span().get_span_context().is_valid
        assert current_operation() is None
    assert current_operation() is None


def test_runs_at_the_same_time_do_not_mix(recorded: Recorded) -> None:
    async def main() -> None:
        await asyncio.gather(*(ASYNC.ainvoke({"seen": []}) for _ in range(5)))

    asyncio.run(main())

    trees = [sorted_tree(tree) for tree in recorded.trees()]
    assert trees == [Tree("invoke_workflow report", tuple(map(phase_tree, ("join", "left", "plan", "right"))))] * 5


def test_a_run_that_is_not_sampled_is_not_read(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("read for nothing")

    monkeypatch.setattr("otel_wfperf.instrumentation.payload.read", read)
    not_sampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(0)))
    with trace.use_span(not_sampled):
        SYNC.invoke({"seen": []})

    assert recorded.spans == ()


def test_nothing_is_recorded_where_instrumentation_is_suppressed(recorded: Recorded) -> None:
    token = otel_context.attach(otel_context.set_value("suppress_instrumentation", "yes"))
    SYNC.invoke({"seen": []})
    otel_context.detach(token)

    assert {span.name.split()[0] for span in recorded.spans} == {"inside"}


def test_runs_whose_end_is_never_reported_are_forgotten_and_ended(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(langchain_runs.Runs, "max_runs", 3)
    iterators = [SYNC.stream({"seen": []}) for _ in range(5)]
    for iterator in iterators:
        next(iterator)

    # Two streams are still open, and the last one's node needed room, too.
    assert len(recorded.all("invoke_workflow report")) == 3
    for iterator in iterators:
        iterator.close()
