"""The OpenAI Agents SDK, offline: the SDK's own model classes on a local server, and a model that needs none."""

import asyncio
import inspect
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry import trace as otel_trace

pytest.importorskip("agents.tracing")
import agents
import openai
from agents import (
    Agent,
    GuardrailFunctionOutput,
    ModelRetrySettings,
    ModelSettings,
    RunConfig,
    Runner,
    ToolExecutionConfig,
    custom_span,
    function_tool,
    generation_span,
    input_guardrail,
    set_trace_processors,
    trace,
)
from agents.models.interface import Model
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_context import ToolContext
from agents.tracing import setup
from agents.tracing.provider import DefaultTraceProvider
from agents.tracing.scope import Scope

from otel_wfperf import semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.openai_agents import OpenAIAgentsIntegration
from otel_wfperf.model import ExecutionStatus, OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording, tree

ASKED = TokenUsage(input=20, output=4, cache_read=8, reasoning=1)
# Without it, a server that is not OpenAI's own tells no tokens of a streamed chat.
USAGE = ModelSettings(include_usage=True)
LLM, TOOL, WAIT = OperationKind.LLM, OperationKind.TOOL, OperationKind.WAIT


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    # Without OpenAI's own exporter, which would try to reach its server.
    set_trace_processors([])
    with instrumented(OpenAIAgentsIntegration()):
        yield


