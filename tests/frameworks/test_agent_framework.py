"""Microsoft Agent Framework 1.23: workflows of executors."""

import asyncio
import gc
import time
from collections.abc import Iterator, Mapping
from typing import Any, Never

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import StatusCode

pytest.importorskip("agent_framework")
from agent_framework import (
    Agent,
    Executor,
    WorkflowBuilder,
    WorkflowContext,
    WorkflowExecutor,
    handler,
)

import otel_wfperf
from otel_wfperf import semconv
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.agent_framework import AgentFrameworkIntegration
from otel_wfperf.model import OperationKind
from tests.frameworks.agent_framework_teams import NO_WAITS, RESEARCH, SECRET, Silent, Split, research_team
from tests.frameworks.recording import Recording, tree

pytestmark = pytest.mark.filterwarnings("ignore:.*is experimental and may change:FutureWarning")


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AgentFrameworkIntegration()):
        yield


async def test_a_workflow_has_phases_with_superstep_and_what_they_follow(recording: Recording) -> None:
    team, agents = research_team()
    result = await team.run(f"task {SECRET}")

    assert result.get_outputs() == ["2 answers"]
    assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
    assert recording.tokens() == agents[0].client.served + agents[1].client.served
    assert SECRET not in recording


async def test_a_streamed_run_is_the_same_and_its_consumer_is_not_traced_as_a_child(recording: Recording) -> None:
    team, agents = research_team()
    events = []
    async for event in team.run("task", stream=True):
        assert not trace.get_current_span().get_span_context().is_valid
        events.append(event.type)

    assert "output" in events
    assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
    assert recording.tokens() == agents[0].client.served + agents[1].client.served
    calls = recording.execution().of_kind(OperationKind.LLM)
    assert all(call.time_to_first_token_s is not None for call in calls)


async def test_branches_stay_below_their_own_executor_in_200_runs(recording: Recording) -> None:
    for _ in range(200):
        await research_team()[0].run("task")
        assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
        recording.clear()


async def test_building_a_workflow_is_no_execution(recording: Recording) -> None:
    research_team()

    assert [span.name for span in recording.spans] == ["workflow.build"]
    assert not recording.executions()


async def test_tools_know_the_model_response_that_asked_for_them(recording: Recording) -> None:
    await research_team()[0].run("task")

    execution = recording.execution()
    calls = {operation.span_id: operation for operation in execution.of_kind(OperationKind.LLM)}
    for used in execution.of_kind(OperationKind.TOOL):
        assert used.turn in calls
        assert used.requested
        assert used.agent == {"search": "res_a", "flaky": "res_b"}[used.name]
        assert used.input_hash is not None


async def test_prompts_are_measured_for_each_agent(recording: Recording) -> None:
    await research_team()[0].run("task")

    calls = recording.execution().of_kind(OperationKind.LLM)
    first, second = [call for call in calls if call.agent == "res_a"]
    assert first.context is not None
    assert second.context is not None
    assert (first.context.messages, second.context.messages) == (2, 4)
    assert second.context.reused_ratio is not None
    assert second.input_hash != first.input_hash


async def test_what_executors_are_given_and_say_is_known_by_size(recording: Recording) -> None:
    await research_team()[0].run("task")

    execution = recording.execution()
    split = next(phase for phase in execution.of_kind(OperationKind.PHASE) if phase.name == "split")
    assert (split.input_bytes, split.output_bytes) == (4, 4)
    assert execution.root.output_bytes == len("2 answers")


class Talker(Executor):
    @handler
    async def go(self, message: str, ctx: WorkflowContext[Never, str]) -> None:
        for number in range(200):
            await ctx.yield_output(f"{message} {number:03}")


