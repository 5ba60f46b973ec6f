"""What the AutoGen integration changes, and that it can be taken back."""

import asyncio
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_core")
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.teams import (
    BaseGroupChat,
    RoundRobinGroupChat,
)
from autogen_core import (
    SingleThreadedAgentRuntime,
)
from autogen_core.models import CreateResult, LLMMessage
from autogen_core.tools import BaseTool

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.autogen import AutoGenIntegration
from otel_wfperf.model import OperationKind
from tests.frameworks.autogen_teams import (
    NO_WAITS,
    Scripted,
    assistant,
)
from tests.frameworks.recording import Recording, tree


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AutoGenIntegration()):
        yield


async def test_spans_of_messages_are_written_for_whoever_asked(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOGEN_DISABLE_RUNTIME_TRACING", "false")
    team = RoundRobinGroupChat([assistant("one", "x")], max_turns=1)
    await team.run(task="go")

    steps = {span.name.split("_")[0] for span in recording.spans}
    assert steps >= {"autogen publish one", "autogen process one"}
    execution = next(each for each in recording.executions() if each.of_kind(OperationKind.AGENT))
    assert (
        tree(execution, hide=NO_WAITS)
        == """\
workflow RoundRobinGroupChat
  agent one [step=1]
    llm scripted [tokens=10+5]"""
    )


def _wrapped() -> Mapping[str, Any]:
    from autogen_agentchat.teams._group_chat import _chat_agent_container
    from autogen_core import BaseAgent, _single_threaded_agent_runtime
    from autogen_core._telemetry._tracing import TraceHelper
    from autogen_core.tools import _base

    runtime = SingleThreadedAgentRuntime
    return {
        "create": Scripted.create,
        "create_stream": Scripted.create_stream,
        "run_stream": BaseGroupChat.run_stream,
        "agent.run_stream": BaseChatAgent.run_stream,
        "on_messages_stream": AssistantAgent.on_messages_stream,
        "run_json": BaseTool.run_json,
        "send_message": runtime.send_message,
        "publish_message": runtime.publish_message,
        "process_send": runtime._process_send,
        "process_publish": runtime._process_publish,
        "on_message": BaseAgent.on_message,
        "trace_block": TraceHelper.trace_block,
        "metadata": _single_threaded_agent_runtime.get_telemetry_envelope_metadata,
        "agent_span": _chat_agent_container.trace_invoke_agent_span,
        "tool_span": _base.trace_tool_span,
    }


def test_signatures_stay_and_everything_can_be_taken_back() -> None:
    with instrumented(AutoGenIntegration()):
        while_recorded = _wrapped()
    # The fixture's integration is of the same name, so that it is gone as well.
    restored = _wrapped()

    for name, original in restored.items():
        assert while_recorded[name] is not original, name
        assert inspect.signature(while_recorded[name]) == inspect.signature(original), name
        assert inspect.isasyncgenfunction(while_recorded[name]) == inspect.isasyncgenfunction(original), name
        assert inspect.iscoroutinefunction(while_recorded[name]) == inspect.iscoroutinefunction(original), name
        assert not hasattr(original, "__wrapped__") or name == "trace_block" or name.endswith("_span"), name


def test_a_client_class_defined_later_is_recorded_and_taken_back(recording: Recording) -> None:
    class Later(Scripted):
        async def create(self, messages: Sequence[LLMMessage], **kwargs: Any) -> CreateResult:
            return await super().create(messages, **kwargs)

    asyncio.run(Later("yes").create([]))
    assert recording.tree() == "llm scripted [tokens=10+5]"

    with instrumented(AutoGenIntegration()):
        pass
    recording.clear()
    asyncio.run(Later("yes").create([]))
    assert not recording.spans


async def test_a_client_class_keeps_what_is_no_function_of_its_own() -> None:
    class Fixed:
        async def __call__(self, *given: Any) -> Any:
            return given

    fixed = Fixed()
    client: Any = type("Client", (Scripted,), {"create": fixed})

    assert await client("no").create("hi") == ("hi",)
    assert vars(client)["create"] is fixed


def test_what_a_program_puts_round_a_recorded_method_stays_when_all_is_taken_back() -> None:
    original: Any = Scripted.create

    @wraps(original)
    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return (await original(*args, **kwargs)).content

    decorated: Any = type("Decorated", (Scripted,), {"create": theirs})
    assert vars(decorated)["create"] is not theirs
    with instrumented(AutoGenIntegration()):
        pass

    assert vars(decorated)["create"] is theirs
    assert asyncio.run(decorated("yes").create([])) == "yes"
