"""pydantic-ai, offline: its own fake models, and OpenAI's client on a local server."""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType
from typing import Any
from unittest import mock

import pytest
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import SpanProcessor

pytest.importorskip("pydantic_ai.agent")
import openai
from pydantic_ai import Agent, ModelRetry, RunContext, concurrency
from pydantic_ai.capabilities.instrumentation import Instrumentation
from pydantic_ai.concurrency import AbstractConcurrencyLimiter, ConcurrencyLimiter
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.concurrency import ConcurrencyLimitedModel
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_graph import BaseNode, End, GraphRunContext, graph_builder
from pydantic_graph.graph_builder import GraphBuilder

from otel_wfperf import semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.pydantic_ai import PydanticAIIntegration
from otel_wfperf.model import ExecutionStatus, OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording, tree

ASKED = TokenUsage(input=20, output=4, cache_read=8, reasoning=1)
AGENT, LLM, PHASE, TOOL, WAIT = (
    OperationKind.AGENT,
    OperationKind.LLM,
    OperationKind.PHASE,
    OperationKind.TOOL,
    OperationKind.WAIT,
)


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(PydanticAIIntegration()):
        yield


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test's own, which pydantic-ai's synchronous methods use and leave open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def chat(model_server: ModelServer, loop: asyncio.AbstractEventLoop) -> Iterator[OpenAIChatModel]:
    """OpenAI's chat model on the local server."""
    client = openai.AsyncOpenAI(base_url=model_server.url, api_key="none", max_retries=0)
    yield OpenAIChatModel("gpt-chat", provider=OpenAIProvider(openai_client=client))
    loop.run_until_complete(client.close())


