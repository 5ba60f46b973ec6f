import asyncio
import json
import logging
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest.importorskip("strands")
from strands import Agent, ModelRetryStrategy, tool
from strands.hooks.registry import HookRegistry
from strands.models.model import Model
from strands.multiagent import GraphBuilder, Swarm
from strands.multiagent.graph import Graph
from strands.telemetry import tracer as telemetry
from strands.telemetry.tracer import Tracer
from strands.types.exceptions import ModelThrottledException

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.strands import StrandsIntegration
from otel_wfperf.model import ExecutionStatus, Operation, OperationKind, TokenUsage
from tests.frameworks.recording import Recording

pytestmark = pytest.mark.filterwarnings("ignore:graph has no max_node_executions:UserWarning")

SECRET = "the secret word is xyzzy-plugh"
Call = tuple[str, dict[str, Any]]
Answer = str | list[Call] | Exception


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    logging.getLogger("strands").setLevel(logging.CRITICAL)
    with instrumented(StrandsIntegration()):
        yield


class ScriptedModel(Model):
    """Answers what was scripted; 10 + 5 tokens each, one of the 10 from the cache, the first after 7 ms."""

    def __init__(self, *answers: Answer, gate: Callable[[], Any] | None = None) -> None:
        self.config = {"model_id": "scripted"}
        self.calls = 0
        self._answers = list(answers)
        self._gate = gate

    def update_config(self, **_: Any) -> None:
        """Change nothing."""

    def get_config(self) -> dict[str, str]:
        return self.config

    async def structured_output(self, *_: Any, **__: Any) -> AsyncGenerator[dict[str, Any], None]:
        yield {}

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        if self._gate is not None:
            await self._gate()
        answer = self._answers.pop(0) if self._answers else "done"
        if isinstance(answer, Exception):
            raise answer
        self.calls += 1
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(answer, str):
            yield {"contentBlockStart": {"start": {}}}
            for word in answer.split():
                yield {"contentBlockDelta": {"delta": {"text": f"{word} "}}}
            yield {"contentBlockStop": {}}
        else:
            for at, (name, given) in enumerate(answer):
                yield {"contentBlockStart": {"start": {"toolUse": {"name": name, "toolUseId": f"call-{at}"}}}}
                yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(given)}}}}
                yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if isinstance(answer, str) else "tool_use"}}
        usage = {"inputTokens": 9, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 1}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 3, "timeToFirstByteMs": 7}}}

    @property
    def served(self) -> TokenUsage:
        return TokenUsage(input=10 * self.calls, output=5 * self.calls, cache_read=self.calls)


def agent(name: str, *answers: Answer, **settings: Any) -> Agent:
    return Agent(name=name, model=ScriptedModel(*answers), callback_handler=None, **settings)


@tool
def add(a: int, b: int, note: str = "") -> str:
    """Add numbers.

    Args:
        a: One.
        b: Other.
        note: Ignored.
    """
    del note
    with trace.get_tracer("user").start_as_current_span("inside"):
        return f"{a + b} {SECRET}"


@tool
def fail() -> str:
    """Fail."""
    raise ValueError(SECRET)


@tool
def refuse() -> dict[str, Any]:
    """Say no."""
    return {"status": "error", "content": [{"text": SECRET}]}


TOOLS: list[Call] = [("add", {"a": 1, "b": 2, "note": SECRET}), ("add", {"a": 3, "b": 4})]
AGENT_TREE = """\
agent math
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]
    tool add
      other inside
    tool add
      other inside
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]"""


def calculating() -> Agent:
    return agent("math", TOOLS, f"10 {SECRET}", tools=[add], system_prompt=SECRET)


def calls(recording: Recording, kind: OperationKind) -> list[Operation]:
    return [each for each in recording.execution().operations if each.kind is kind]


def test_an_agent_is_one_execution_with_its_model_calls_and_tools(recording: Recording) -> None:
    math = calculating()

    math(SECRET)

    assert recording.tree() == AGENT_TREE
    assert recording.tokens() == math.model.served
    assert SECRET not in recording


async def test_the_asynchronous_call_records_the_same_below_the_callers_span(recording: Recording) -> None:
    with trace.get_tracer("user").start_as_current_span("request"):
        await calculating().invoke_async(SECRET)

    indented = "\n".join(f"  {line}" for line in AGENT_TREE.splitlines())
    assert recording.tree() == f"other request\n{indented}"


def test_each_run_of_an_agent_counts_its_own_tokens(recording: Recording) -> None:
    math = calculating()
    math("first")
    recording.clear()

    math("second")

    assert recording.tokens() == TokenUsage(input=10, output=5, cache_read=1)


