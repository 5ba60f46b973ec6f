"""Model calls of AutoGen 0.7."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_core")
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import (
    RoundRobinGroupChat,
)
from autogen_core.models import SystemMessage

from otel_wfperf import semconv
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.autogen import AutoGenIntegration
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.autogen_teams import SECRET, Scripted, search
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording, tokens, tree


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AutoGenIntegration()):
        yield


def openai_client(server: ModelServer) -> Any:
    openai = pytest.importorskip("autogen_ext.models.openai")
    info = Scripted("").model_info
    return openai.OpenAIChatCompletionClient(model="gpt-9", api_key="no", base_url=server.url, model_info=info)


@pytest.mark.parametrize("is_streaming", [False, True], ids=["whole", "streamed"])
async def test_tokens_are_those_that_the_server_served(
    recording: Recording, model_server: ModelServer, *, is_streaming: bool
) -> None:
    model_server.script(
        Answer(tools=[ToolCall("search", {"query": "x"})], tokens=TokenUsage(input=31, output=7)),
        Answer("it is done", tokens=TokenUsage(input=53, output=11)),
    )
    client = openai_client(model_server)
    if is_streaming:
        client._create_args["stream_options"] = {"include_usage": True}
    agent = AssistantAgent(
        "lone", model_client=client, tools=[search], reflect_on_tool_use=True, model_client_stream=is_streaming
    )
    await agent.run(task="go")
    await client.close()

    assert (
        recording.tree()
        == """\
agent lone
  llm gpt-9 [tokens=31+7]
  tool search
    other inside
  llm gpt-9 [tokens=53+11]"""
    )
    assert recording.tokens() == model_server.served
    last = recording.execution().of_kind(OperationKind.LLM)[-1]
    assert (last.time_to_first_token_s is not None) == is_streaming
    spans = [span for span in recording.spans if span.name == "chat gpt-9"]
    assert {(span.attributes or {})[semconv.PROVIDER_NAME] for span in spans} == {"openai"}


async def test_a_call_that_the_server_refuses_is_an_error_and_has_no_tokens(
    recording: Recording, model_server: ModelServer
) -> None:
    model_server.script(Answer(SECRET, status=400))
    client = openai_client(model_server)
    with pytest.raises(Exception, match=SECRET):
        await AssistantAgent("lone", model_client=client).run(task="go")
    await client.close()

    assert recording.tree() == "agent lone [error=openai.BadRequestError]\n  llm gpt-9 [error=openai.BadRequestError]"
    assert SECRET not in recording


async def test_a_cache_is_one_model_call_and_its_hits_use_no_tokens(recording: Recording) -> None:
    from autogen_core import InMemoryStore
    from autogen_ext.models.cache import ChatCompletionCache

    cache = ChatCompletionCache(Scripted("yes"), InMemoryStore())
    for _ in range(2):
        await AssistantAgent("lone", model_client=cache).run(task="go")

    first, second = recording.trees()
    assert first == "agent lone\n  llm scripted [tokens=10+5]"
    assert second == "agent lone\n  llm scripted"


async def test_a_model_called_by_itself_is_recorded(recording: Recording) -> None:
    await Scripted("yes").create([])
    items = [item async for item in Scripted("yes").create_stream([])]

    assert len(items) == 4
    assert recording.trees() == ["llm scripted [tokens=10+5]"] * 2


async def test_a_stream_of_a_model_that_is_closed_early_ends(recording: Recording) -> None:
    stream = Scripted("yes").create_stream([])
    await anext(stream)
    await stream.aclose()

    [span] = recording.spans
    assert span.status.status_code is StatusCode.UNSET


async def test_a_stream_that_a_function_returns_begins_when_the_function_is_called(recording: Recording) -> None:
    asked = []

    class Eager(Scripted):
        def create_stream(self, messages: Any, **kwargs: Any) -> Any:
            if not messages:
                raise LookupError
            asked.append(messages)
            return super().create_stream(messages, **kwargs)

    with pytest.raises(LookupError):
        Eager("yes").create_stream([])
    given = [SystemMessage(content="hi")]
    stream = Eager("yes").create_stream(given)
    assert asked == [given]
    assert not recording.spans

    assert len([item async for item in stream]) == 4
    assert recording.tree() == "llm scripted [tokens=10+5]"


# -- beside others


async def test_nothing_is_doubled_beside_openinference(recording: Recording, model_server: ModelServer) -> None:
    openinference = pytest.importorskip("openinference.instrumentation.autogen_agentchat")
    model_server.script(
        Answer(tools=[ToolCall("search", {"query": "x"})], tokens=TokenUsage(input=31, output=7)),
        Answer("it is done", tokens=TokenUsage(input=53, output=11)),
    )
    client = openai_client(model_server)
    agent = AssistantAgent("one", model_client=client, tools=[search], reflect_on_tool_use=True)
    other = openinference.AutogenAgentChatInstrumentor()
    other.instrument()
    try:
        await RoundRobinGroupChat([agent], max_turns=1).run(task="go")
    finally:
        other.uninstrument()
        await client.close()

    execution = next(each for each in recording.executions() if each.of_kind(OperationKind.LLM))
    assert (
        tree(execution)
        == """\
workflow RoundRobinGroupChat
  agent one
    llm gpt-9 [tokens=31+7]
    tool search
      other inside
    llm gpt-9 [tokens=53+11]"""
    )
    assert tokens(execution) == model_server.served
    assert not any("wfperf" in span.to_json() for span in recording.spans)
