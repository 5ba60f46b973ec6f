import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
pytest.importorskip("haystack")
from haystack import Document, Pipeline, component, super_component, tracing
from haystack.components.agents import Agent
from haystack.components.agents.tool_calling import _create_tool_span
from haystack.components.generators.chat import FallbackChatGenerator, OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.core.errors import BreakpointException, PipelineRuntimeError
from haystack.dataclasses import ChatMessage
from haystack.dataclasses.breakpoints import Breakpoint
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool
from haystack.utils import Secret

from otel_wfperf import current_operation, semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.haystack import HaystackIntegration
from otel_wfperf.model import ExecutionStatus, OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording

TRACER = trace.get_tracer("user")


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    with instrumented(HaystackIntegration()):
        yield


def lines(text: str) -> str:
    return dedent(text).strip("\n")


def run(pipeline: Pipeline, given: dict[str, Any], *, is_async: bool = False) -> dict[str, Any]:
    """Run a pipeline and close the clients of its models."""

    async def running() -> Any:
        try:
            return await pipeline.run_async(given)
        finally:
            await pipeline.close_async()

    try:
        result: dict[str, Any] = asyncio.run(running()) if is_async else pipeline.run(given)
    finally:
        pipeline.close()
    return result


# -- pipelines ------------------------------------------------------------------------------------------------------


@component
class Upper:
    """Works in async and sync pipelines."""

    @component.output_types(text=str)
    def run(self, text: str) -> dict[str, str]:
        with TRACER.start_as_current_span(f"inside {text}"):
            return {"text": text.upper()}

    @component.output_types(text=str)
    async def run_async(self, text: str) -> dict[str, str]:
        await asyncio.sleep(0)
        with TRACER.start_as_current_span(f"inside {text}"):
            return {"text": text.upper()}


@component
class Join:
    """Puts two texts together, in a thread of an async pipeline."""

    @component.output_types(text=str)
    def run(self, left: str, right: str) -> dict[str, str]:
        with TRACER.start_as_current_span("inside join"):
            return {"text": f"{left} {right}"}


def diamond(name: str = "diamond") -> Pipeline:
    pipeline = Pipeline(metadata={"name": name})
    for each in ("start", "left", "right"):
        pipeline.add_component(each, Upper())
    pipeline.add_component("join", Join())
    pipeline.connect("start.text", "left.text")
    pipeline.connect("start.text", "right.text")
    pipeline.connect("left.text", "join.left")
    pipeline.connect("right.text", "join.right")
    return pipeline


GIVEN = {"start": {"text": "abc"}}
DIAMOND = lines("""
    workflow diamond
      phase start [after=nothing]
        other inside abc
      phase left [after=start]
        other inside ABC
      phase right [after=start]
        other inside ABC
      phase join [after=left,right]
        other inside join
""")


def test_components_are_phases_that_depend_on_what_is_connected_before_them(recording: Recording) -> None:
    assert diamond().run(GIVEN) == {"join": {"text": "ABC ABC"}}

    assert recording.tree() == DIAMOND


def test_an_async_run_gives_the_same_and_its_branches_overlap(recording: Recording) -> None:
    barrier = asyncio.Barrier(2)

    @component
    class Meet(Upper):
        @component.output_types(text=str)
        async def run_async(self, text: str) -> dict[str, str]:
            await barrier.wait()
            return {"text": text}

        @component.output_types(text=str)
        def run(self, text: str) -> dict[str, str]:
            return {"text": text}

    pipeline = Pipeline(metadata={"name": "meeting"})
    for name in ("left", "right"):
        pipeline.add_component(name, Meet())

    asyncio.run(pipeline.run_async({"left": {"text": "a"}, "right": {"text": "b"}}))

    assert recording.tree() == lines("""
        workflow meeting
          phase left [after=nothing]
          phase right [after=nothing]
    """)


def test_branches_are_under_their_run_over_many_concurrent_runs(recording: Recording) -> None:
    pipelines = [diamond() for _ in range(200)]

    async def running() -> None:
        await asyncio.gather(*(pipeline.run_async(GIVEN) for pipeline in pipelines))

    asyncio.run(running())

    assert [sorted(tree.splitlines()) for tree in recording.trees()] == [sorted(DIAMOND.splitlines())] * 200


def test_the_reader_of_partial_results_is_outside_and_may_leave_early(recording: Recording) -> None:
    async def running() -> None:
        results = diamond().run_async_generator(GIVEN)
        async for _ in results:
            assert current_operation() is None
            assert not trace.get_current_span().is_recording()
            break
        await results.aclose()

    asyncio.run(running())

    assert recording.execution().status is ExecutionStatus.OK
    assert recording.tree().startswith("workflow diamond\n  phase start [after=nothing]\n")