class FakeModel(Model):
    """Answers what it was given, and counts one token in and two out a call."""

    def __init__(self, *answers: Any) -> None:
        self.answers = deque(answers)
        self.model = "fake-1"

    async def get_response(self, *_: Any, tracing: Any, **__: Any) -> Any:
        with generation_span(model=self.model, disabled=tracing.is_disabled()) as span:
            await asyncio.sleep(0)
            answer = self.answers.popleft() if self.answers else "done"
            if isinstance(answer, BaseException):
                span.set_error({"message": str(answer), "data": None})
                raise answer
            if callable(answer):
                answer = await answer()
            span.span_data.usage = {"requests": 1, "input_tokens": 1, "output_tokens": 2}
            output = answer if isinstance(answer, list) else [assistant_message(answer)]
            return agents.ModelResponse(output=output, usage=agents.Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


@function_tool
def search(q: str) -> str:
    with otel_trace.get_tracer("user").start_as_current_span("inside"):
        return f"found {q}"


@function_tool
def flaky(q: str) -> str:
    raise ValueError(f"secret {q}")


@pytest_asyncio.fixture
async def client(model_server: ModelServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model_server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def chat(client: openai.AsyncOpenAI) -> Model:
    """A model that speaks the chat API to the local server."""
    return agents.OpenAIChatCompletionsModel(model="gpt-chat", openai_client=client)


@pytest.fixture
def responses(client: openai.AsyncOpenAI) -> Model:
    """The same with the responses API."""
    return agents.OpenAIResponsesModel(model="gpt-resp", openai_client=client)


async def consume(result: Any) -> None:
    async for _ in result.stream_events():
        assert not otel_trace.get_current_span().is_recording()


RESEARCH = """\
workflow research
  phase Researcher
    agent Researcher
      llm gpt-chat [tokens=20+4]
      tool flaky [error=ValueError]
      tool search
        other inside
      llm gpt-chat [tokens=10+5]
      handoff Writer [from=Researcher]
    agent Writer
      llm gpt-resp [tokens=10+5]"""


@pytest.mark.parametrize("streamed", [False, True])
async def test_records_runs_within_a_trace_with_tools_handoffs_and_exact_tokens(
    recording: Recording, model_server: ModelServer, chat: Model, responses: Model, *, streamed: bool
) -> None:
    writer = Agent(name="Writer", instructions="secret style", model=responses)
    tools = [search, flaky]
    researcher = Agent(name="Researcher", model=chat, model_settings=USAGE, tools=tools, handoffs=[writer])
    model_server.script(
        Answer(tools=[ToolCall("flaky", {"q": "secret x"}), ToolCall("search", {"q": "secret y"})], tokens=ASKED),
        Answer(tools=[ToolCall("transfer_to_writer")]),
        "a secret result",
    )

    with trace("research", group_id="thread-1"):
        if streamed:
            result = Runner.run_streamed(researcher, "secret question")
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(researcher, "secret question")

    assert result.final_output == "a secret result"
    execution = recording.execution()
    assert tree(execution) == RESEARCH
    assert recording.tokens() == model_server.served
    assert {each.conversation for each in execution.operations if each.workflow or each.kind == "agent"} == {"thread-1"}
    assert "secret" not in recording


@pytest.mark.parametrize("streamed", [False, True])
async def test_model_calls_tell_provider_model_sizes_and_why_they_stopped(
    recording: Recording, model_server: ModelServer, chat: Model, responses: Model, *, streamed: bool
) -> None:
    for model in (chat, responses):
        model_server.script(Answer(tools=[ToolCall("search", {"q": "x"})], tokens=ASKED), "two words")
        settings = ModelSettings(temperature=0.5, include_usage=True)
        agent = Agent(name="A", instructions="be short", model=model, tools=[search], model_settings=settings)
        if streamed:
            await consume(Runner.run_streamed(agent, "hello"))
        else:
            await Runner.run(agent, "hello")

    recorded = [span.attributes or {} for span in recording.spans if span.name.startswith("chat ")]
    ids = [f"{span.context.span_id:016x}" for span in recording.spans if span.name.startswith("chat ")]
    # A chat completion tells no id of its own.
    answers = {span_id: call.get(semconv.RESPONSE_ID, span_id) for span_id, call in zip(ids, recorded, strict=True)}
    for execution in recording.executions():
        first, second = execution.of_kind(LLM)
        [tool] = execution.of_kind(TOOL)
        assert (first.tokens, first.agent) == (ASKED, "A")
        assert tool.turn == answers[first.span_id]
        assert second.input_bytes is not None
        assert first.input_bytes is not None
        assert second.input_bytes > first.input_bytes >= len("hello")
        assert second.output_bytes == len("two words")
        assert first.prefix_hash == second.prefix_hash is not None
        assert second.context is not None
        assert second.context.reused_ratio is not None
        assert 0 < second.context.reused_ratio < 1
        assert (second.time_to_first_token_s is not None) == streamed
    assert {each[semconv.PROVIDER_NAME] for each in recorded} == {"openai"}
    assert [each[semconv.REQUEST_MODEL] for each in recorded] == ["gpt-chat"] * 2 + ["gpt-resp"] * 2
    reasons = [each.get(semconv.FINISH_REASONS) for each in recorded]
    assert reasons[0] == reasons[2] == ("tool_calls",)
    assert reasons[3] == ("stop",)
    assert all("tool.call.id" not in each for each in recorded)
    [one, other] = [span.attributes or {} for span in recording.spans if span.name == "execute_tool search"]
    assert one[semconv.TOOL_CALL_ID] != other[semconv.TOOL_CALL_ID]


async def test_a_run_without_a_trace_is_an_execution_of_its_own(recording: Recording) -> None:
    agent = Agent(name="A", model=FakeModel())
    await Runner.run(agent, "x")
    await Runner.run(agent, "y", run_config=RunConfig(workflow_name="second", group_id="g"))

    assert recording.trees() == [
        "workflow Agent workflow\n  agent A\n    llm fake-1 [tokens=1+2]",
        "workflow second\n  agent A\n    llm fake-1 [tokens=1+2]",
    ]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test's own, which ``run_sync`` uses and leaves open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.usefixtures("loop")
def test_a_synchronous_run_is_recorded_the_same(recording: Recording) -> None:
    Runner.run_sync(Agent(name="A", model=FakeModel()), "x")

    assert recording.tree() == "workflow Agent workflow\n  agent A\n    llm fake-1 [tokens=1+2]"


async def test_a_trace_of_the_sdk_s_own_within_a_user_s_workflow_is_a_phase_of_that(recording: Recording) -> None:
    import otel_wfperf

    with otel_wfperf.workflow("mine"):
        await Runner.run(Agent(name="A", model=FakeModel()), "x")
        with otel_wfperf.phase("by hand"):
            await Runner.run(Agent(name="B", model=FakeModel()), "x")

    assert recording.tree() == (
        "workflow mine\n"
        "  phase A\n    agent A\n      llm fake-1 [tokens=1+2]\n"
        "  phase by hand\n    agent B\n      llm fake-1 [tokens=1+2]"
    )


async def test_branches_run_in_parallel_never_mix(recording: Recording) -> None:
    names = ["a", "b", "c"]

    async def branch(name: str) -> None:
        answers = ([function_call("search", {"q": name}, call_id=f"call-{name}")], f"done {name}")
        agent = Agent(name=name, model=FakeModel(*answers), tools=[search])
        await Runner.run(agent, name)

    async def run() -> None:
        with trace("fan out"):
            await asyncio.gather(*(branch(name) for name in names))

    for _ in range(200):
        recording.clear()
        await run()
        execution = recording.execution()
        phases = execution.children(execution.root.span_id)
        assert sorted(phase.name for phase in phases) == names
        for phase in phases:
            assert tree(execution).count(f"phase {phase.name}\n    agent {phase.name}\n") == 1
        assert all(
            each.agent == each.phase
            for each in execution.operations
            if each.kind is not OperationKind.WORKFLOW and each.kind is not OperationKind.PHASE
        )
        owners = sorted(str(each.agent) for each in execution.of_kind(LLM))
        assert owners == sorted(names * 2)


async def test_parallel_tools_of_one_answer_share_its_turn_and_keep_their_spans(recording: Recording) -> None:
    both = asyncio.Barrier(2)

    @function_tool
    async def meet(who: str) -> str:
        with otel_trace.get_tracer("user").start_as_current_span(f"inside {who}"):
            await both.wait()
        return who

    calls = [function_call("meet", {"who": who}, call_id=who) for who in ("x", "y")]
    await Runner.run(Agent(name="A", model=FakeModel(calls), tools=[meet]), "go")

    execution = recording.execution()
    assert tree(execution) == (
        "workflow Agent workflow\n  agent A\n    llm fake-1 [tokens=1+2]\n"
        "    tool meet\n      other inside x\n    tool meet\n      other inside y\n    llm fake-1 [tokens=1+2]"
    )
    first, second = execution.of_kind(TOOL)
    assert first.turn == second.turn is not None


async def test_a_tool_that_waits_for_a_slot_shows_as_a_wait(recording: Recording) -> None:
    calls = [function_call("search", {"q": str(n)}, call_id=str(n)) for n in range(3)]
    limits = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=1))
    await Runner.run(Agent(name="A", model=FakeModel(calls), tools=[search]), "go", run_config=limits)

    waits = recording.execution().of_kind(WAIT)
    assert [(wait.name, wait.wait_kind, wait.concurrency_limit, wait.queue_depth) for wait in waits] == [
        ("function tools", "concurrency", 1, 2),
        ("function tools", "concurrency", 1, 1),
    ]


