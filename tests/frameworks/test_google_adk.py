import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("google.adk")
from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.flows.llm_flows.tools import _caller
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.telemetry import _instrumentation, context, tracing
from google.adk.telemetry.context import ContentCapturingMode, TelemetryConfig
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import JoinNode, RetryConfig, Workflow, node
from google.adk.workflow._node_runner import NodeRunner
from google.genai import types

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.google_adk import GoogleADKIntegration
from otel_wfperf.model import ExecutionStatus, OperationKind, TokenUsage
from tests.frameworks.recording import Recording, tokens

SECRET = "the secret word is xyzzy-plugh"
Call = tuple[str, dict[str, Any]]
Answer = str | list[Call] | Exception


@pytest.fixture(autouse=True)
def _instrumented(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "all")
    logging.getLogger("google_adk").setLevel(logging.CRITICAL)
    with instrumented(GoogleADKIntegration()):
        yield


class ScriptedModel(BaseLlm):
    """Answers what was scripted, 10 + 5 tokens each, one of the 10 from the cache and two of the 5 reasoning."""

    model: str = "scripted"
    answers: list[Any]
    gate: Any = None
    calls: int = 0

    async def generate_content_async(
        self,
        llm_request: Any,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature is the ADK's
    ) -> AsyncGenerator[LlmResponse, None]:
        del llm_request
        if self.gate is not None:
            await self.gate()
        answer = self.answers.pop(0) if self.answers else "done"
        if isinstance(answer, Exception):
            raise answer
        self.calls += 1
        usage = types.GenerateContentResponseUsageMetadata(
            prompt_token_count=10, candidates_token_count=3, thoughts_token_count=2, cached_content_token_count=1
        )
        if isinstance(answer, str):
            parts = [types.Part(text=answer)]
        else:
            calls = [
                types.FunctionCall(name=name, args=args, id=f"call-{at}") for at, (name, args) in enumerate(answer)
            ]
            parts = [types.Part(function_call=call) for call in calls]
        if stream and isinstance(answer, str):
            for word in answer.split():
                yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=word)]), partial=True)
        yield LlmResponse(
            content=types.Content(role="model", parts=parts),
            usage_metadata=usage,
            finish_reason=types.FinishReason.STOP,
            model_version="scripted-001",
        )

    @property
    def served(self) -> TokenUsage:
        return TokenUsage(input=10 * self.calls, output=5 * self.calls, cache_read=self.calls, reasoning=2 * self.calls)


def model(*answers: Answer, gate: Callable[[], Any] | None = None) -> ScriptedModel:
    return ScriptedModel(answers=list(answers), gate=gate)


def agent(name: str, *answers: Answer, **settings: Any) -> LlmAgent:
    return LlmAgent(name=name, model=model(*answers), **settings)


def runner_of(root: Any) -> InMemoryRunner:
    return InMemoryRunner(agent=root) if isinstance(root, LlmAgent) else InMemoryRunner(node=root)


async def start(root: Any) -> tuple[InMemoryRunner, dict[str, Any]]:
    runner = runner_of(root)
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="u")
    message = types.Content(role="user", parts=[types.Part(text=SECRET)])
    return runner, {"user_id": "u", "session_id": session.id, "new_message": message}


async def run(root: Any, **settings: Any) -> list[Any]:
    runner, arguments = await start(root)
    return [event async for event in runner.run_async(**arguments, **settings)]


def add(a: int, b: int, note: str = "") -> str:
    """Add numbers."""
    del note
    with trace.get_tracer("user").start_as_current_span("inside"):
        return f"{a + b} {SECRET}"


def fail() -> str:
    """Fail."""
    raise ValueError("no")


TOOLS: list[Call] = [("add", {"a": 1, "b": 2, "note": SECRET}), ("add", {"a": 3, "b": 4})]
AGENT_TREE = """\
workflow math
  agent math
    llm scripted [tokens=10+5]
    tool add
      other inside
    tool add
      other inside
    llm scripted [tokens=10+5]"""