def test_a_loop_is_the_same_phase_again(recording: Recording) -> None:
    @component
    class Judge:
        @component.output_types(again=str, done=str)
        def run(self, text: str) -> dict[str, str]:
            return {"done": text} if len(text) > 3 else {"again": text}

    @component
    class Longer:
        @component.output_types(text=str)
        def run(self, text: str = "", again: str | None = None) -> dict[str, str]:
            return {"text": (again or text) + "x"}

    pipeline = Pipeline()
    pipeline.add_component("longer", Longer())
    pipeline.add_component("judge", Judge())
    pipeline.connect("longer.text", "judge.text")
    pipeline.connect("judge.again", "longer.again")

    assert pipeline.run({"longer": {"text": "aa"}}) == {"judge": {"done": "aaxx"}}

    assert recording.tree() == lines("""
        workflow pipeline
          phase longer [after=nothing]
          phase judge [after=longer]
          phase longer [after=judge]
          phase judge [after=longer]
    """)


def test_a_breakpoint_is_no_error(recording: Recording) -> None:
    with pytest.raises(BreakpointException):
        diamond().run(GIVEN, break_point=Breakpoint(component_name="join"))

    execution = recording.execution()
    assert execution.status is ExecutionStatus.OK
    assert [phase.name for phase in execution.of_kind(OperationKind.PHASE)] == ["start", "left", "right"]


def test_a_span_that_is_left_in_another_context_than_it_was_entered_in_ends(recording: Recording) -> None:
    def tool_in_parts() -> Iterator[None]:
        with tracing.tracer.trace("haystack.agent.step.tool", tags={"haystack.tool.name": "slow"}):
            yield

    parts = tool_in_parts()
    copy_context().run(next, parts)
    copy_context().run(list, parts)

    assert recording.tree() == "tool slow"


def test_a_pipeline_within_a_component_belongs_to_it(recording: Recording) -> None:
    @super_component
    class Inner:
        def __init__(self) -> None:
            self.pipeline = diamond("inner")

    outer = Pipeline(metadata={"name": "outer"})
    outer.add_component("nested", Inner())

    assert outer.run({"nested": {"text": "abc"}})["nested"]["text"] == "ABC ABC"

    first, second, *inner = recording.tree().splitlines()
    assert [first, second] == ["workflow outer", "  phase nested [after=nothing]"]
    assert inner[0] == "    workflow inner"
    assert len(inner) == len(DIAMOND.splitlines())


@pytest.mark.parametrize("is_async", [False, True])
def test_an_exception_passes_unchanged_and_marks_component_and_run(recording: Recording, *, is_async: bool) -> None:
    error = ValueError("secret")

    @component
    class Broken:
        @component.output_types(text=str)
        def run(self, text: str) -> dict[str, str]:
            del text
            raise error

    pipeline = Pipeline()
    pipeline.add_component("broken", Broken())
    given = {"broken": {"text": "secret"}}

    with pytest.raises(PipelineRuntimeError) as caught:
        run(pipeline, given, is_async=is_async)

    assert caught.value.__cause__ is error
    failed = "error=haystack.core.errors.PipelineRuntimeError"
    assert recording.tree() == f"workflow pipeline [{failed}]\n  phase broken [{failed} after=nothing]"
    assert "secret" not in recording


def test_a_run_that_is_cancelled_has_ended_without_an_error(recording: Recording) -> None:
    started = asyncio.Event()

    @component
    class Endless(Upper):
        @component.output_types(text=str)
        async def run_async(self, text: str) -> dict[str, str]:
            del text
            started.set()
            await asyncio.Event().wait()
            return {}

        @component.output_types(text=str)
        def run(self, text: str) -> dict[str, str]:
            return {"text": text}

    pipeline = Pipeline()
    pipeline.add_component("endless", Endless())

    async def running() -> None:
        task = asyncio.create_task(pipeline.run_async({"endless": {"text": "a"}}))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(running())

    assert recording.tree() == "workflow pipeline\n  phase endless [after=nothing]"


# -- models, tools, agents ------------------------------------------------------------------------------------------

USED = TokenUsage(input=12, output=3, cache_read=4, reasoning=1)


def generator(server: ModelServer, **kwargs: Any) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        api_key=Secret.from_token("none"), model="scripted-1", api_base_url=server.url, max_retries=0, **kwargs
    )


