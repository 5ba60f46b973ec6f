import asyncio
import inspect
import os
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

os.environ["AGNO_TELEMETRY"] = "false"
pytest.importorskip("agno")
import openai
from agno.agent import Agent
from agno.exceptions import ModelProviderError
from agno.models.openai import OpenAIChat
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowCompletedEvent
from agno.team import Team
from agno.tools.function import FunctionCall
from agno.workflow import Parallel, Step, Workflow
from agno.workflow.types import HumanReview, OnError, StepInput, StepOutput

from otel_wfperf import current_operation
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.agno import AgnoIntegration
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording

TRACER = trace.get_tracer("user")
USED = TokenUsage(input=12, output=3, cache_read=4, reasoning=1)


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    with instrumented(AgnoIntegration()):
        yield


def lines(text: str) -> str:
    return dedent(text).strip("\n")


# -- workflows ------------------------------------------------------------------------------------------------------


def work(step_input: StepInput) -> StepOutput:
    """A step's function."""
    with TRACER.start_as_current_span("inside"):
        return StepOutput(content=f"{step_input.input} secret")


async def awork(step_input: StepInput) -> StepOutput:
    """The same, asynchronously."""
    await asyncio.sleep(0)
    return work(step_input)


def research(executor: Any = work) -> Workflow:
    return Workflow(
        name="research",
        steps=[
            Step(name="plan", executor=executor),
            Parallel(Step(name="left", executor=executor), Step(name="right", executor=executor), name="both"),
            Step(name="write", executor=executor),
        ],
        telemetry=False,
    )


RESEARCH = lines("""
    workflow research
      phase plan
        other inside
      phase both
        phase left [group=both]
          other inside
        phase right [group=both]
          other inside
      phase write
        other inside
""")


def test_steps_are_phases_and_a_parallel_block_is_a_group(recording: Recording) -> None:
    assert research().run("secret").content == "secret secret"

    assert recording.tree() == RESEARCH
    assert "secret" not in recording


def test_an_async_run_and_streams_give_the_same(recording: Recording) -> None:
    async def streamed() -> list[Any]:
        return [event async for event in research(awork).arun("a", stream=True, stream_events=True)]

    asyncio.run(research(awork).arun("a"))
    events = list(research().run("a", stream=True, stream_events=True))
    async_events = asyncio.run(streamed())

    assert isinstance(events[-1], WorkflowCompletedEvent)
    assert isinstance(async_events[-1], WorkflowCompletedEvent)
    assert recording.trees() == [RESEARCH] * 3


def test_branches_are_under_their_run_over_many_runs(recording: Recording) -> None:
    workflow = research()
    for _ in range(200):
        workflow.run("a")

    assert recording.trees() == [RESEARCH] * 200


def test_a_stream_is_lazy_its_reader_is_outside_and_may_leave_early(recording: Recording) -> None:
    events = research().run("a", stream=True, stream_events=True)
    assert inspect.isgenerator(events)
    assert not recording.spans

    for _ in events:
        assert current_operation() is None
        assert not trace.get_current_span().is_recording()
        break
    events.close()

    assert recording.tree().splitlines()[0] == "workflow research"


def test_an_async_stream_s_reader_is_outside_and_may_leave_early(recording: Recording) -> None:
    async def running() -> None:
        events = research(awork).arun("a", stream=True, stream_events=True)
        assert inspect.isasyncgen(events)
        async for _ in events:
            assert current_operation() is None
            break
        await events.aclose()

    asyncio.run(running())

    assert recording.tree().splitlines()[0] == "workflow research"


def test_an_exception_passes_unchanged_and_marks_what_it_ends(recording: Recording) -> None:
    error = ValueError("secret")

    def fail(step_input: StepInput) -> StepOutput:
        del step_input
        raise error

    skipping = Workflow(name="skipping", steps=[Step(name="fail", executor=fail, max_retries=0)], telemetry=False)
    assert skipping.run("secret").status is RunStatus.completed

    failing = Step(name="fail", executor=fail, max_retries=0, human_review=HumanReview(on_error=OnError.fail))
    with pytest.raises(ValueError, match="secret") as caught:
        Workflow(name="failing", steps=[failing], telemetry=False).run("secret")
    assert caught.value is error

    assert recording.trees() == [
        "workflow skipping\n  phase fail [error=ValueError]",
        "workflow failing [error=ValueError]\n  phase fail [error=ValueError]",
    ]
    assert "secret" not in recording


def test_a_run_that_is_cancelled_has_ended_without_an_error(recording: Recording) -> None:
    async def running() -> None:
        started = asyncio.Event()

        async def hang(step_input: StepInput) -> StepOutput:
            started.set()
            await asyncio.Event().wait()
            return StepOutput(content=step_input.input)

        task = asyncio.create_task(
            Workflow(name="endless", steps=[Step(name="hang", executor=hang)], telemetry=False).arun("a")
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(running())

    assert recording.tree() == "workflow endless\n  phase hang"


# -- agents, tools, models ------------------------------------------------------------------------------------------


def search(query: str) -> str:
    """Search.

    Args:
        query: What to look for.
    """
    with TRACER.start_as_current_span(f"inside {query}"):
        return "found secret"


def explode(query: str) -> str:
    """Fail.

    Args:
        query: What to look for.
    """
    raise KeyError(query)


def agent(server: ModelServer, client: Any, **kwargs: Any) -> Agent:
    name = "async_client" if isinstance(client, openai.AsyncOpenAI) else "client"
    model = OpenAIChat(id="scripted-1", base_url=server.url, api_key="none", **{name: client})
    options = {"name": "helper", "tools": [search, explode], "telemetry": False, **kwargs}
    return Agent(model=model, **options)


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=model_server.url, api_key="none", max_retries=0) as openai_client:
        yield openai_client


