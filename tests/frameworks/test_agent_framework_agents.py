"""Microsoft Agent Framework 1.23: agents, tools and chat clients."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace

pytest.importorskip("agent_framework")
from agent_framework import (
    Agent,
    Content,
    Message,
    SlidingWindowStrategy,
)

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.agent_framework import AgentFrameworkIntegration
from otel_wfperf.model import OperationKind
from tests.frameworks.agent_framework_teams import SECRET, Scripted, agent, asking, search
from tests.frameworks.recording import Recording, tree

pytestmark = pytest.mark.filterwarnings("ignore:.*is experimental and may change:FutureWarning")


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AgentFrameworkIntegration()):
        yield


async def test_an_agent_by_itself_is_an_execution(recording: Recording) -> None:
    lone = agent("lone", asking("search"), "done", tools=[search])
    await lone.run("task")

    assert (
        recording.tree()
        == """\
agent lone
  llm scripted [tokens=10+5]
  tool search
    other inside
  llm scripted [tokens=10+5]"""
    )
    assert recording.tokens() == lone.client.served
    assert recording.execution().root.output_bytes == len("done")


async def test_a_streamed_agent_is_the_same(recording: Recording) -> None:
    lone = agent("lone", asking("search"), "done", tools=[search])
    async for _ in lone.run("task", stream=True):
        assert not trace.get_current_span().get_span_context().is_valid

    assert recording.tree().count("llm scripted [tokens=10+5]") == 2
    assert recording.tokens() == lone.client.served


async def test_tools_asked_for_at_once_share_their_turn(recording: Recording) -> None:
    lone = agent("lone", [*asking("search", "1"), *asking("search", "2")], "done", tools=[search])
    await lone.run("task")

    first, second = recording.execution().of_kind(OperationKind.TOOL)
    assert first.turn == second.turn is not None


async def test_an_agent_used_as_a_tool_is_below_the_tool(recording: Recording) -> None:
    helper = agent("helper", "help")
    boss = agent(
        "boss",
        [Content.from_function_call("1", "helper", arguments='{"task": "x"}')],
        "done",
        tools=[helper.as_tool(approval_mode="never_require")],
    )
    await boss.run("task")

    assert (
        recording.tree()
        == """\
agent boss
  llm scripted [tokens=10+5]
  tool helper
    agent helper
      llm scripted [tokens=10+5]
  llm scripted [tokens=10+5]"""
    )


async def test_a_chat_client_by_itself_is_recorded(recording: Recording) -> None:
    client = Scripted(answers=["yes"])
    await client.get_response([Message("user", ["hi"])])
    async for _ in client.get_response([Message("user", ["hi"])], stream=True):
        pass

    assert recording.trees() == ["llm scripted [tokens=10+5]"] * 2
    assert all(execution.root.context is not None for execution in recording.executions())


async def test_compacting_a_prompt_is_context_work_and_what_is_left_is_measured(recording: Recording) -> None:
    client = Scripted(answers=["yes"], compaction_strategy=SlidingWindowStrategy(keep_last_groups=1))
    await client.get_response([Message("user", ["one"]), Message("assistant", ["two"]), Message("user", ["three"])])

    execution = recording.execution()
    assert tree(execution) == "llm scripted [tokens=10+5]\n  context compact"
    assert execution.root.context is not None
    assert execution.root.context.messages == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_failing_model_fails_its_agent(recording: Recording, *, stream: bool) -> None:
    error = KeyError(SECRET)
    lone = agent("lone", error)
    running = lone.run("task", stream=True).get_final_response() if stream else lone.run("task")
    with pytest.raises(KeyError) as caught:
        await running

    assert caught.value is error
    assert recording.tree() == "agent lone [error=KeyError]\n  llm scripted [error=KeyError]"
    assert SECRET not in recording


async def test_an_agent_without_a_name_has_no_id_for_a_name(recording: Recording) -> None:
    await Agent(Scripted(answers=["yes"])).run("task")

    assert recording.tree() == "agent agent\n  llm scripted [tokens=10+5]"