def hello() -> list[ChatMessage]:
    return [ChatMessage.from_system("be secret"), ChatMessage.from_user("hello secret")]


@pytest.mark.parametrize("way", ["sync", "async", "stream"])
def test_a_generator_is_a_phase_with_one_call_and_exact_tokens(
    recording: Recording, model_server: ModelServer, way: str
) -> None:
    model_server.script(Answer("the secret answer", tokens=USED))
    chunks: list[str] = []
    options = {"streaming_callback": lambda chunk: chunks.append(chunk.content)} if way == "stream" else {}
    if way == "stream":
        options["generation_kwargs"] = {"stream_options": {"include_usage": True}}  # type: ignore[assignment]
    pipeline = Pipeline(metadata={"name": "chat"})
    pipeline.add_component("llm", generator(model_server, **options))
    given = {"llm": {"messages": hello()}}

    result = run(pipeline, given, is_async=way == "async")

    assert result["llm"]["replies"][0].text == "the secret answer"
    assert recording.tree() == lines("""
        workflow chat
          phase llm [after=nothing]
            llm scripted-1 [tokens=12+3]
    """)
    assert recording.tokens() == model_server.served
    [call] = recording.execution().of_kind(OperationKind.LLM)
    assert call.context is not None
    assert call.context.messages == 2
    assert (call.time_to_first_token_s is not None) == (way == "stream")
    [span] = [span for span in recording.spans if span.name == "chat scripted-1"]
    assert (span.attributes or {})[semconv.FINISH_REASONS] == ("stop",)
    assert "secret" not in recording


def search(query: str) -> str:
    """Search."""
    with TRACER.start_as_current_span(f"inside {query}"):
        return "found secret"


def explode(query: str) -> str:
    """Fail."""
    raise KeyError(query)


QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
TOOLS = [
    Tool(name="search", description="Search.", parameters=QUERY, function=search),
    Tool(name="explode", description="Fail.", parameters=QUERY, function=explode),
]


def agent(server: ModelServer) -> Agent:
    return Agent(chat_generator=generator(server), tools=TOOLS, raise_on_tool_invocation_failure=False)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_s_calls_of_models_and_tools_are_below_it_with_exact_tokens(
    recording: Recording, model_server: ModelServer, *, is_async: bool
) -> None:
    calls = [
        ToolCall("search", {"query": "a"}),
        ToolCall("search", {"query": "b"}),
        ToolCall("explode", {"query": "c"}),
    ]
    model_server.script(Answer(tools=calls, tokens=USED), Answer("done", tokens=USED))
    pipeline = Pipeline(metadata={"name": "team"})
    pipeline.add_component("helper", agent(model_server))
    given = {"helper": {"messages": hello()}}

    result = run(pipeline, given, is_async=is_async)

    assert result["helper"]["last_message"].text == "done"
    found = recording.tree().splitlines()
    assert found[:3] == ["workflow team", "  phase helper [after=nothing]", "    agent helper"]
    assert sorted(found[3:]) == sorted(
        [
            "      llm scripted-1 [tokens=12+3]",
            "      tool search",
            "        other inside a",
            "      tool search",
            "        other inside b",
            "      tool explode [error=tool_error]",
            "      llm scripted-1 [tokens=12+3]",
        ]
    )
    execution = recording.execution()
    assert recording.tokens() == model_server.served
    first, second = execution.of_kind(OperationKind.LLM)
    tools = execution.of_kind(OperationKind.TOOL)
    assert len({tool.turn for tool in tools}) == 1
    assert all(tool.requested and tool.agent == "helper" for tool in tools)
    assert {operation.agent for operation in (first, second)} == {"helper"}
    assert second.context is not None
    assert (second.context.reused_ratio or 0) > 0
    assert "secret" not in recording


@component
class Fake:
    """A generator of the program's own."""

    def __init__(self, *replies: str) -> None:
        self.replies = replies

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage], **_: Any) -> dict[str, Any]:
        if not self.replies:
            raise ConnectionError(messages[0].text)
        meta = {"model": "fake-1", "usage": {"prompt_tokens": 12, "completion_tokens": 3}}
        return {"replies": [ChatMessage.from_assistant(each, meta=meta) for each in self.replies]}


def test_a_generator_that_tries_others_is_one_call(recording: Recording) -> None:
    pipeline = Pipeline()
    pipeline.add_component("ask", FallbackChatGenerator(chat_generators=[Fake(), Fake("done")]))

    pipeline.run({"ask": {"messages": [ChatMessage.from_user("secret")]}})

    assert recording.tree() == "workflow pipeline\n  phase ask [after=nothing]\n    llm fake-1 [tokens=12+3]"