CALLS = [ToolCall(name, {"query": query}) for name, query in (("search", "a"), ("search", "b"), ("explode", "c"))]
WITH_TOOLS = [
    "agent helper",
    "  llm scripted-1 [tokens=12+3]",
    "  tool search",
    "    other inside a",
    "  tool search",
    "    other inside b",
    "  tool explode [error=tool_error]",
    "  llm scripted-1 [tokens=12+3]",
]


@pytest.mark.parametrize("way", ["sync", "stream", "async", "async stream"])
def test_an_agent_s_calls_of_models_and_tools_are_below_it_with_exact_tokens(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI, way: str
) -> None:
    model_server.script(Answer(tools=CALLS, tokens=USED), Answer("the secret answer", tokens=USED))

    async def running() -> str:
        async with openai.AsyncOpenAI(base_url=model_server.url, api_key="none", max_retries=0) as async_client:
            helper = agent(model_server, async_client)
            if way == "async":
                return str((await helper.arun("secret")).content)
            return "".join([event.content or "" async for event in helper.arun("secret", stream=True)])

    if "async" in way:
        answer = asyncio.run(running())
    elif way == "stream":
        answer = "".join(event.content or "" for event in agent(model_server, client).run("secret", stream=True))
    else:
        answer = str(agent(model_server, client).run("secret").content)

    assert answer == "the secret answer"
    found = recording.tree().splitlines()
    assert found == WITH_TOOLS if "async" not in way else sorted(found) == sorted(WITH_TOOLS)
    assert recording.tokens() == model_server.served
    execution = recording.execution()
    tools = execution.of_kind(OperationKind.TOOL)
    assert len({tool.turn for tool in tools}) == 1
    assert all(tool.requested and tool.agent == "helper" for tool in tools)
    first, second = execution.of_kind(OperationKind.LLM)
    assert (first.time_to_first_token_s is not None) == ("stream" in way)
    assert second.context is not None
    assert (second.context.reused_ratio or 0) > 0
    assert "secret" not in recording


def test_an_agent_in_a_step_is_below_it(recording: Recording, model_server: ModelServer, client: openai.OpenAI) -> None:
    model_server.script(Answer("done", tokens=USED))
    workflow = Workflow(name="flow", steps=[Step(name="ask", agent=agent(model_server, client))], telemetry=False)

    workflow.run("a")

    assert recording.tree() == lines("""
        workflow flow
          phase ask
            agent helper
              llm scripted-1 [tokens=12+3]
    """)


def test_a_member_of_a_team_is_below_the_call_that_delegates_to_it(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI
) -> None:
    helper = agent(model_server, client, id="helper")
    delegate = ToolCall("delegate_task_to_member", {"member_id": "helper", "task": "look"})
    model_server.script(
        Answer(tools=[delegate], tokens=USED), Answer("found", tokens=USED), Answer("done", tokens=USED)
    )
    team = Team(name="team", members=[helper], model=helper.model, telemetry=False)

    assert team.run("a").content == "done"

    assert recording.tree() == lines("""
        agent team
          llm scripted-1 [tokens=12+3]
          tool delegate_task_to_member
            agent helper
              llm scripted-1 [tokens=12+3]
          llm scripted-1 [tokens=12+3]
    """)
    assert recording.tokens() == model_server.served


def test_a_model_that_fails_marks_its_call(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI
) -> None:
    model_server.script(Answer("secret", status=400))

    result = agent(model_server, client).run("a")

    assert "secret" in str(result.content)
    [call] = recording.execution().of_kind(OperationKind.LLM)
    assert call.error == f"{ModelProviderError.__module__}.{ModelProviderError.__qualname__}"
    assert "secret" not in recording


def test_what_was_replaced_is_restored(recording: Recording, model_server: ModelServer, client: openai.OpenAI) -> None:
    INSTRUMENTATION.remove("agno")

    for method in (
        Agent.run,
        Agent.arun,
        Team.run,
        Workflow.run,
        Step.execute,
        Parallel.aexecute,
        FunctionCall.execute,
    ):
        assert "otel_wfperf" not in method.__code__.co_filename
    model_server.script(Answer("done", tokens=USED))
    assert agent(model_server, client).run("a").content == "done"
    assert not recording.spans


def test_nothing_is_recorded_twice_beside_openinference(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI
) -> None:
    instrumentation = pytest.importorskip("openinference.instrumentation.agno")
    model_server.script(Answer(tools=CALLS[:1], tokens=USED), Answer("done", tokens=USED))
    other = instrumentation.AgnoInstrumentor()
    other.instrument()
    try:
        agent(model_server, client).run("a")
    finally:
        other.uninstrument()

    execution = recording.execution()
    assert "wfperf" not in execution.dialects
    assert len(execution.of_kind(OperationKind.LLM)) == 2
    assert (recording.tokens().input, recording.tokens().output) == (24, 6)
    assert [tool.name for tool in execution.of_kind(OperationKind.TOOL)] == ["search"]