def fixed(text: str = "done") -> FunctionModel:
    """A model that says one thing."""

    async def answer(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await asyncio.sleep(0)
        return ModelResponse(parts=[TextPart(text)])

    return FunctionModel(answer, model_name="fake-1")


def asking(*calls: ToolCallPart) -> FunctionModel:
    """A model that asks for tools first, and is done then."""

    async def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        await asyncio.sleep(0)
        return ModelResponse(parts=[TextPart("done")] if len(messages) > 1 else list(calls))

    return FunctionModel(answer, model_name="fake-1")


def without_tokens(text: str) -> str:
    """Leave out the figures that the fake model makes up."""
    return "\n".join(line.partition(" [tokens=")[0] for line in text.split("\n"))


def researcher(model: Any) -> Agent[None, str]:
    agent = Agent(model, name="Researcher", instructions="secret style", retries=2)

    @agent.tool
    async def search(ctx: RunContext[None], q: str) -> str:
        with otel_trace.get_tracer("user").start_as_current_span("inside"):
            if ctx.retry == 0:
                raise ModelRetry("secret again")
            return f"secret {q}"

    return agent


RESEARCH = """\
agent Researcher
  llm gpt-chat [tokens=20+4]
  tool search [error=pydantic_ai.exceptions.ToolRetryError]
    other inside [error=ModelRetry]
  llm gpt-chat [tokens=20+4]
  tool search [attempt=2]
    other inside
  llm gpt-chat [tokens=10+5]"""


@pytest.mark.parametrize("how", ["sync", "async", "stream", "iter"])
def test_records_agents_tools_retries_and_exact_tokens(
    recording: Recording,
    model_server: ModelServer,
    chat: OpenAIChatModel,
    loop: asyncio.AbstractEventLoop,
    how: str,
) -> None:
    asked = Answer(tools=[ToolCall("search", {"q": "secret x"})], tokens=ASKED)
    model_server.script(asked, asked, "a secret result")
    agent = researcher(chat)

    async def stream() -> str:
        async with agent.run_stream("secret question") as result:
            return str(await result.get_output())

    async def iterate() -> str:
        async with agent.iter("secret question") as run:
            async for _ in run:
                pass
        assert run.result is not None
        return str(run.result.output)

    runs: dict[str, Callable[[], str]] = {
        "iter": lambda: loop.run_until_complete(iterate()),
        "sync": lambda: agent.run_sync("secret question").output,
        "async": lambda: loop.run_until_complete(agent.run("secret question")).output,
        "stream": lambda: loop.run_until_complete(stream()),
    }
    assert runs[how]() == "a secret result"

    execution = recording.execution()
    assert tree(execution) == RESEARCH.replace(" [error=ModelRetry]", recording_of_user_error(tree(execution)))
    assert recording.tokens() == model_server.served
    assert [call.context is not None and call.context.reused_ratio is not None for call in execution.of_kind(LLM)] == [
        False,
        True,
        True,
    ]
    assert not any("secret" in span.to_json() for span in recording.spans if span.name != "inside")


def recording_of_user_error(text: str) -> str:
    """How the user's own span shows the exception is its business."""
    [line] = [line for line in text.split("\n") if "other inside [" in line]
    return line.partition("inside")[2]


def test_model_calls_tell_sizes_and_what_was_sent_again(
    recording: Recording, model_server: ModelServer, chat: OpenAIChatModel
) -> None:
    model_server.script(Answer(tools=[ToolCall("search", {"q": "x"})], tokens=ASKED), "two words")
    agent = Agent(chat, name="A", instructions="be short", model_settings={"temperature": 0.5})
    agent.tool_plain(lambda q: f"found {q}", name="search")
    agent.run_sync("hello")

    execution = recording.execution()
    first, second = execution.of_kind(LLM)
    [tool] = execution.of_kind(TOOL)
    assert (first.tokens, first.agent, first.model, first.temperature) == (ASKED, "A", "gpt-chat", 0.5)
    assert tool.turn == first.span_id
    assert tool.requested
    assert (tool.attempt, tool.output_bytes) == (1, len("found x"))
    assert first.input_bytes == len("be shorthello")
    assert second.output_bytes == len("two words")
    assert first.prefix_hash == second.prefix_hash is not None
    assert second.context is not None
    assert second.context.reused_ratio is not None
    assert 0 < second.context.reused_ratio < 1
    assert second.context.tokens == 10
    [root] = execution.of_kind(AGENT)
    assert root.conversation is not None
    calls = [span.attributes or {} for span in recording.spans if span.name.startswith("chat ")]
    assert [call[semconv.FINISH_REASONS] for call in calls] == [("tool_call",), ("stop",)]
    assert all(call[semconv.PROVIDER_NAME] == "openai" for call in calls)


def test_a_stream_tells_when_its_first_piece_came(
    recording: Recording, model_server: ModelServer, chat: OpenAIChatModel, loop: asyncio.AbstractEventLoop
) -> None:
    async def stream() -> None:
        async with Agent(chat, name="A").run_stream("x") as result:
            await result.get_output()

    model_server.script("one two three")
    loop.run_until_complete(stream())

    [call] = recording.execution().of_kind(LLM)
    assert call.time_to_first_token_s is not None
    assert call.time_to_first_token_s * 1e9 <= call.duration_ns


def test_a_stream_that_is_left_early_ends_without_an_error(
    recording: Recording, model_server: ModelServer, chat: OpenAIChatModel, loop: asyncio.AbstractEventLoop
) -> None:
    async def stream() -> None:
        async with Agent(chat, name="A").run_stream("x") as result:
            async for _ in result.stream_text(debounce_by=None):
                break

    model_server.script("one two three")
    loop.run_until_complete(stream())

    execution = recording.execution()
    assert [(each.kind, each.error) for each in execution.operations] == [(AGENT, None), (LLM, None)]


async def test_delegation_within_a_tool_in_parallel_never_mixes(recording: Recording) -> None:
    agents = [Agent(fixed(), name=name) for name in ("a", "b", "c")]
    boss = Agent(asking(ToolCallPart("delegate", {})), name="boss")

    @boss.tool_plain
    async def delegate() -> str:
        await asyncio.gather(*(agent.run("x") for agent in agents))
        return "all"

    for _ in range(200):
        recording.clear()
        await boss.run("go")
        assert without_tokens(recording.tree()) == (
            "agent boss\n  llm fake-1\n  tool delegate\n"
            "    agent a\n      llm fake-1\n    agent b\n      llm fake-1\n    agent c\n      llm fake-1\n"
            "  llm fake-1"
        )
    assert [call.agent for call in recording.execution().of_kind(LLM)] == ["boss", "a", "b", "c", "boss"]


async def test_an_agent_that_waits_for_a_slot_shows_the_wait_in_its_own_execution(recording: Recording) -> None:
    agent = Agent(fixed(), name="L", max_concurrency=1)
    await asyncio.gather(*(agent.run("x") for _ in range(3)))

    alone, *waited = sorted(recording.executions(), key=lambda each: len(each.operations))
    assert without_tokens(tree(alone)) == "agent L\n  llm fake-1"
    for execution in waited:
        assert without_tokens(tree(execution)) == "workflow L\n  wait agent:L\n  agent L\n    llm fake-1"
    waits = [wait for execution in waited for wait in execution.of_kind(WAIT)]
    assert {(wait.wait_kind, wait.concurrency_limit) for wait in waits} == {("concurrency", 1)}
    assert sorted(wait.queue_depth or 0 for wait in waits) == [1, 2]


async def test_a_model_that_waits_for_a_slot_shows_the_wait_within_the_call(recording: Recording) -> None:
    limiter = ConcurrencyLimiter(max_running=1, name="pool")
    agents = [Agent(ConcurrencyLimitedModel(fixed(), limiter=limiter), name=name) for name in "ab"]
    with otel_trace.get_tracer("user").start_as_current_span("mine"):
        await asyncio.gather(*(agent.run("x") for agent in agents))

    assert without_tokens(recording.tree()) == (
        "other mine\n  agent a\n    llm fake-1\n  agent b\n    llm fake-1\n      wait pool"
    )


async def test_a_failed_attempt_of_a_model_request_is_a_call_of_its_own(recording: Recording) -> None:
    def broken(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(500, "bad-1", "secret")

    models = FallbackModel(FunctionModel(broken, model_name="bad-1"), fixed())
    await Agent(models, name="A").run("x")

    assert recording.tree() == (
        "agent A\n  llm fake-1 [attempt=2 tokens=51+1]\n    llm bad-1 [error=pydantic_ai.exceptions.ModelHTTPError]"
    )
    assert "secret" not in recording


async def test_an_exception_passes_unchanged_and_only_its_type_is_recorded(recording: Recording) -> None:
    failure = RuntimeError("secret")
    agent = Agent(asking(ToolCallPart("bad", {})), name="A")

    @agent.tool_plain
    def bad() -> str:
        raise failure

    with pytest.raises(RuntimeError) as raised:
        await agent.run("x")

    assert raised.value is failure
    error = "[error=RuntimeError]"
    assert without_tokens(recording.tree()) == f"agent A {error}\n  llm fake-1\n  tool bad {error}"
    assert recording.execution().status is ExecutionStatus.ERROR
    assert "secret" not in recording


async def test_cancelling_a_run_ends_its_spans_without_an_error(recording: Recording) -> None:
    started = asyncio.Event()
    agent = Agent(asking(ToolCallPart("hang", {})), name="A")

    @agent.tool_plain
    async def hang() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    task = asyncio.create_task(agent.run("x"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert without_tokens(recording.tree()) == "agent A\n  llm fake-1\n  tool hang"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_user_s_own_settings_win_and_get_what_they_lack(recording: Recording, when: str) -> None:
    INSTRUMENTATION.remove("pydantic_ai")
    assert Agent._instrument_default is False
    own = InstrumentationSettings(include_content=True)
    if when == "before":
        Agent.instrument_all(own)
    with instrumented(PydanticAIIntegration()):
        if when == "after":
            Agent.instrument_all(own)
        assert Agent._instrument_default is own
        await Agent(asking(ToolCallPart("look", {"q": "x"})), name="A", tools=[look]).run("user's prompt")
    assert Agent._instrument_default is own
    Agent.instrument_all(instrument=False)

    assert without_tokens(recording.tree()) == "agent A\n  llm fake-1\n  tool look\n  llm fake-1"
    assert "user's prompt" in recording
    _, second = recording.execution().of_kind(LLM)
    assert second.context is not None
    assert second.context.reused_ratio is not None


async def test_runs_of_one_execution_know_what_was_sent_before(recording: Recording) -> None:
    writer = Agent(fixed(), name="Writer", instructions="write well")
    with otel_trace.get_tracer("user").start_as_current_span("mine") as mine:
        for draft in ("first", "second"):
            await writer.run(draft)
    del mine
    await writer.run("third")

    together, alone = recording.executions()
    first, second = together.of_kind(LLM)
    assert first.context is not None
    assert second.context is not None
    assert (first.context.reused_ratio, second.context.reused_ratio) == (None, 10 / 16)
    [third] = alone.of_kind(LLM)
    assert third.context is not None
    assert third.context.reused_ratio is None


def look(q: str) -> str:
    return f"found {q}"


async def test_an_agent_that_says_no_is_not_recorded(recording: Recording) -> None:
    agent = Agent(fixed(), name="A")
    agent.instrument = False
    await agent.run("x")

    assert recording.spans == ()


def team() -> Any:
    """plan, then left and right together, then merge."""
    agent = Agent(fixed("left"), name="Left")
    graph = GraphBuilder(name="team", input_type=str, output_type=list[str])

    @graph.step
    async def plan(ctx: Any) -> str:
        return f"plan of {ctx.inputs}"

    @graph.step
    async def left(_: Any) -> str:
        return str((await agent.run("secret")).output)

    @graph.step
    async def right(_: Any) -> str:
        with otel_trace.get_tracer("user").start_as_current_span("inside"):
            await asyncio.sleep(0)
            return "right"

    @graph.step
    async def merge(ctx: Any) -> list[str]:
        return sorted(ctx.inputs)

    def collect(found: list[str], item: str) -> list[str]:
        return [*found, item]

    both = graph.join(collect, initial_factory=list[str])
    graph.add(
        graph.edge_from(graph.start_node).to(plan),
        graph.edge_from(plan).to(left, right),
        graph.edge_from(left, right).to(both),
        graph.edge_from(both).to(merge),
        graph.edge_from(merge).to(graph.end_node),
    )
    return graph.build()


TEAM = """\
workflow team
  phase plan [after=nothing]
  phase left [group=broadcast task:1 after=plan]
    agent Left
      llm fake-1
  phase right [group=broadcast task:1 after=plan]
    other inside
  phase merge [after=left,right]"""


async def test_a_graph_is_a_workflow_and_its_steps_are_phases(recording: Recording) -> None:
    graph = team()
    for _ in range(200):
        recording.clear()
        assert await graph.run(inputs="secret") == ["left", "right"]
        assert without_tokens(recording.tree()) == TEAM
    merge = recording.execution().of_kind(PHASE)[-1]
    assert merge.input_bytes == len("leftright")
    assert "secret" not in recording


@pytest.mark.usefixtures("loop")
def test_a_graph_runs_synchronously_the_same(recording: Recording) -> None:
    assert team().run_sync(inputs="x") == ["left", "right"]
    assert without_tokens(recording.tree()) == TEAM


async def test_a_graph_that_is_left_early_ends_without_an_error(recording: Recording) -> None:
    async with team().iter(inputs="x") as run:
        async for _ in run:
            break

    execution = recording.execution()
    assert execution.root.name == "team"
    assert [each.error for each in execution.operations] == [None] * len(execution.operations)


@dataclass
class Count(BaseNode[None, None, int]):
    number: int

    async def run(self, _: GraphRunContext) -> "Check":
        return Check(self.number + 1)


@dataclass
class Check(BaseNode[None, None, int]):
    number: int

    async def run(self, _: GraphRunContext) -> Count | End[int]:
        if self.number < 0:
            raise ValueError("secret")
        return Count(self.number) if self.number < 2 else End(self.number)


def counting() -> Any:
    graph = GraphBuilder(name="loop", input_type=Count, output_type=int)
    graph.add(graph.node(Count), graph.node(Check), graph.edge_from(graph.start_node).to(Count))
    return graph.build()


async def test_a_loop_of_nodes_shows_each_pass_and_depends_on_nothing_that_comes_later(recording: Recording) -> None:
    assert await counting().run(inputs=Count(0)) == 2

    once = "  phase Count [after=nothing]\n  phase Check [after=Count]"
    assert recording.tree() == f"workflow loop\n{once}\n{once}"


async def test_a_graph_of_many_steps_knows_what_each_depends_on(recording: Recording) -> None:
    graph = GraphBuilder(name="long", input_type=int, output_type=int)

    async def following(ctx: Any) -> int:
        return int(ctx.inputs) + 1

    # More than Python recurses.
    steps = [graph.step(following, node_id=f"s{number}") for number in range(1_100)]
    graph.add(
        graph.edge_from(graph.start_node).to(steps[0]),
        *(graph.edge_from(one).to(other) for one, other in pairwise(steps)),
        graph.edge_from(steps[-1]).to(graph.end_node),
    )
    assert await graph.build().run(inputs=0) == len(steps)

    needs = {phase.name: phase.depends_on for phase in recording.execution().of_kind(PHASE)}
    assert needs == {f"s{number}": (f"s{number - 1}",) if number else () for number in range(len(steps))}


async def test_asking_whether_logfire_is_configured_makes_no_mocks(recording: Recording) -> None:
    """Where it is not installed, its stand-in answers every question with a new ``MagicMock``: half a millisecond."""
    graph, mocked = counting(), []

    def watch(frame: FrameType, *_: object) -> None:
        if frame.f_code.co_filename == mock.__file__:
            mocked.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        await graph.run(inputs=Count(0))
    finally:
        sys.setprofile(None)

    assert recording.spans
    assert mocked == []


class Refusing(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError(span.name, parent_context)


async def test_a_graph_runs_where_nothing_can_be_recorded() -> None:
    provider: Any = otel_trace.get_tracer_provider()
    processors = provider._active_span_processor
    before = processors._span_processors
    processors._span_processors = (Refusing(),)
    try:
        assert await counting().run(inputs=Count(0)) == 2
    finally:
        processors._span_processors = before


class Unreadable(AbstractConcurrencyLimiter):
    @property
    def available_count(self) -> int:
        raise RuntimeError("not to be asked")

    async def acquire(self, source: str) -> None: ...
    def release(self) -> None: ...


async def test_an_agent_with_a_limiter_that_cannot_be_read_works() -> None:
    assert (await Agent(fixed(), name="A", max_concurrency=Unreadable()).run("x")).output == "done"


INSTRUMENTED_FIRST = """
import asyncio, sys
from tests.frameworks.recording import Recording, global_exporter
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.installing import instrument
from otel_wfperf.instrumentation.integrations.pydantic_ai import PydanticAIIntegration
from otel_wfperf.instrumentation.patching import when_imported

recording = Recording(global_exporter())
instrument(PydanticAIIntegration())
seen = []
when_imported("pydantic_ai.agent", lambda: seen.append(hasattr(sys.modules["pydantic_ai"], "__version__")))
from pydantic_ai.agent import Agent
from pydantic_ai.models.test import TestModel

asyncio.run(Agent(TestModel(), name="A").run("x"))
assert recording.tree().startswith("agent A"), recording.tree()
assert seen == [False], "the package was touched before it was complete"
assert not failure_counts(), failure_counts()
"""


def test_instrumented_before_it_is_imported_the_package_is_left_to_set_itself_up() -> None:
    ran = subprocess.run([sys.executable, "-c", INSTRUMENTED_FIRST], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


async def test_a_step_that_fails_fails_the_workflow_with_the_exception_s_type(recording: Recording) -> None:
    with pytest.raises(ValueError, match="secret"):
        await counting().run(inputs=Count(-5))

    assert recording.tree() == (
        "workflow loop [error=ValueError]\n  phase Count [after=nothing]\n  phase Check [error=ValueError after=Count]"
    )
    assert "secret" not in recording


def test_everything_is_taken_back(recording: Recording) -> None:
    del recording

    def patched() -> list[object]:
        return [
            Agent._instrument_default,
            InstrumentationSettings.handle_messages,
            Instrumentation.wrap_run,
            Instrumentation.wrap_tool_execute,
            concurrency.get_concurrency_context,
            graph_builder.logfire_span,
            graph_builder._GraphIterator._run_task,
        ]

    INSTRUMENTATION.remove("pydantic_ai")
    before = patched()
    signatures = [inspect.signature(each) for each in before if callable(each)]
    with instrumented(PydanticAIIntegration()):
        during = patched()
        assert all(one is not two for one, two in zip(before, during, strict=True))
        assert [inspect.signature(each) for each in during[1:] if callable(each)] == signatures

    assert patched() == before


async def test_nothing_is_recorded_after_it_was_taken_back(recording: Recording) -> None:
    INSTRUMENTATION.remove("pydantic_ai")
    await Agent(TestModel(), name="A").run("x")
    await team().run(inputs="x")

    assert [span.name for span in recording.spans] == ["inside"]


async def test_with_openinference_active_nothing_is_counted_twice(recording: Recording) -> None:
    pytest.importorskip("openinference.instrumentation.pydantic_ai")
    from openinference.instrumentation.pydantic_ai import OpenInferenceSpanProcessor

    provider: Any = otel_trace.get_tracer_provider()
    processors = provider._active_span_processor
    before = processors._span_processors
    # It changes spans as they end, so that it has to come first.
    processors._span_processors = (OpenInferenceSpanProcessor(), *before)
    try:
        await Agent(asking(ToolCallPart("look", {"q": "x"})), name="A", tools=[look]).run("x")
    finally:
        processors._span_processors = before

    assert any("openinference.span.kind" in (span.attributes or {}) for span in recording.spans)
    assert without_tokens(recording.tree()) == "agent A\n  llm fake-1\n  tool look\n  llm fake-1"
    usage = recording.tokens()
    assert usage.output > 0
    assert usage.output == sum(
        operation.tokens.output for operation in recording.execution().of_kind(LLM) if operation.tokens is not None
    )
