"""AutoGen AgentChat 0.7: teams and agents."""
# ruff: noqa: ARG002 - AutoGen's interfaces have arguments that these fakes do not need

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_core")
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TaskResult
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import (
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool
from autogen_core import (
    CancellationToken,
    SingleThreadedAgentRuntime,
)

from otel_wfperf import workflow
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.autogen import AutoGenIntegration
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.autogen_teams import (
    NO_WAITS,
    RESEARCH,
    SECRET,
    Scripted,
    Silent,
    asking,
    assistant,
    research_team,
    search,
)
from tests.frameworks.recording import Recording, tree


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AutoGenIntegration()):
        yield


async def test_a_graph_is_a_workflow_with_phases_that_declare_what_they_follow(recording: Recording) -> None:
    result = await research_team().run(task=f"task {SECRET}")

    assert [message.source for message in result.messages[-1:]] == ["writer"]
    assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
    assert recording.tokens() == TokenUsage(input=60, output=30)
    assert SECRET not in recording


async def test_a_streamed_run_is_the_same_and_its_consumer_is_not_traced_as_a_child(recording: Recording) -> None:
    items = []
    async for item in research_team().run_stream(task="task"):
        assert not trace.get_current_span().get_span_context().is_valid
        items.append(item)

    assert isinstance(items[-1], TaskResult)
    assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH


async def test_tools_know_the_model_response_that_asked_for_them(recording: Recording) -> None:
    await research_team().run(task="task")

    execution = recording.execution()
    calls = {operation.span_id: operation for operation in execution.of_kind(OperationKind.LLM)}
    [search_call, _] = execution.of_kind(OperationKind.TOOL)
    assert search_call.turn in calls
    assert calls[search_call.turn].agent == "res_a"
    assert search_call.requested
    assert search_call.input_hash is not None
    assert search_call.output_hash is not None


async def test_prompts_are_measured_for_each_agent(recording: Recording) -> None:
    agent = assistant("poet", "one", "two")
    await RoundRobinGroupChat([agent], max_turns=2).run(task="write")

    first, second = recording.execution().of_kind(OperationKind.LLM)
    assert first.context is not None
    assert second.context is not None
    assert (first.context.messages, second.context.messages) == (2, 3)
    assert second.context.reused_ratio == pytest.approx(1.0, abs=0.2)
    assert (second.agent, second.temperature, second.model) == ("poet", 0.5, "scripted")


async def test_branches_stay_below_their_own_phase_in_200_runs(recording: Recording) -> None:
    for _ in range(200):
        await research_team().run(task="task")
        assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
        recording.clear()