def calculating() -> LlmAgent:
    return agent("math", TOOLS, f"12 {SECRET}", tools=[add], instruction=SECRET)


async def test_an_agent_is_one_execution_with_its_model_calls_and_tools(recording: Recording) -> None:
    root = calculating()

    await run(root)

    assert recording.tree() == AGENT_TREE
    assert recording.tokens() == root.model.served
    assert SECRET not in recording


async def test_tools_are_bound_to_the_model_call_that_asked_for_them(recording: Recording) -> None:
    await run(calculating())

    first, *_ = [each for each in recording.execution().operations if each.kind is OperationKind.LLM]
    tools = [each for each in recording.execution().operations if each.kind is OperationKind.TOOL]
    assert {tool.turn for tool in tools} == {first.span_id}
    assert all(tool.requested and tool.agent == "math" for tool in tools)
    assert tools[0].input_hash != tools[1].input_hash


def test_the_synchronous_runner_records_the_same_below_the_callers_span(recording: Recording) -> None:
    runner, arguments = asyncio.run(start(calculating()))

    with trace.get_tracer("user").start_as_current_span("request"):
        assert list(runner.run(**arguments))

    indented = "\n".join(f"  {line}" for line in AGENT_TREE.splitlines())
    assert recording.tree() == f"other request\n{indented}"


async def test_each_run_of_a_session_is_an_execution_of_its_own(recording: Recording) -> None:
    runner, arguments = await start(agent("teller"))

    for _ in range(2):
        async for _ in runner.run_async(**arguments):
            pass

    assert recording.trees() == ["workflow teller\n  agent teller\n    llm scripted [tokens=10+5]"] * 2


async def test_a_prompt_is_measured_and_compared_with_the_one_before(recording: Recording) -> None:
    await run(calculating())

    first, second = [each for each in recording.execution().operations if each.kind is OperationKind.LLM]
    assert first.context is not None
    assert second.context is not None
    assert (first.context.messages, second.context.messages) == (2, 4)
    assert first.context.reused_ratio is None
    assert 0 < (second.context.reused_ratio or 0) < 1
    assert (second.context.size_bytes or 0) > (first.context.size_bytes or 0)
    assert first.prefix_hash == second.prefix_hash
    assert first.model == "scripted"


async def test_a_stream_tells_when_its_first_token_came_and_counts_once(recording: Recording) -> None:
    root = agent("teller", "once upon a time")

    events = await run(root, run_config=RunConfig(streaming_mode=StreamingMode.SSE))

    assert len(events) > 4
    assert recording.tree() == "workflow teller\n  agent teller\n    llm scripted [tokens=10+5]"
    assert recording.tokens() == root.model.served
    [call] = [each for each in recording.execution().operations if each.kind is OperationKind.LLM]
    assert 0 < (call.time_to_first_token_s or 0) <= call.duration_ns / 1e9


async def test_the_consumer_of_a_stream_is_not_traced_as_a_child(recording: Recording) -> None:
    root = Workflow(name="flow", edges=[("START", agent("first"), agent("second"))])
    runner, arguments = await start(root)

    async for _ in runner.run_async(**arguments):
        assert not trace.get_current_span().is_recording()

    assert len(recording.executions()) == 1


def report() -> Workflow:
    tries = iter([ConnectionError("down")])

    def plan(node_input: Any) -> str:
        del node_input
        return "plan"

    def left(node_input: str) -> str:
        for error in tries:
            raise error
        return node_input + " left"

    async def right(node_input: str) -> str:
        with trace.get_tracer("user").start_as_current_span("inside"):
            return node_input + " right"

    def publish(node_input: Any) -> str:
        return str(node_input)

    retried = node(left, retry_config=RetryConfig(max_attempts=3, initial_delay=0.0, jitter=0.0))
    join = JoinNode(name="join")
    edges = [("START", plan), (plan, (retried, right), join), (join, agent("writer"), publish)]
    return Workflow(name="report", edges=edges)


