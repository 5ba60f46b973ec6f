import asyncio
import inspect
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

os.environ["AGNO_TELEMETRY"] = "false"
pytest.importorskip("agno")
import openai
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import ModelProviderError
from agno.models.openai import OpenAIChat
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowCompletedEvent
from agno.team import Team
from agno.tools.function import Function, FunctionCall
from agno.workflow import Condition, Loop, Parallel, Router, Step, Steps, Workflow
from agno.workflow.types import HumanReview, OnError, StepInput, StepOutput

from otel_wfperf import current_operation, semconv
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.agno import AgnoIntegration
from otel_wfperf.instrumentation.integrations.agno_parts import running as running_parts
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording, global_exporter, tree

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


def test_a_stream_that_is_asked_for_by_position_is_recorded_while_it_is_read(recording: Recording) -> None:
    position = list(inspect.signature(Workflow.run).parameters).index("stream") - 2

    list(research().run("a", *[None] * position, True))  # noqa: FBT003 - that is what is tested

    assert recording.tree() == RESEARCH


def test_blocks_are_phases_and_only_a_branch_itself_is_in_the_group(recording: Recording) -> None:
    workflow = Workflow(
        name="blocks",
        steps=[
            Parallel(
                Steps(name="sequence", steps=[Step(name="a", executor=work), Step(name="b", executor=work)]),
                Loop(name="loop", steps=[Step(name="c", executor=work)], max_iterations=2),
                Condition(name="condition", evaluator=True, steps=[Step(name="d", executor=work)]),
                work,
                name="both",
            ),
            Router(
                name="router",
                choices=[Step(name="e", executor=work), Step(name="f", executor=work)],
                selector=lambda step_input, step_choices: [step_choices[1]],  # noqa: ARG005 - called by these names
            ),
        ],
        telemetry=False,
    )

    workflow.run("a")

    assert tree(recording.execution(), hide=frozenset({OperationKind.OTHER})) == lines("""
        workflow blocks
          phase both
            phase condition [group=both]
              phase d
            phase loop [group=both]
              phase c
              phase c
            phase sequence [group=both]
              phase a
              phase b
            phase work [group=both]
          phase router
            phase f
    """)
    widths = {(span.attributes or {}).get(semconv.PARALLEL_WIDTH) for span in recording.spans}
    assert widths == {None, 4}


@pytest.mark.parametrize("way", ["sync", "stream", "async", "async stream"])
def test_a_run_that_is_continued_after_a_pause_is_recorded_again(recording: Recording, way: str) -> None:
    workflow = Workflow(
        name="paused",
        steps=[Step(name="ask", executor=work, human_review=HumanReview(requires_confirmation=True))],
        db=InMemoryDb(),
        telemetry=False,
    )
    paused = workflow.run("a")
    assert paused.status is RunStatus.paused
    for requirement in paused.active_step_requirements:
        requirement.confirm()
    recording.clear()

    async def running() -> list[Any]:
        if way == "async":
            return [await workflow.acontinue_run(paused)]
        return [event async for event in await workflow.acontinue_run(paused, stream=True, stream_events=True)]

    assert inspect.iscoroutinefunction(Workflow.acontinue_run)
    if "async" in way:
        asyncio.run(running())
    elif way == "stream":
        list(workflow.continue_run(paused, stream=True, stream_events=True))
    else:
        assert workflow.continue_run(paused).status is RunStatus.completed

    assert recording.tree() == "workflow paused\n  phase ask\n    other inside"


def test_a_run_that_could_not_be_recorded_leaves_the_program_s_own_span_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    global_exporter()

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError

    monkeypatch.setattr(running_parts, "start_workflow", fail)
    seen: list[Any] = []

    def look(step_input: StepInput) -> StepOutput:
        seen.append(trace.get_current_span())
        return StepOutput(content=step_input.input)

    async def streamed(workflow: Workflow) -> list[Any]:
        return [event async for event in workflow.arun("a", stream=True, stream_events=True)]

    with TRACER.start_as_current_span("program") as span:
        workflow = Workflow(name="looking", steps=[Step(name="look", executor=look)], telemetry=False)
        workflow.run("a")
        list(workflow.run("a", stream=True, stream_events=True))
        asyncio.run(workflow.arun("a"))
        asyncio.run(streamed(workflow))

    assert [each is span for each in seen] == [True] * 4
    assert failure_counts()["agno.start"] == 4


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


@pytest.mark.parametrize("is_async", [False, True])
def test_what_an_agent_asks_a_model_after_a_confirmation_is_below_it(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI, *, is_async: bool
) -> None:
    confirmed = Function.from_callable(search)
    confirmed.requires_confirmation = True
    model_server.script(Answer(tools=CALLS[:1], tokens=USED), Answer("done", tokens=USED))
    helper = agent(model_server, client, tools=[confirmed], db=InMemoryDb())
    paused = helper.run("a")
    assert paused.status is RunStatus.paused
    for requirement in paused.requirements or ():
        requirement.confirm()

    async def running() -> Any:
        async with openai.AsyncOpenAI(base_url=model_server.url, api_key="none", max_retries=0) as async_client:
            helper.model.async_client = async_client
            return await helper.acontinue_run(run_id=paused.run_id, requirements=paused.requirements)

    if is_async:
        result = asyncio.run(running())
    else:
        result = helper.continue_run(run_id=paused.run_id, requirements=paused.requirements)

    assert result.content == "done"
    assert recording.trees() == [
        "agent helper\n  llm scripted-1 [tokens=12+3]",
        "agent helper\n  tool search\n    other inside a\n  llm scripted-1 [tokens=12+3]",
    ]


def test_what_an_agent_writes_down_in_a_thread_of_its_own_is_below_it_with_exact_tokens(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI
) -> None:
    model_server.script(Answer("done", tokens=USED), Answer("done", tokens=USED))
    helper = agent(model_server, client, db=InMemoryDb(), update_memory_on_run=True)
    executor = helper.background_executor

    helper.run("secret", user_id="u")

    assert helper.background_executor is executor
    assert isinstance(executor, ThreadPoolExecutor)
    assert recording.tree() == lines("""
        agent helper
          llm scripted-1 [tokens=12+3]
          llm scripted-1 [tokens=12+3]
    """)
    assert recording.tokens() == model_server.served


def test_a_stream_that_is_never_read_records_nothing(
    recording: Recording, model_server: ModelServer, client: openai.OpenAI
) -> None:
    stream = agent(model_server, client).run("a", stream=True)
    del stream

    assert not recording.spans
    assert not model_server.requests


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