async def test_what_is_said_piece_by_piece_is_described_once(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    talker = Talker(id="talker")
    workflow = WorkflowBuilder(start_executor=talker, name="talks", output_from=[talker]).build()
    described: list[str] = []
    original = Span.set_attributes

    def set_attributes(span: Span, attributes: Mapping[str, Any]) -> None:
        described.extend(name for name in attributes if name == semconv.OUTPUT_BYTES)
        original(span, attributes)

    monkeypatch.setattr(Span, "set_attributes", set_attributes)
    async for _ in workflow.run("say", stream=True):
        pass

    execution = recording.execution()
    [phase] = execution.of_kind(OperationKind.PHASE)
    assert (phase.output_bytes, execution.root.output_bytes) == (200 * len("say 000"), 200 * len("say 000"))
    assert len(described) == 2


async def test_a_workflow_in_a_workflow_is_below_its_executor(recording: Recording) -> None:
    inner = WorkflowBuilder(start_executor=Shout(id="shout"), name="inner").build()
    split = Split(id="split")
    outer = WorkflowBuilder(start_executor=split, name="outer").add_edge(split, WorkflowExecutor(inner, id="sub"))
    await outer.build().run("task")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow outer
  phase split [step=1 group=step 1 after=nothing]
    other inside
  phase sub [step=2 group=step 2 after=split]
    workflow inner
      phase shout [step=1 group=step 1 after=nothing]"""
    )


class Shout(Executor):
    @handler
    async def go(self, message: str, ctx: WorkflowContext[Never, str]) -> None:
        await ctx.yield_output(message.upper())


class Fails(Executor):
    def __init__(self, error: BaseException) -> None:
        super().__init__(id="fails")
        self.error = error

    @handler
    async def go(self, _message: str, _ctx: WorkflowContext[str]) -> None:
        raise self.error


async def test_an_exception_passes_unchanged_and_fails_executor_and_run(recording: Recording) -> None:
    error = KeyError(SECRET)
    with pytest.raises(KeyError) as caught:
        await WorkflowBuilder(start_executor=Fails(error), name="w").build().run("task")

    assert caught.value is error
    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow w [error=KeyError]
  phase fails [error=KeyError step=1 group=step 1 after=nothing]"""
    )
    assert SECRET not in recording


async def test_a_dropped_stream_ends_the_run_without_an_error(recording: Recording) -> None:
    stream = research_team()[0].run("task", stream=True)
    async for event in stream:
        if event.type == "executor_completed":
            break
    # The event loop closes a generator that nobody holds any more.
    del stream, event
    for _ in range(20):
        gc.collect()
        await asyncio.sleep(0)

    assert {span.status.status_code for span in recording.spans} == {StatusCode.UNSET}
    assert tree(recording.execution(), hide=NO_WAITS).startswith("workflow research\n  phase split")


async def test_a_cancelled_run_ends_everything_without_an_error(recording: Recording) -> None:
    asked = asyncio.Event()
    silent = Agent(Silent(answers=[asked]), name="silent")
    running = asyncio.ensure_future(WorkflowBuilder(start_executor=silent, name="w").build().run("task"))
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert recording.tree().splitlines()[0] == "workflow w"
    assert {span.status.status_code for span in recording.spans} == {StatusCode.UNSET}


class Slow(Executor):
    """Holds the event loop after it has sent its message, so that the message waits for the superstep to end."""

    @handler
    async def go(self, message: str, ctx: WorkflowContext[str]) -> None:
        await ctx.send_message(message)
        _spin()


class Busy(Executor):
    @handler
    async def go(self, _message: str, _ctx: WorkflowContext[str]) -> None:
        await asyncio.sleep(0)
        _spin()


def _spin() -> None:
    started_s = time.perf_counter()
    while time.perf_counter() - started_s < 0.005:
        pass


async def test_messages_wait_for_their_superstep_and_for_a_busy_executor(recording: Recording) -> None:
    split, one, two, busy = Split(id="split"), Slow(id="one"), Slow(id="two"), Busy(id="busy")
    builder = WorkflowBuilder(start_executor=split, name="w")
    builder.add_fan_out_edges(split, [one, two]).add_edge(one, busy).add_edge(two, busy)
    await builder.build().run("task")

    execution = recording.execution()
    waits = [wait for wait in execution.of_kind(OperationKind.WAIT) if wait.duration_ns >= 5_000_000]
    assert {(wait.name, wait.wait_kind) for wait in waits} == {
        ("superstep barrier", "queue"),
        ("executor busy", "lock"),
    }
    assert {wait.parent_id for wait in waits} == {execution.root_id}


# -- workflows of functions


async def test_a_run_within_a_workflow_of_the_user_is_part_of_it(recording: Recording) -> None:
    team = research_team()[0]
    with otel_wfperf.workflow("whole"):
        await team.run("task")

    assert recording.tree().startswith("workflow whole\n  workflow research\n")