async def test_turns_of_a_round_robin_are_steps_linked_to_the_one_before(recording: Recording) -> None:
    team = RoundRobinGroupChat([assistant("one", "x"), assistant("two", "y")], max_turns=3)
    await team.run(task="go")

    execution = recording.execution()
    assert (
        tree(execution, hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat
  agent one [step=1]
    llm scripted [tokens=10+5]
  agent two [step=2 after=one]
    llm scripted [tokens=10+5]
  agent one [step=3 after=two]
    llm scripted [tokens=10+5]"""
    )
    turns = execution.of_kind(OperationKind.AGENT)
    assert [[link.span_id for link in turn.links] for turn in turns] == [[], [turns[0].span_id], [turns[1].span_id]]


async def test_a_hand_off_is_recorded_with_both_agents(recording: Recording) -> None:
    alice = assistant("alice", asking("transfer_to_bob", arguments="{}"), handoffs=["bob"])
    await Swarm([alice, assistant("bob", "done")], max_turns=2).run(task="go")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow Swarm
  agent alice [step=1]
    llm scripted [tokens=10+5]
    tool transfer_to_bob
  handoff bob [from=alice]
  agent bob [step=2 after=alice]
    llm scripted [tokens=10+5]"""
    )


async def test_a_model_that_chooses_the_speaker_is_a_phase_with_numbered_attempts(recording: Recording) -> None:
    agents = [assistant("one", "x"), assistant("two", "y")]
    team = SelectorGroupChat(agents, model_client=Scripted("nobody", "two"), max_turns=1)
    await team.run(task="go")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow SelectorGroupChat
  phase select_speaker
    llm scripted [tokens=10+5]
    llm scripted [attempt=2 tokens=10+5]
  agent two [step=1]
    llm scripted [tokens=10+5]"""
    )
    assert recording.execution().of_kind(OperationKind.LLM)[0].agent == "SelectorGroupChatManager"


async def test_model_calls_of_an_orchestrator_are_its_own(recording: Recording) -> None:
    ledger = """{"is_request_satisfied": {"answer": true, "reason": ""}, "is_in_loop": {"answer": false, "reason": ""},
        "is_progress_being_made": {"answer": true, "reason": ""}, "next_speaker": {"answer": "one", "reason": ""},
        "instruction_or_question": {"answer": "go", "reason": ""}}"""
    team = MagenticOneGroupChat([assistant("one", "x")], model_client=Scripted("facts", "plan", ledger, "final"))
    await team.run(task="go")

    calls = recording.execution().of_kind(OperationKind.LLM)
    assert [call.agent for call in calls] == ["MagenticOneOrchestrator"] * 4


async def test_a_team_in_a_team_is_a_workflow_in_a_workflow(recording: Recording) -> None:
    inner = RoundRobinGroupChat([assistant("worker", "x")], name="inner", description="works", max_turns=1)
    outer = RoundRobinGroupChat([inner, assistant("boss", "y")], name="outer", max_turns=2)
    await outer.run(task="go")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow outer
  workflow inner
    agent worker [step=1]
      llm scripted [tokens=10+5]
  agent boss [step=2]
    llm scripted [tokens=10+5]"""
    )