def test_tools_are_bound_to_the_model_call_that_asked_for_them(recording: Recording) -> None:
    calculating()("go")

    first, second = calls(recording, OperationKind.LLM)
    tools = calls(recording, OperationKind.TOOL)
    assert {each.turn for each in tools} == {first.span_id}
    assert (first.requested, second.requested) == (True, False)
    assert all(each.requested and each.agent == "math" for each in tools)
    assert tools[0].input_hash != tools[1].input_hash


def test_a_prompt_is_measured_and_compared_with_the_one_before(recording: Recording) -> None:
    calculating()("go")

    first, second = calls(recording, OperationKind.LLM)
    assert first.context is not None
    assert second.context is not None
    assert (first.context.messages, second.context.messages) == (2, 4)
    assert first.context.reused_ratio is None
    assert 0 < (second.context.reused_ratio or 0) < 1
    assert first.prefix_hash == second.prefix_hash
    assert first.time_to_first_token_s == 0.007


def test_a_tool_that_fails_says_how_but_not_what(recording: Recording) -> None:
    agent("caller", [("fail", {}), ("refuse", {})], tools=[fail, refuse])("go")

    assert (
        recording.tree()
        == """\
agent caller
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]
    tool fail [error=ValueError]
    tool refuse [error=tool_error]
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]"""
    )
    [refused] = [span for span in recording.spans if span.name == "execute_tool refuse"]
    assert SECRET not in refused.to_json()


def test_attempts_of_a_model_call_are_numbered_and_the_wait_between_them_is_one(recording: Recording) -> None:
    retries = ModelRetryStrategy(max_attempts=3, initial_delay=0)
    agent("patient", ModelThrottledException("slow"), "ok", retry_strategy=retries)("go")

    assert (
        recording.tree()
        == """\
agent patient
  other execute_event_loop_cycle
    llm scripted [error=strands.types.exceptions.ModelThrottledException]
    wait scripted
    llm scripted [attempt=2 tokens=10+5]"""
    )
    [wait] = calls(recording, OperationKind.WAIT)
    assert wait.wait_kind == "retry_backoff"


def test_an_exception_passes_unchanged_and_marks_what_failed(recording: Recording) -> None:
    down = ConnectionError("down")
    with pytest.raises(ConnectionError) as raised:
        agent("asker", down)("go")

    assert raised.value is down
    assert (
        recording.tree()
        == """\
agent asker [error=ConnectionError]
  other execute_event_loop_cycle [error=ConnectionError]
    llm scripted [error=ConnectionError]"""
    )


def research(**answers: Answer) -> tuple[Graph, list[Agent]]:
    builder = GraphBuilder()
    agents = [agent(name, *([answers[name]] if name in answers else ())) for name in ("plan", "left", "right", "write")]
    for each in agents:
        builder.add_node(each, each.name)
    for edge in (("plan", "left"), ("plan", "right"), ("left", "write"), ("right", "write")):
        builder.add_edge(*edge)
    builder.set_entry_point("plan")
    builder.set_graph_id("research")
    return builder.build(), agents


def node_tree(facts: str, name: str) -> str:
    return f"""
  phase {name} [{facts}]
    agent {name}
      other execute_event_loop_cycle
        llm scripted [tokens=10+5]"""


GRAPH_TREE = "workflow research" + "".join(
    [
        node_tree("step=1 after=nothing", "plan"),
        node_tree("step=2 group=batch 2 after=plan", "left"),
        node_tree("step=2 group=batch 2 after=plan", "right"),
        node_tree("step=3 after=left,right", "write"),
    ]
)


def test_a_graph_shows_its_nodes_batches_and_what_each_is_given(recording: Recording) -> None:
    graph, agents = research()

    graph(SECRET)

    assert recording.tree() == GRAPH_TREE
    assert recording.tokens() == sum((each.model.served for each in agents), TokenUsage())
    assert SECRET not in recording


async def test_the_consumer_of_a_graphs_stream_is_not_inside_a_phase(recording: Recording) -> None:
    graph, _ = research()

    async for _ in graph.stream_async("go"):
        # Strands' own span of the graph is current here, with and without us.
        assert getattr(trace.get_current_span(), "name", "invoke_graph") == "invoke_graph"

    assert recording.tree() == GRAPH_TREE


def test_a_graph_that_runs_again_begins_with_its_first_batch(recording: Recording) -> None:
    graph, _ = research()
    graph("first")
    recording.clear()

    graph("second")

    assert recording.tree() == GRAPH_TREE