REPORT_TREE = """\
workflow report
  phase plan [after=nothing]
  phase left [error=ConnectionError group=after plan@1 after=plan]
  phase left [attempt=2 group=after plan@1 after=plan]
  phase right [group=after plan@1 after=plan]
    other inside
  wait left
  phase join [after=left,right]
  phase writer [after=join]
    agent writer
      llm scripted [tokens=10+5]
  phase publish [after=writer]"""


async def test_a_graph_shows_its_nodes_attempts_groups_and_what_each_waits_for(recording: Recording) -> None:
    await run(report())

    assert recording.tree() == REPORT_TREE
    [wait] = [each for each in recording.execution().operations if each.kind is OperationKind.WAIT]
    assert wait.wait_kind == "retry_backoff"
    assert SECRET not in recording


async def test_branches_are_under_the_right_parent_every_time(recording: Recording) -> None:
    async def left() -> None:
        await asyncio.sleep(0)
        with trace.get_tracer("user").start_as_current_span("in left"):
            await asyncio.sleep(0)

    async def right() -> None:
        with trace.get_tracer("user").start_as_current_span("in right"):
            await asyncio.sleep(0)

    expected = """\
workflow fan
  phase left [group=after START after=nothing]
    other in left
  phase right [group=after START after=nothing]
    other in right"""
    graph = Workflow(name="fan", edges=[("START", left), ("START", right)])

    for _ in range(200):
        recording.clear()
        runner, arguments = await start(graph)
        async for _ in runner.run_async(**arguments):
            pass
        assert recording.tree() == expected


async def test_a_node_waits_for_room(recording: Recording) -> None:
    async def first(node_input: Any) -> str:
        await asyncio.sleep(0)
        return str(node_input)

    async def second(node_input: Any) -> str:
        return str(node_input)

    join = JoinNode(name="join")
    await run(Workflow(name="narrow", edges=[("START", (first, second), join)], max_concurrency=1))

    assert (
        recording.tree()
        == """\
workflow narrow
  wait second
  phase first [group=after START after=nothing]
  phase second [group=after START after=nothing]
  phase join [after=first,second]"""
    )
    [wait] = [each for each in recording.execution().operations if each.kind is OperationKind.WAIT]
    assert (wait.wait_kind, wait.concurrency_limit, wait.queue_depth) == ("concurrency", 1, 1)


async def test_the_items_of_a_parallel_worker_are_a_group_and_wait_for_room(recording: Recording) -> None:
    def split(node_input: Any) -> list[int]:
        del node_input
        return [1, 2, 3]

    async def work(node_input: int) -> int:
        return node_input

    worker = node(work, parallel_worker=True, max_parallel_workers=2)
    await run(Workflow(name="batch", edges=[("START", split, worker)]))

    assert (
        recording.tree()
        == """\
workflow batch
  phase split [after=nothing]
  phase work [after=split]
    wait work
    phase work [group=items of work after=nothing]
    phase work [group=items of work after=nothing]
    phase work [group=items of work after=nothing]"""
    )


async def test_a_graph_within_a_graph_is_a_phase(recording: Recording) -> None:
    def inside(node_input: Any) -> str:
        return str(node_input)

    def after(node_input: Any) -> str:
        return str(node_input)

    await run(Workflow(name="outer", edges=[("START", Workflow(name="inner", edges=[("START", inside)]), after)]))

    assert (
        recording.tree()
        == """\
workflow outer
  phase inner [after=nothing]
    phase inside [after=nothing]
  phase after [after=inner]"""
    )