async def test_an_agent_as_a_tool_runs_within_the_tool(recording: Recording) -> None:
    inner = Agent(name="Inner", model=FakeModel())
    asked = [function_call("ask", {"input": "x"}, call_id="1")]
    outer = Agent(name="Outer", model=FakeModel(asked), tools=[inner.as_tool("ask", "asks")])
    await Runner.run(outer, "go")

    assert recording.tree() == (
        "workflow Agent workflow\n  agent Outer\n    llm fake-1 [tokens=1+2]\n"
        "    tool ask\n      agent Inner\n        llm fake-1 [tokens=1+2]\n"
        "    llm fake-1 [tokens=1+2]"
    )


async def test_attempts_of_a_model_call_are_numbered_and_the_pause_between_them_is_a_wait(recording: Recording) -> None:
    retry = ModelRetrySettings(max_retries=2, policy=lambda _: True, backoff={"initial_delay": 0.0})
    model = FakeModel(ConnectionError("secret"), ConnectionError("secret"), "fine")
    agent = Agent(name="A", model=model, model_settings=ModelSettings(retry=retry))
    await Runner.run(agent, "go")

    assert recording.tree() == (
        "workflow Agent workflow\n  agent A\n"
        "    llm fake-1 [error=ConnectionError]\n    wait model retry\n"
        "    llm fake-1 [error=ConnectionError attempt=2]\n    wait model retry\n"
        "    llm fake-1 [attempt=3 tokens=1+2]"
    )
    assert "secret" not in recording