async def test_an_agent_used_as_a_tool_is_below_the_tool(recording: Recording) -> None:
    helper = assistant("helper", "help")
    boss = assistant("boss", asking("helper", arguments='{"task": "x"}'), tools=[AgentTool(helper)])
    await RoundRobinGroupChat([boss], max_turns=1).run(task="go")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat
  agent boss [step=1]
    llm scripted [tokens=10+5]
    tool helper
      agent helper
        llm scripted [tokens=10+5]"""
    )


LONE = """\
agent lone
  llm scripted [tokens=10+5]
  tool search
    other inside"""


async def run_agent(agent: AssistantAgent) -> None:
    await agent.run(task="go")


async def stream_agent(agent: AssistantAgent) -> None:
    async for _ in agent.run_stream(task="go"):
        assert not trace.get_current_span().get_span_context().is_valid


async def ask_agent(agent: AssistantAgent) -> None:
    await agent.on_messages([TextMessage(content="go", source="user")], CancellationToken())


async def stream_answer(agent: AssistantAgent) -> None:
    async for _ in agent.on_messages_stream([TextMessage(content="go", source="user")], CancellationToken()):
        assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("is_streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("run", [run_agent, stream_agent, ask_agent, stream_answer])
async def test_a_lone_agent_is_one_execution(
    recording: Recording, run: Callable[[AssistantAgent], Any], *, is_streaming: bool
) -> None:
    await run(assistant("lone", asking("search"), tools=[search], model_client_stream=is_streaming))

    assert recording.tree() == LONE


class Echo(BaseChatAgent):
    """An agent of the user's own, without a model."""

    produced_message_types = (TextMessage,)

    async def on_messages(self, messages: Sequence[Any], cancellation_token: CancellationToken) -> Response:
        return Response(chat_message=TextMessage(content=messages[-1].content, source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


async def test_the_turn_of_an_agent_has_the_id_that_autogen_gives_it(recording: Recording) -> None:
    team = RoundRobinGroupChat([assistant("one", "x")], max_turns=1)
    await team.run(task="go")

    [span] = [span for span in recording.spans if span.name == "invoke_agent one"]
    assert (span.attributes or {})["gen_ai.agent.id"] == f"one_{team._team_id}/{team._team_id}"


async def test_agents_of_the_users_own_are_recorded_too(recording: Recording) -> None:
    await RoundRobinGroupChat([Echo("echo", "says it again")], max_turns=1).run(task="go")

    [agent] = recording.execution().of_kind(OperationKind.AGENT)
    assert (agent.name, agent.input_bytes, agent.output_bytes) == ("echo", 2, 2)


async def test_a_failing_model_fails_its_agent_and_the_run_as_without_us(recording: Recording) -> None:
    team = RoundRobinGroupChat([assistant("one", KeyError(SECRET))], max_turns=1)
    with pytest.raises(RuntimeError, match="KeyError"):
        await team.run(task="go")

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat [error=RuntimeError]
  agent one [error=KeyError step=1]
    llm scripted [error=KeyError]"""
    )
    assert SECRET not in recording


async def test_an_exception_of_a_lone_agent_passes_unchanged(recording: Recording) -> None:
    error = KeyError(SECRET)
    with pytest.raises(KeyError) as caught:
        await assistant("lone", error).run(task="go")

    assert caught.value is error
    assert recording.tree() == "agent lone [error=KeyError]\n  llm scripted [error=KeyError]"


async def test_a_closed_stream_ends_everything_without_an_error(recording: Recording) -> None:
    stream = RoundRobinGroupChat([assistant("one", "x")], max_turns=2).run_stream(task="go")
    async for item in stream:
        if getattr(item, "source", "") == "one":
            break
    await stream.aclose()

    execution = recording.execution()
    assert {span.status.status_code for span in recording.spans} == {StatusCode.UNSET}
    assert [agent.name for agent in execution.of_kind(OperationKind.AGENT)] == ["one", "one"]


async def test_a_stream_that_is_dropped_after_its_result_has_ended(recording: Recording) -> None:
    stream = assistant("lone", "x").run_stream(task="go")
    async for item in stream:
        if isinstance(item, TaskResult):
            break
    await stream.aclose()

    assert recording.tree() == "agent lone\n  llm scripted [tokens=10+5]"


@pytest.mark.parametrize("how", ["token", "task"])
async def test_a_cancelled_run_ends_without_an_error(recording: Recording, how: str) -> None:
    model = Silent()
    token = CancellationToken()
    team = RoundRobinGroupChat([AssistantAgent("one", model_client=model)], max_turns=1)
    running = asyncio.ensure_future(team.run(task="go", cancellation_token=token))
    await model.asked.wait()
    if how == "task":
        running.cancel()
        # The team waits for its runtime, as without us.
        for _ in range(20):
            await asyncio.sleep(0)
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat
  agent one [step=1]
    llm scripted"""
    )
    assert {span.status.status_code for span in recording.spans} == {StatusCode.UNSET}


async def test_a_run_within_a_workflow_of_the_user_is_part_of_it(recording: Recording) -> None:
    team = RoundRobinGroupChat([assistant("one", "x")], max_turns=1, name="team")
    with workflow("whole"):
        await team.run(task="go")

    assert recording.tree().startswith("workflow whole\n  workflow team\n")


async def test_a_runtime_started_elsewhere_is_no_obstacle(recording: Recording) -> None:
    runtime = SingleThreadedAgentRuntime()
    runtime.start()
    team = RoundRobinGroupChat([assistant("one", "x"), assistant("two", "y")], max_turns=2, runtime=runtime)
    await team.run(task="go")
    await runtime.stop_when_idle()

    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat
  agent one [step=1]
    llm scripted [tokens=10+5]
  agent two [step=2 after=one]
    llm scripted [tokens=10+5]"""
    )


async def test_setting_up_and_resetting_a_team_are_no_executions(recording: Recording) -> None:
    team = RoundRobinGroupChat([assistant("one", "x")], max_turns=1)
    await team.reset()
    await team.save_state()

    assert not recording.spans


# -- Core alone