async def test_an_agent_that_passes_the_work_on_is_a_handoff(recording: Recording) -> None:
    helper = agent("helper", description="helps")
    await run(agent("desk", [("transfer_to_agent", {"agent_name": "helper"})], sub_agents=[helper]))

    assert (
        recording.tree()
        == """\
workflow desk
  agent desk
    llm scripted [tokens=10+5]
    handoff helper [from=desk]
  agent helper
    llm scripted [tokens=10+5]"""
    )


# The ADK warns of itself: its tool passes the plugins of the caller on.
@pytest.mark.filterwarnings("ignore:The `plugins` argument is deprecated:DeprecationWarning")
async def test_an_agent_called_as_a_tool_is_within_the_tool(recording: Recording) -> None:
    inner = agent("inner", "yes")
    outer = agent("outer", [("inner", {"request": SECRET})], tools=[AgentTool(agent=inner)])

    await run(outer)

    assert (
        recording.tree()
        == """\
workflow outer
  agent outer
    llm scripted [tokens=10+5]
    tool inner
      workflow inner
        agent inner
          llm scripted [tokens=10+5]
    llm scripted [tokens=10+5]"""
    )
    assert recording.tokens() == inner.model.served + outer.model.served
    assert SECRET not in recording


@pytest.mark.filterwarnings("ignore:.*Agent is deprecated:DeprecationWarning")
async def test_agents_side_by_side_are_a_group(recording: Recording) -> None:
    from google.adk.agents import ParallelAgent, SequentialAgent

    class AllAtOnce(ParallelAgent):
        """A user's own."""

    both = AllAtOnce(name="both", sub_agents=[agent("x"), agent("y")])
    runner = InMemoryRunner(agent=SequentialAgent(name="chain", sub_agents=[agent("first"), both]))
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="u")
    message = types.Content(role="user", parts=[types.Part(text="go")])

    async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=message):
        pass

    assert (
        recording.tree()
        == """\
workflow chain
  agent chain
    agent first
      llm scripted [tokens=10+5]
    agent both
      agent x [group=both]
        llm scripted [tokens=10+5]
      agent y [group=both]
        llm scripted [tokens=10+5]"""
    )


async def test_an_exception_passes_unchanged_and_marks_what_failed(recording: Recording) -> None:
    down = ConnectionError("down")
    with pytest.raises(ConnectionError) as raised:
        await run(agent("asker", down))

    assert raised.value is down
    assert (
        recording.tree()
        == """\
workflow asker [error=ConnectionError]
  agent asker [error=ConnectionError]
    llm scripted [error=ConnectionError]"""
    )
    recording.clear()
    with pytest.raises(ValueError, match="no"):
        await run(agent("caller", [("fail", {})], tools=[fail]))
    assert (
        recording.tree()
        == """\
workflow caller [error=ValueError]
  agent caller [error=ValueError]
    llm scripted [tokens=10+5]
    tool fail [error=ValueError]"""
    )


async def test_a_node_that_takes_too_long_is_an_error(recording: Recording) -> None:
    async def slow(node_input: Any) -> str:
        await asyncio.Event().wait()
        return str(node_input)

    with pytest.raises(Exception, match="timed out"):
        await run(Workflow(name="hasty", edges=[("START", node(slow, timeout=0.01))]))

    assert (
        recording.tree()
        == """\
workflow hasty [error=google.adk.workflow._errors.NodeTimeoutError]
  phase slow [error=google.adk.workflow._errors.NodeTimeoutError after=nothing]"""
    )


async def test_a_closed_stream_ends_its_spans_without_an_error(recording: Recording) -> None:
    root = Workflow(name="flow", edges=[("START", agent("first"), agent("second"))])
    runner, arguments = await start(root)

    async with aclosing(runner.run_async(**arguments)) as events:
        async for _ in events:
            break

    execution = recording.execution()
    assert execution.status is ExecutionStatus.OK
    assert all(each.ended and each.error is None for each in execution.operations)
    assert recording.tree().startswith("workflow flow\n  phase first [after=nothing]\n    agent first")