async def test_tools_of_an_mcp_server_are_tools_and_listing_them_shows(recording: Recording) -> None:
    types = pytest.importorskip("mcp.types")
    from agents.mcp import MCPServer

    class Server(MCPServer):
        name = "files"

        async def connect(self) -> None: ...
        async def cleanup(self) -> None: ...

        async def list_tools(self, *_: Any) -> list[Any]:
            return [types.Tool(name="read", inputSchema={"type": "object", "properties": {}})]

        async def call_tool(self, *_: Any, **__: Any) -> Any:
            return types.CallToolResult(content=[types.TextContent(type="text", text="secret")])

        async def list_prompts(self) -> Any: ...
        async def get_prompt(self, *_: Any) -> Any: ...

    asked = [function_call("read", {}, call_id="1")]
    await Runner.run(Agent(name="A", model=FakeModel(asked), mcp_servers=[Server()]), "go")

    assert recording.tree() == (
        "workflow Agent workflow\n  agent A\n"
        "    other tools/list files\n    llm fake-1 [tokens=1+2]\n    tool read\n"
        "    other tools/list files\n    llm fake-1 [tokens=1+2]"
    )
    assert "secret" not in recording


def test_a_voice_pipeline_s_models_are_model_calls(recording: Recording) -> None:
    with (
        trace("voice"),
        agents.transcription_span(model="whisper-1", input="secret"),
    ):
        pass
    with trace("voice"), agents.speech_group_span(), agents.speech_span(model="tts-1", input="secret"):
        pass

    assert recording.trees() == ["workflow voice\n  llm whisper-1", "workflow voice\n  llm tts-1"]
    assert "secret" not in recording


async def test_guardrails_are_phases_of_the_agent_and_a_tripwire_fails_the_run(recording: Recording) -> None:
    @input_guardrail(run_in_parallel=False)
    async def check(_: Any, __: Any, given: Any) -> GuardrailFunctionOutput:
        await Runner.run(Agent(name="Judge", model=FakeModel()), "judge")
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=given == "stop")

    agent = Agent(name="A", model=FakeModel(), input_guardrails=[check])
    await Runner.run(agent, "go")
    with pytest.raises(agents.InputGuardrailTripwireTriggered):
        await Runner.run(agent, "stop")

    judged = "    phase check\n      agent Judge\n        llm fake-1 [tokens=1+2]"
    error = "agents.exceptions.InputGuardrailTripwireTriggered"
    assert recording.trees() == [
        f"workflow Agent workflow\n  agent A\n{judged}\n    llm fake-1 [tokens=1+2]",
        f"workflow Agent workflow [error={error}]\n  agent A [error={error}]\n{judged}",
    ]


async def test_an_exception_of_the_model_passes_unchanged_and_only_its_type_is_recorded(recording: Recording) -> None:
    failure = RuntimeError("secret")
    with pytest.raises(RuntimeError) as raised, trace("risky"):
        await Runner.run(Agent(name="A", model=FakeModel(failure)), "x")

    assert raised.value is failure
    error = "[error=RuntimeError]"
    assert recording.tree() == (
        f"workflow risky {error}\n  phase A {error}\n    agent A {error}\n      llm fake-1 {error}"
    )
    assert recording.execution().status is ExecutionStatus.ERROR
    assert "secret" not in recording


async def test_a_run_inside_an_except_block_does_not_inherit_the_exception(recording: Recording) -> None:
    try:
        int("not a number")
    except ValueError:
        await Runner.run(Agent(name="A", model=FakeModel()), "x")

    assert "error" not in recording.tree()