async def test_branches_are_under_the_right_parent_every_time(recording: Recording) -> None:
    async def meet() -> None:
        await asyncio.sleep(0)
        with trace.get_tracer("user").start_as_current_span("inside"):
            await asyncio.sleep(0)

    builder = GraphBuilder()
    for name in ("left", "right"):
        model = ScriptedModel(gate=meet)
        builder.add_node(Agent(name=name, model=model, callback_handler=None), name)
    graph = builder.build()
    expected = "workflow graph" + "".join(
        node_tree("step=1 group=batch 1 after=nothing", name) + "\n          other inside" for name in ("left", "right")
    )

    for _ in range(200):
        recording.clear()
        await graph.invoke_async("go")
        assert recording.tree() == expected


def test_a_graph_within_a_graph_is_inside_its_node(recording: Recording) -> None:
    inner, outer = GraphBuilder(), GraphBuilder()
    inner.add_node(agent("worker"), "worker")
    outer.add_node(inner.build(), "team")
    outer.set_graph_id("outer")

    outer.build()("go")

    assert (
        recording.tree()
        == """\
workflow outer
  phase team [step=1 after=nothing]
    workflow graph
      phase worker [step=1 after=nothing]
        agent worker
          other execute_event_loop_cycle
            llm scripted [tokens=10+5]"""
    )


def test_a_node_that_fails_stops_the_graph_as_without_us(recording: Recording) -> None:
    graph, _ = research(left=ConnectionError("down"))

    with pytest.raises(ConnectionError):
        graph("go")

    execution = recording.execution()
    assert execution.status is ExecutionStatus.ERROR
    [failed] = [each for each in calls(recording, OperationKind.PHASE) if each.name == "left"]
    assert failed.error == "ConnectionError"
    assert "phase write" not in recording.tree()


def swarm() -> Swarm:
    handoff: list[Call] = [("handoff_to_agent", {"agent_name": "writer", "message": SECRET})]
    return Swarm([agent("scout", handoff, "bye"), agent("writer", "text")], id="newsroom")


SWARM_TREE = """\
workflow newsroom
  phase scout [after=nothing]
    agent scout
      other execute_event_loop_cycle
        llm scripted [tokens=10+5]
        handoff writer [from=scout]
      other execute_event_loop_cycle
        llm scripted [tokens=10+5]
  phase writer [after=scout]
    agent writer
      other execute_event_loop_cycle
        llm scripted [tokens=10+5]"""


def test_a_swarm_shows_its_turns_and_handoffs(recording: Recording) -> None:
    swarm()(SECRET)

    assert recording.tree() == SWARM_TREE
    assert SECRET not in recording


async def test_the_consumer_of_a_swarms_stream_is_not_inside_a_phase(recording: Recording) -> None:
    names = {getattr(trace.get_current_span(), "name", "") async for _ in swarm().stream_async("go")}

    assert not any(name.startswith("phase") for name in names)
    assert recording.tree() == SWARM_TREE


def test_an_agent_called_as_a_tool_is_within_the_tool(recording: Recording) -> None:
    inner = agent("inner", "yes")

    agent("outer", [("inner", {"input": SECRET})], tools=[inner.as_tool()])("go")

    assert (
        recording.tree()
        == """\
agent outer
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]
    tool inner
      agent inner
        other execute_event_loop_cycle
          llm scripted [tokens=10+5]
  other execute_event_loop_cycle
    llm scripted [tokens=10+5]"""
    )


async def test_a_closed_stream_ends_its_spans_without_an_error(recording: Recording) -> None:
    async with aclosing(agent("teller", "once upon a time").stream_async("go")) as events:
        async for event in events:
            if "data" in event:
                break

    assert (
        recording.tree()
        == """\
agent teller
  other execute_event_loop_cycle
    llm scripted"""
    )
    execution = recording.execution()
    assert execution.status is ExecutionStatus.OK
    assert all(each.ended and each.error is None for each in execution.operations)


async def test_a_cancelled_agent_ends_its_spans_without_an_error(recording: Recording) -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    stuck = Agent(name="stuck", model=ScriptedModel(gate=wait), callback_handler=None)
    task = asyncio.create_task(stuck.invoke_async("go"))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # Strands itself ends the agent's span only.
    assert (
        recording.tree()
        == """\
agent stuck
  other execute_event_loop_cycle
    llm scripted"""
    )
    assert all(each.ended and each.error is None for each in recording.execution().operations)


async def test_a_node_that_takes_too_long_ends_its_spans(recording: Recording) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    builder = GraphBuilder()
    builder.add_node(Agent(name="slow", model=ScriptedModel(gate=wait), callback_handler=None), "slow")
    builder.set_node_timeout(0.01)

    with pytest.raises(Exception, match="timed out"):
        await builder.build().invoke_async("go")

    assert (
        recording.tree()
        == """\
workflow graph [error=Exception]
  phase slow [step=1 after=nothing]
    agent slow
      other execute_event_loop_cycle
        llm scripted"""
    )
    assert all(each.ended for each in recording.execution().operations)