def test_a_component_that_generates_something_else_than_replies_is_no_model(recording: Recording) -> None:
    @component
    class ReportGenerator(Upper):
        pass

    pipeline = Pipeline()
    pipeline.add_component("report", ReportGenerator())

    pipeline.run({"report": {"text": "a"}})

    assert recording.tree() == "workflow pipeline\n  phase report [after=nothing]\n    other inside a"


def test_an_agent_on_its_own_is_one_execution(recording: Recording, model_server: ModelServer) -> None:
    model_server.script(Answer("done", tokens=USED))

    helper = agent(model_server)
    helper.run(messages=hello())
    helper.close()

    assert recording.tree() == "agent Agent\n  llm scripted-1 [tokens=12+3]"


def test_a_model_that_fails_raises_what_it_raises_without_us(recording: Recording, model_server: ModelServer) -> None:
    model_server.script(Answer("secret", status=500))
    pipeline = Pipeline()
    pipeline.add_component("llm", generator(model_server))

    with pytest.raises(PipelineRuntimeError):
        run(pipeline, {"llm": {"messages": hello()}})

    failed = "error=haystack.core.errors.PipelineRuntimeError"
    assert recording.tree().splitlines()[-1] == f"    llm scripted-1 [{failed}]"
    assert "secret" not in recording


def test_a_retriever_is_a_phase_that_searches(recording: Recording) -> None:
    store = InMemoryDocumentStore()
    store.write_documents([Document(content="secret text")])
    pipeline = Pipeline()
    pipeline.add_component("facts", InMemoryBM25Retriever(document_store=store))

    pipeline.run({"facts": {"query": "secret"}})

    assert recording.tree() == "workflow pipeline\n  phase facts [after=nothing]\n    retrieval facts"
    assert "secret" not in recording


# -- the program's own tracer, and installing -----------------------------------------------------------------------


class Noting(tracing.Tracer):
    """A tracer that the program sets, which notes what it is told."""

    class Noted(tracing.Span):
        def __init__(self, name: str) -> None:
            self.name = name
            self.tags: dict[str, Any] = {}

        def set_tag(self, key: str, value: Any) -> None:
            self.tags[key] = value

        def raw_span(self) -> str:
            return f"raw {self.name}"

    def __init__(self) -> None:
        self.spans: list[tuple[str, str | None]] = []
        self.open: list[Noting.Noted] = []

    @contextmanager
    def trace(self, operation_name: str, tags: Any = None, parent_span: Any = None) -> Iterator[tracing.Span]:
        assert parent_span is None or isinstance(parent_span, Noting.Noted)
        self.spans.append((operation_name, parent_span and parent_span.name))
        span = Noting.Noted(operation_name)
        span.set_tags(tags or {})
        self.open.append(span)
        yield span
        self.open.pop()

    def current_span(self) -> tracing.Span | None:
        return self.open[-1] if self.open else None


def test_the_program_s_own_tracer_gets_what_it_gets_without_us(recording: Recording) -> None:
    def told() -> list[tuple[str, str | None]]:
        tracer = Noting()
        tracing.enable_tracing(tracer)
        try:
            diamond().run(GIVEN)
        finally:
            tracing.disable_tracing()
        return tracer.spans

    beside = told()
    assert recording.tree() == DIAMOND
    INSTRUMENTATION.remove("haystack")

    assert beside == told()
    assert len(beside) == 5


def test_a_tracer_that_writes_to_opentelemetry_itself_is_left_to_it(recording: Recording) -> None:
    class OpenTelemetryTracer(Noting):
        pass

    tracing.enable_tracing(OpenTelemetryTracer())
    try:
        diamond().run(GIVEN)
    finally:
        tracing.disable_tracing()

    assert {span.name for span in recording.spans} == {"inside abc", "inside ABC", "inside join"}


def test_what_was_wrapped_is_restored(recording: Recording) -> None:
    wrapped = tracing.tracer.trace.__func__
    INSTRUMENTATION.remove("haystack")

    assert tracing.tracer.trace.__func__ is not wrapped
    assert not hasattr(tracing.tracer.current_span, "__wrapped__")
    assert not hasattr(_create_tool_span, "__wrapped__")
    assert diamond().run(GIVEN) == {"join": {"text": "ABC ABC"}}
    assert {span.name for span in recording.spans} == {"inside abc", "inside ABC", "inside join"}