async def test_cancelling_a_run_ends_its_spans_without_an_error(recording: Recording) -> None:
    started = asyncio.Event()

    async def hang() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    task = asyncio.create_task(Runner.run(Agent(name="A", model=FakeModel(hang)), "x"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert recording.tree() == "workflow Agent workflow\n  agent A\n    llm fake-1"


async def test_a_model_call_that_times_out_is_an_error(recording: Recording) -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    agent = Agent(name="A", model=FakeModel(hang), model_settings=ModelSettings(timeout=0.01))
    with pytest.raises(agents.exceptions.ModelTimeoutError):
        await Runner.run(agent, "x")

    assert "agent A [error=agents.exceptions.ModelTimeoutError]" in recording.tree()


async def test_a_stream_that_is_left_early_ends_without_an_error(
    recording: Recording, model_server: ModelServer, chat: Model
) -> None:
    model_server.script("one two three")
    result = Runner.run_streamed(Agent(name="A", model=chat), "hello")
    async for _event in result.stream_events():
        result.cancel()
    if result.run_loop_task is not None:
        await asyncio.wait([result.run_loop_task])

    execution = recording.execution()
    assert [each.error for each in execution.operations] == [None] * len(execution.operations)
    assert execution.status is ExecutionStatus.OK


async def test_a_streamed_run_that_outlives_its_trace_still_belongs_to_it(
    recording: Recording, model_server: ModelServer, chat: Model
) -> None:
    model_server.script("hi")
    with trace("short"):
        result = Runner.run_streamed(Agent(name="A", model=chat, model_settings=USAGE), "hello")
    await consume(result)

    assert recording.tree() == "workflow short\n  phase A\n    agent A\n      llm gpt-chat [tokens=10+5]"


async def test_nothing_is_recorded_where_tracing_is_disabled(recording: Recording) -> None:
    agent = Agent(name="A", model=FakeModel())
    await Runner.run(agent, "x", run_config=RunConfig(tracing_disabled=True))
    assert recording.spans == ()

    with trace("outer"):
        await Runner.run(agent, "x", run_config=RunConfig(tracing_disabled=True))
    assert recording.tree() == "workflow outer"


async def test_sensitive_data_that_stays_out_of_traces_leaves_tokens_and_models(
    recording: Recording, model_server: ModelServer, responses: Model
) -> None:
    model_server.script(Answer(tools=[ToolCall("search", {"q": "x"})]), Answer("hi", tokens=ASKED))
    agent = Agent(name="A", model=responses, tools=[search])
    await Runner.run(agent, "x", run_config=RunConfig(trace_include_sensitive_data=False))

    assert recording.tokens() == model_server.served
    calls = [span for span in recording.spans if span.name == "chat gpt-resp"]
    assert len(calls) == 2
    assert all(semconv.PROMPT_HASH not in (call.attributes or {}) for call in calls)


async def test_runs_without_task_and_turn_spans_are_recorded(recording: Recording) -> None:
    asked = [function_call("search", {"q": "x"}, call_id="1")]
    agent = Agent(name="A", model=FakeModel(asked), tools=[search])
    await Runner.run(agent, "x", run_config=RunConfig(tracing={"include_task_and_turn_spans": False}))

    assert recording.tree() == (
        "workflow Agent workflow\n  agent A\n    llm fake-1 [tokens=1+2]\n"
        "    tool search\n      other inside\n    llm fake-1 [tokens=1+2]"
    )


async def test_custom_spans_are_phases_of_a_workflow_and_the_user_s_own_spans_nest(recording: Recording) -> None:
    with trace("steps"):
        with custom_span("prepare"):
            pass
        with otel_trace.get_tracer("user").start_as_current_span("mine"):
            await Runner.run(Agent(name="A", model=FakeModel()), "x")

    assert recording.tree() == (
        "workflow steps\n  phase prepare\n  other mine\n    phase A\n      agent A\n        llm fake-1 [tokens=1+2]"
    )


async def test_a_resumed_run_is_an_execution_of_its_own(recording: Recording) -> None:
    @function_tool(needs_approval=True)
    def delete(what: str) -> str:
        return what

    asked = [function_call("delete", {"what": "x"}, call_id="1")]
    agent = Agent(name="A", model=FakeModel(asked), tools=[delete])
    config = RunConfig(workflow_name="approve", group_id="g")
    result = await Runner.run(agent, "x", run_config=config)
    state = result.to_state()
    state.approve(result.interruptions[0])
    await Runner.run(agent, state, run_config=config)

    first, second = recording.executions()
    # The SDK begins the tool to find out that it needs an approval.
    assert tree(first) == "workflow approve\n  agent A\n    llm fake-1 [tokens=1+2]\n    other approval delete"
    assert tree(second) == "workflow approve\n  agent A\n    tool delete\n    llm fake-1 [tokens=1+2]"
    assert {first.root.conversation, second.root.conversation} == {"g"}


async def test_a_run_that_is_resumed_within_the_trace_is_another_phase_of_it(recording: Recording) -> None:
    @function_tool(needs_approval=True)
    def delete(what: str) -> str:
        return what

    asked = [function_call("delete", {"what": "x"}, call_id="1")]
    agent = Agent(name="A", model=FakeModel(asked), tools=[delete])
    with trace("outer"):
        result = await Runner.run(agent, "x")
        state = result.to_state()
        state.approve(result.interruptions[0])
        await Runner.run(agent, state)

    assert recording.tree() == (
        "workflow outer\n"
        "  phase A\n    agent A\n      llm fake-1 [tokens=1+2]\n      other approval delete\n"
        "  phase A\n    agent A\n      tool delete\n      llm fake-1 [tokens=1+2]"
    )


@pytest.mark.parametrize("told", [None, lambda *_: "too slow"])
async def test_a_tool_that_times_out_is_an_error_although_the_model_is_only_told(
    recording: Recording, told: Any
) -> None:
    @function_tool(timeout=0.01, timeout_error_function=told)
    async def slow() -> str:
        await asyncio.Event().wait()
        return "never"

    asked = [function_call("slow", {}, call_id="1")]
    await Runner.run(Agent(name="A", model=FakeModel(asked), tools=[slow]), "x")

    assert recording.tree() == (
        "workflow Agent workflow\n  agent A\n    llm fake-1 [tokens=1+2]\n"
        "    tool slow [error=TimeoutError]\n    llm fake-1 [tokens=1+2]"
    )


async def test_taken_back_within_a_trace_it_is_current_no_longer_than_that(recording: Recording) -> None:
    INSTRUMENTATION.remove("openai_agents")
    before = dict(vars(Scope))
    with instrumented(OpenAIAgentsIntegration()), trace("open"), agents.agent_span("A"):
        assert otel_trace.get_current_span().is_recording()
        INSTRUMENTATION.remove("openai_agents")
        await Runner.run(Agent(name="B", model=FakeModel()), "x")

    assert otel_trace.get_current_span() is otel_trace.INVALID_SPAN
    assert [span.name for span in recording.spans] == ["invoke_agent A", "invoke_workflow open"]
    assert dict(vars(Scope)) == before


async def test_nothing_stays_behind_after_runs(recording: Recording) -> None:
    integration = OpenAIAgentsIntegration()
    undo = integration.hooks()["agents.run"]()
    try:
        multi: Any = setup.get_trace_provider()
        processor = multi._multi_processor._processors[-1]
        for _ in range(3):
            await Runner.run(Agent(name="A", model=FakeModel()), "x")
        assert len(processor.executions) == 0
        assert recording.spans
    finally:
        undo()


def test_the_sdk_s_provider_is_not_made_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    INSTRUMENTATION.remove("openai_agents")
    monkeypatch.setattr(setup, "GLOBAL_TRACE_PROVIDER", None)
    with instrumented(OpenAIAgentsIntegration()):
        assert setup.GLOBAL_TRACE_PROVIDER is None
        provider: Any = setup.get_trace_provider()
        names = [type(each).__name__ for each in provider._multi_processor._processors]

    assert sorted(names) == ["BatchTraceProcessor", "WorkflowProcessor"]
    assert [type(each).__name__ for each in provider._multi_processor._processors] == ["BatchTraceProcessor"]


async def test_processors_that_the_user_sets_later_stay_and_so_does_ours(recording: Recording) -> None:
    seen: list[str] = []

    class Mine(agents.tracing.TracingProcessor):
        def on_trace_start(self, trace: Any) -> None:
            seen.append(trace.name)

        def on_trace_end(self, trace: Any) -> None: ...
        def on_span_start(self, span: Any) -> None: ...
        def on_span_end(self, span: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self) -> None: ...

    set_trace_processors([Mine()])
    await Runner.run(Agent(name="A", model=FakeModel()), "x")

    assert seen == ["Agent workflow"]
    assert recording.tree().startswith("workflow Agent workflow")


def test_everything_is_taken_back(recording: Recording) -> None:
    del recording
    from agents.run_internal import model_retry, run_loop, tool_execution
    from agents.tracing.spans import SpanImpl

    def patched() -> list[object]:
        return [
            *(vars(Scope)[name] for name in vars(Scope)),
            vars(ToolContext)["from_agent_context"],
            DefaultTraceProvider.__init__,
            DefaultTraceProvider.set_processors,
            SpanImpl.set_error,
            run_loop.get_model,
            run_loop.RawResponsesStreamEvent,
            model_retry._sleep_for_retry,
            tool_execution._FunctionToolBatchExecutor._create_tool_task,
            tool_execution._FunctionToolBatchExecutor._maybe_execute_tool_approval,
            agents.ToolTimeoutError.__init__,
        ]

    INSTRUMENTATION.remove("openai_agents")
    before = patched()
    undo = OpenAIAgentsIntegration().hooks()["agents.run"]()
    signature = inspect.signature(ToolContext.from_agent_context)
    assert all(one is not two for one, two in zip(before[-10:], patched()[-10:], strict=True))
    undo()

    assert patched() == before
    assert inspect.signature(ToolContext.from_agent_context) == signature


async def test_nothing_is_recorded_after_it_was_taken_back(recording: Recording) -> None:
    INSTRUMENTATION.remove("openai_agents")
    await Runner.run(Agent(name="A", model=FakeModel()), "x")

    assert recording.spans == ()


def test_a_module_that_is_only_called_agents_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents.tracing.scope", ModuleType("agents.tracing.scope"))

    OpenAIAgentsIntegration().hooks()["agents.run"]()()


async def test_with_openinference_active_nothing_is_counted_twice(recording: Recording) -> None:
    pytest.importorskip("openinference.instrumentation.openai_agents")
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    asked = [function_call("search", {"q": "x"}, call_id="1")]
    agent = Agent(name="A", model=FakeModel(asked), tools=[search])
    instrumentor = OpenAIAgentsInstrumentor()
    instrumentor.instrument(exclusive_processor=False)
    try:
        with trace("research"):
            await Runner.run(agent, "x")
    finally:
        instrumentor.uninstrument()
        set_trace_processors([])

    recorded = [span for span in recording.spans if span.instrumentation_scope is not None]
    assert {span.instrumentation_scope.name for span in recorded if span.instrumentation_scope} == {
        "openinference.instrumentation.openai_agents",
        "user",
    }
    [research] = [each for each in recording.executions() if each.workflow == "research"]
    assert (len(research.of_kind(LLM)), len(research.of_kind(TOOL))) == (2, 1)


class SpanlessModel(ScriptedModel):
    """A model that makes no span of the SDK, as a user's own may not."""

    def __init__(self, *answers: Any) -> None:
        super().__init__([*answers])
        self.set_default_usage(agents.Usage(requests=1, input_tokens=5, output_tokens=3, total_tokens=8))
        self.model = "own-1"


SPANLESS_TURNS = (
    "workflow Agent workflow\n"
    "  agent A\n"
    "    llm own-1 [tokens=5+3]\n"
    "    tool search\n"
    "      other inside\n"
    "    llm own-1 [tokens=5+3]"
)


@pytest.mark.parametrize("limit_s", [None, 30.0])
@pytest.mark.parametrize("streamed", ["whole", "streamed"])
async def test_calls_of_a_model_without_spans_are_recorded(
    streamed: str, limit_s: float | None, recording: Recording
) -> None:
    model = SpanlessModel([function_call("search", {"q": "x"}, call_id="c")], [assistant_message("done")])
    agent = Agent(name="A", model=model, tools=[search], model_settings=ModelSettings(timeout=limit_s))

    if streamed == "streamed":
        result = Runner.run_streamed(agent, "go")
        assert [event async for event in result.stream_events()]
        answer = result.final_output
    else:
        answer = (await Runner.run(agent, "go")).final_output

    execution = recording.execution()
    assert answer == "done"
    assert tree(execution) == SPANLESS_TURNS
    first, _ = execution.of_kind(LLM)
    [tool] = execution.of_kind(TOOL)
    assert tool.turn == first.span_id


async def test_an_error_of_a_model_without_spans_passes_and_fails_its_call(recording: Recording) -> None:
    model = SpanlessModel(ValueError("secret"))

    with pytest.raises(ValueError, match="secret"):
        await Runner.run(Agent(name="A", model=model), "go")

    [call] = recording.execution().of_kind(LLM)
    assert (call.name, call.error) == ("own-1", "ValueError")