async def test_a_cancelled_run_ends_its_spans_without_an_error(recording: Recording) -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    stuck = LlmAgent(name="stuck", model=model(gate=wait))
    task = asyncio.create_task(run(Workflow(name="flow", edges=[("START", stuck)])))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (
        recording.tree()
        == """\
workflow flow
  phase stuck [after=nothing]
    agent stuck
      llm scripted"""
    )
    assert all(each.ended and each.error is None for each in recording.execution().operations)


async def test_the_older_telemetry_schema_reads_the_same(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", "1")
    root = calculating()

    await run(root)

    assert recording.tree() == AGENT_TREE
    assert recording.tokens() == root.model.served
    assert SECRET not in recording


@pytest.mark.parametrize(("setting", "is_recorded"), [(None, False), ("false", False), ("true", True)])
async def test_content_is_left_out_unless_the_user_decided(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, setting: str | None, *, is_recorded: bool
) -> None:
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", "1")
    if setting is not None:
        monkeypatch.setenv("ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS", setting)

    await run(calculating())

    assert (SECRET in recording) == is_recorded
    assert os.environ.get("ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS") == setting


async def test_content_that_one_run_asks_for_is_recorded(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", "1")
    telemetry = TelemetryConfig(capture_message_content=ContentCapturingMode.SPAN_ONLY)

    await run(calculating(), run_config=RunConfig(telemetry=telemetry))

    assert SECRET in recording


async def test_events_are_the_same_without_us(recording: Recording) -> None:
    def said(events: list[Any]) -> list[Any]:
        return [(event.author, event.content, event.output) for event in events]

    with_us = said(await run(report()))
    assert recording.spans
    with instrumented(GoogleADKIntegration()):
        pass  # leaving takes everything back

    assert said(await run(report())) == with_us


def test_takes_everything_back() -> None:
    def patched() -> list[Any]:
        return [
            _instrumentation.record_invocation,
            _instrumentation.InferenceScope.record_llm_response,
            context._read_add_content_to_legacy_spans,
            tracing._set_common_generate_content_attributes,
            tracing.trace_tool_call,
            tracing.trace_agent_invocation,
            NodeRunner._execute_node,
            NodeRunner._attempt_retry,
            Workflow._run_loop,
            Workflow._buffer_downstream_triggers,
            Workflow._schedule_ready_nodes,
            Workflow._start_node_task,
        ]

    def is_ours(function: Any) -> bool:
        return "otel_wfperf" in function.__code__.co_filename

    assert all(map(is_ours, patched()[1:]))
    with instrumented(GoogleADKIntegration()):
        pass
    assert not any(map(is_ours, patched()[1:]))
    assert _caller._instrumentation is _instrumentation


# Of the default schema, openinference-instrumentation-google-adk 1.0.5 writes all model calls of an agent on one span.
@pytest.mark.parametrize(("schema", "model_calls"), [("1", 2), ("2", 1)])
async def test_nothing_is_added_and_nothing_counts_twice_beside_openinference(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, schema: str, model_calls: int
) -> None:
    monkeypatch.setenv("ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN", schema)
    instrumentor = pytest.importorskip("openinference.instrumentation.google_adk").GoogleADKInstrumentor()
    instrumentor.instrument(skip_dep_check=True)
    try:
        await run(calculating())
        await run(report())
    finally:
        instrumentor.uninstrument()

    first, second = recording.executions()
    kinds = [each.kind for each in first.operations]
    # Its note about merged tools is a tool to it.
    assert (kinds.count(OperationKind.LLM), kinds.count(OperationKind.TOOL)) == (model_calls, 3)
    assert tokens(first) == TokenUsage(
        input=10 * model_calls, output=5 * model_calls, cache_read=model_calls, reasoning=2 * model_calls
    )
    assert not any(name.startswith("wfperf.") for span in recording.spans for name in span.attributes or ())
    assert not any(each.kind is OperationKind.WAIT for each in second.operations)