def test_a_closed_stream_of_a_swarm_ends_its_spans_without_an_error(recording: Recording) -> None:
    async def close_early() -> None:
        async with aclosing(swarm().stream_async("go")) as events:
            async for event in events:
                if event.get("type") == "multiagent_node_stream":
                    break

    # Strands leaves the generators within to the event loop, which closes them at its end at the latest.
    asyncio.run(close_early())

    assert (
        recording.tree()
        == """\
workflow newsroom
  phase scout [after=nothing]
    agent scout"""
    )
    execution = recording.execution()
    assert execution.status is ExecutionStatus.OK
    assert all(each.ended and each.error is None for each in execution.operations)


def test_agents_in_several_threads_are_executions_of_their_own(recording: Recording) -> None:
    threads = [threading.Thread(target=calculating(), args=("go",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert recording.trees() == [AGENT_TREE] * 4


def test_content_is_recorded_when_the_user_asks_for_it(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")

    calculating()("go")

    assert SECRET in recording
    assert recording.tree() == AGENT_TREE


def test_the_latest_conventions_read_the_same_without_content(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry.get_tracer(), "use_latest_genai_conventions", True)

    calculating()(SECRET)

    assert recording.tree() == AGENT_TREE
    assert SECRET not in recording


def test_follows_a_provider_that_is_set_later(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(trace, "_TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
        made_before = Tracer()
    monkeypatch.setattr(telemetry, "_tracer_instance", made_before)

    calculating()("go")

    assert recording.tree() == AGENT_TREE


def test_leaves_a_provider_that_the_user_gave_to_the_tracer(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    theirs = TracerProvider(shutdown_on_exit=False)
    theirs.add_span_processor(SimpleSpanProcessor(exporter))
    made = Tracer()
    made.tracer_provider, made.tracer = theirs, theirs.get_tracer("theirs")
    monkeypatch.setattr(telemetry, "_tracer_instance", made)

    calculating()("go")

    assert "invoke_agent math" in {span.name for span in exporter.get_finished_spans()}
    assert {span.name for span in recording.spans} == {"inside"}


async def test_events_are_the_same_without_us(recording: Recording) -> None:
    def names(events: list[dict[str, Any]]) -> list[list[str]]:
        return [sorted(event) for event in events]

    with_us = names([event async for event in swarm().stream_async("go")])
    assert recording.spans
    with instrumented(StrandsIntegration()):
        pass  # leaving takes everything back

    assert names([event async for event in swarm().stream_async("go")]) == with_us


def test_takes_everything_back() -> None:
    def patched() -> list[Any]:
        names = [
            "_start_span",
            "start_agent_span",
            "start_multiagent_span",
            "start_event_loop_cycle_span",
            "start_model_invoke_span",
            "end_model_invoke_span",
            "start_tool_call_span",
            "end_tool_call_span",
            "end_agent_span",
            "end_span_with_cancellation",
            "_add_event_messages",
            "_add_system_prompt_event",
            "_add_event",
            "_redact",
            "_end_span",
        ]
        methods = [getattr(Tracer, name) for name in names]
        nodes = [Graph._execute_nodes_parallel, Graph._execute_node, Swarm._execute_node, Swarm._handle_handoff]
        return [*methods, *nodes, HookRegistry.invoke_callbacks_async]

    def is_ours(function: Any) -> bool:
        return "otel_wfperf" in function.__code__.co_filename

    assert all(map(is_ours, patched()))
    with instrumented(StrandsIntegration()):
        pass
    assert not any(map(is_ours, patched()))


@pytest.fixture
def openinference() -> Iterator[Any]:
    """OpenInference's processor; that it was imported is all that tells of it."""
    module = pytest.importorskip("openinference.instrumentation.strands_agents")
    yield module.StrandsAgentsToOpenInferenceProcessor()
    for name in [name for name in sys.modules if name.startswith("openinference.instrumentation.strands_agents")]:
        del sys.modules[name]


def test_nothing_is_added_and_nothing_counts_twice_beside_openinference(
    recording: Recording, openinference: Any
) -> None:
    math = calculating()

    math("go")

    assert not any(name.startswith("wfperf.") for span in recording.spans for name in span.attributes or ())
    assert recording.tokens() == math.model.served
    for span in recording.spans:
        openinference.on_end(span)
    assert sum("openinference.span.kind" in (span.attributes or {}) for span in recording.spans) == 7
    assert recording.tokens() == math.model.served
    assert len(calls(recording, OperationKind.LLM)) == len(calls(recording, OperationKind.TOOL)) == 2
