import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("workflows")
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool, ToolSelection
from llama_index_instrumentation import root_dispatcher
from pydantic import PrivateAttr
from workflows import Context, Workflow, step
from workflows.errors import WorkflowCancelledByUser
from workflows.events import Event, StartEvent, StopEvent
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_fixed

from otel_wfperf import current_operation, semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.llama.handler import SpanHandler, Spans
from otel_wfperf.instrumentation.integrations.llama_index import LlamaIndexIntegration
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.recording import Recording

# llama-index-core looks at all members of its own pydantic models.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `__fields:DeprecationWarning",
    "ignore:The `model_:DeprecationWarning",
    "ignore:Accessing the 'model_:DeprecationWarning",
)
TRACER = trace.get_tracer("user")


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    with instrumented(LlamaIndexIntegration()):
        yield
    assert "llama_index" not in INSTRUMENTATION.names


def lines(text: str) -> str:
    return dedent(text).strip("\n")


# -- a model that answers what is scripted --------------------------------------------------------------------------


def open_spans() -> Spans:
    """Return what the integration keeps of spans that were not left."""
    [handler] = [each for each in root_dispatcher.span_handlers if isinstance(each, SpanHandler)]
    spans: Spans = handler._spans
    return spans


class Scripted(FunctionCallingLLM):
    """A model of llama-index-core that answers without a network, with the usage that OpenAI's package passes on.

    An answer is a text, an exception, or the tools to call.
    """

    _answers: deque[Any] = PrivateAttr()
    _served: list[TokenUsage] = PrivateAttr(default_factory=list)

    def __init__(self, *answers: str | Exception | list[tuple[str, dict[str, Any]]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._answers = deque(answers)

    @property
    def served(self) -> TokenUsage:
        return sum(self._served, TokenUsage())

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="scripted-1", is_function_calling_model=True, is_chat_model=True)

    def _next(self) -> ChatResponse:
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        number = len(self._served) + 1
        used = TokenUsage(input=10 * number, output=number, cache_read=number)
        self._served.append(used)
        message = ChatMessage(role="assistant", content=answer if isinstance(answer, str) else None)
        for index, (name, arguments) in enumerate([] if isinstance(answer, str) else answer):
            call_id = f"call_{number}_{index}"
            message.blocks.append(ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments))
        usage = {
            "prompt_tokens": used.input,
            "completion_tokens": used.output,
            "prompt_tokens_details": {"cached_tokens": used.cache_read},
        }
        reason = "stop" if isinstance(answer, str) else "tool_calls"
        raw = {"id": f"answer-{number}", "model": "scripted-1a", "usage": usage, "choices": [{"finish_reason": reason}]}
        return ChatResponse(message=message, raw=raw)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:
        del messages
        with TRACER.start_as_current_span("POST"):
            return self._next()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:
        del messages
        await asyncio.sleep(0)
        with TRACER.start_as_current_span("POST"):
            return self._next()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> Iterator[ChatResponse]:
        del messages

        def chunks() -> Iterator[ChatResponse]:
            answer = self._next()
            yield answer
            yield answer

        return chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> AsyncIterator[ChatResponse]:
        del messages

        async def chunks() -> AsyncIterator[ChatResponse]:
            answer = self._next()
            yield answer
            await asyncio.sleep(0)
            yield answer

        return chunks()

    @llm_completion_callback()
    def complete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    stream_complete = acomplete = astream_complete = complete

    def _prepare_chat_with_tools(self, tools: Any, chat_history: Any = None, **_: Any) -> dict[str, Any]:
        del tools
        return {"messages": chat_history}

    def get_tool_calls_from_response(self, response: ChatResponse, **_: Any) -> list[ToolSelection]:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [
            ToolSelection(tool_id=call.tool_call_id, tool_name=call.tool_name, tool_kwargs=call.tool_kwargs)
            for call in calls
        ]


HELLO = [ChatMessage(role="system", content="be secret"), ChatMessage(role="user", content="hello secret")]


# -- workflows ------------------------------------------------------------------------------------------------------


class Draft(Event):
    text: str


class Fact(Event):
    text: str


class Both(Event):
    text: str


class Research(Workflow):
    """plan, then two lookups side by side, then a sum of both, then a sync step."""

    @step
    async def plan(self, event: StartEvent) -> list[Draft]:
        del event
        with TRACER.start_as_current_span("users own"):
            return [Draft(text="a secret"), Draft(text="b")]

    @step(num_workers=2)
    async def look_up(self, event: Draft) -> Fact:
        await asyncio.sleep(0)
        with TRACER.start_as_current_span(f"inside {event.text[0]}"):
            return Fact(text=event.text)

    @step
    async def join(self, events: list[Fact]) -> Both:
        return Both(text=" ".join(event.text for event in events))

    @step
    def write(self, event: Both) -> StopEvent:
        with TRACER.start_as_current_span("inside thread"):
            return StopEvent(result=event.text)


RESEARCH = lines("""
    workflow Research
      phase plan
        other users own
      phase look_up [group=plan after=plan]
        other inside a
      phase look_up [group=plan after=plan]
        other inside b
      phase join [after=look_up]
      phase write [after=join]
        other inside thread
""")


def run(workflow: Workflow, **kwargs: Any) -> Any:
    async def running() -> Any:
        return await workflow.run(**kwargs)

    return asyncio.run(running())


def test_steps_are_phases_that_depend_on_the_steps_whose_events_they_take(recording: Recording) -> None:
    assert run(Research(), topic="secret") == "a secret b"

    assert recording.tree() == RESEARCH
    assert "secret" not in recording


def test_branches_are_under_their_run_over_many_concurrent_runs(recording: Recording) -> None:
    async def running() -> None:
        await asyncio.gather(*(Research().run() for _ in range(200)))

    asyncio.run(running())

    assert recording.trees() == [RESEARCH] * 200


def test_each_attempt_is_a_phase_and_the_delay_between_them_a_wait(recording: Recording) -> None:
    class Flaky(Workflow):
        tries = 0

        @step(retry_policy=retry_policy(wait=wait_fixed(0.03), stop=stop_after_attempt(3)))
        async def fetch(self, event: StartEvent) -> StopEvent:
            del event
            self.tries += 1
            if self.tries < 3:
                raise ConnectionError("secret")
            return StopEvent(result=self.tries)

    assert run(Flaky()) == 3

    assert recording.tree() == lines("""
        workflow Flaky
          phase fetch [error=ConnectionError]
          wait fetch
          phase fetch [error=ConnectionError attempt=2]
          wait fetch
          phase fetch [attempt=3]
    """)
    waits = recording.execution().of_kind(OperationKind.WAIT)
    assert {wait.wait_kind for wait in waits} == {"retry_backoff"}
    assert "secret" not in recording


def test_steps_that_wait_for_a_free_worker_show_for_how_long_and_for_which_limit(recording: Recording) -> None:
    class Narrow(Workflow):
        @step
        async def plan(self, event: StartEvent) -> list[Draft]:
            del event
            return [Draft(text=str(number)) for number in range(3)]

        @step(num_workers=1)
        async def work(self, event: Draft) -> Fact:
            await asyncio.sleep(0.03)
            return Fact(text=event.text)

        @step
        async def join(self, events: list[Fact]) -> StopEvent:
            return StopEvent(result=len(events))

    assert run(Narrow()) == 3

    execution = recording.execution()
    waits = sorted(execution.of_kind(OperationKind.WAIT), key=lambda wait: wait.duration_ns)
    assert [(wait.name, wait.wait_kind, wait.concurrency_limit) for wait in waits] == [("work", "concurrency", 1)] * 2
    [_, second, third] = [phase for phase in execution.of_kind(OperationKind.PHASE) if phase.name == "work"]
    assert [wait.end_ns <= phase.start_ns for wait, phase in zip(waits, (second, third), strict=True)] == [True, True]


def test_an_exception_passes_unchanged_and_marks_step_and_run(recording: Recording) -> None:
    error = ValueError("secret")

    class Broken(Workflow):
        @step
        async def fail(self, event: StartEvent) -> StopEvent:
            del event
            raise error

    with pytest.raises(ValueError, match="secret") as caught:
        run(Broken())

    assert caught.value is error
    assert recording.tree() == "workflow Broken [error=ValueError]\n  phase fail [error=ValueError]"
    assert "secret" not in recording


def test_a_run_that_the_user_cancels_has_ended_without_an_error(recording: Recording) -> None:
    class Endless(Workflow):
        @step
        async def hang(self, ctx: Context, event: StartEvent) -> StopEvent:
            del event
            ctx.write_event_to_stream(Event())
            await asyncio.Event().wait()
            return StopEvent()

    async def running() -> None:
        handler = Endless().run()
        async for _ in handler.stream_events():
            break
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler

    asyncio.run(running())

    assert recording.tree() == "workflow Endless\n  phase hang"


def test_the_reader_of_a_stream_is_outside_and_may_leave_early(recording: Recording) -> None:
    class Talking(Workflow):
        @step
        async def talk(self, ctx: Context, event: StartEvent) -> StopEvent:
            del event
            for _ in range(3):
                ctx.write_event_to_stream(Event())
            return StopEvent(result="done")

    async def running() -> None:
        handler = Talking().run()
        async for _ in handler.stream_events():
            assert current_operation() is None
            assert not trace.get_current_span().is_recording()
            break
        assert await handler == "done"

    asyncio.run(running())

    assert recording.tree() == "workflow Talking\n  phase talk"


def test_a_workflow_within_a_step_belongs_to_it_and_a_name_that_the_user_gave_is_used(recording: Recording) -> None:
    class Outer(Workflow):
        @step
        async def delegate(self, event: StartEvent) -> StopEvent:
            del event
            return StopEvent(result=await Research().run())

    run(Outer(workflow_name="outer one"))

    first, second, *inner = recording.tree().splitlines()
    assert [first, second] == ["workflow outer one", "  phase delegate"]
    assert "\n".join(line[4:] for line in inner) == RESEARCH


# -- agents and tools -----------------------------------------------------------------------------------------------


async def search(query: str) -> str:
    """Search."""
    await asyncio.sleep(0)
    with TRACER.start_as_current_span(f"inside {query}"):
        return "found secret"


def explode(query: str) -> str:
    """Fail."""
    del query
    raise KeyError("secret")


def agent(model: Scripted, name: str = "helper", **kwargs: Any) -> FunctionAgent:
    tools = [FunctionTool.from_defaults(async_fn=search, name="search"), FunctionTool.from_defaults(explode)]
    return FunctionAgent(
        name=name, description=f"the {name}", system_prompt="be secret", tools=tools, llm=model, **kwargs
    )


@pytest.mark.parametrize("streaming", [False, True])
def test_an_agent_s_calls_of_models_and_tools_are_below_it_with_exact_tokens(
    recording: Recording, *, streaming: bool
) -> None:
    model = Scripted([("search", {"query": "a"}), ("search", {"query": "b"}), ("explode", {"query": "c"})], "done")

    answer = run(agent(model, streaming=streaming), user_msg="secret question")

    assert str(answer) == "done"
    http = [] if streaming else ["    other POST"]
    assert recording.tree().splitlines() == [
        "agent helper",
        "  llm scripted-1 [tokens=10+1]",
        *http,
        "  tool search",
        "    other inside a",
        "  tool search",
        "    other inside b",
        "  tool explode [error=KeyError]",
        "  llm scripted-1 [tokens=20+2]",
        *http,
    ]
    assert recording.tokens() == model.served
    execution = recording.execution()
    first, second = execution.of_kind(OperationKind.LLM)
    assert [tool.turn for tool in execution.of_kind(OperationKind.TOOL)] == ["answer-1"] * 3
    assert {operation.agent for operation in (first, second)} == {"helper"}
    assert second.context is not None
    assert second.context.growth_bytes is not None
    assert (second.context.reused_ratio or 0) > 0
    assert (first.time_to_first_token_s is not None) == streaming
    assert "secret" not in recording


def test_agents_that_hand_off_take_turns_in_one_workflow(recording: Recording) -> None:
    model = Scripted([("handoff", {"to_agent": "writer", "reason": "secret"})], "written")
    first, second = agent(model, "planner", can_handoff_to=["writer"]), agent(model, "writer")
    team = AgentWorkflow(agents=[first, second], root_agent="planner")

    run(team, user_msg="secret question")

    assert recording.tree() == lines("""
        workflow AgentWorkflow
          agent planner
            llm scripted-1 [tokens=10+1]
          handoff writer [from=planner]
          agent writer
            llm scripted-1 [tokens=20+2]
    """)
    assert recording.tokens() == model.served
    assert "secret" not in recording


# -- models ---------------------------------------------------------------------------------------------------------


class Asking(Workflow):
    """One step that calls a model in the way that the test says."""

    model: Any
    how: str

    @step
    async def ask(self, event: StartEvent) -> StopEvent:
        del event
        match self.how:
            case "chat":
                self.model.chat(HELLO)
            case "achat":
                await self.model.achat(HELLO)
            case "stream":
                for _ in self.model.stream_chat(HELLO):
                    assert current_operation().kind == "phase"  # type: ignore[union-attr]
            case "astream":
                async for _ in await self.model.astream_chat(HELLO):
                    assert current_operation().kind == "phase"  # type: ignore[union-attr]
            case "leave":
                stream = self.model.stream_chat(HELLO)
                next(stream)
                stream.close()
        assert current_operation().kind == "phase"  # type: ignore[union-attr]
        return StopEvent(result="asked")


def asking(model: Scripted, how: str) -> Asking:
    workflow = Asking()
    workflow.model, workflow.how = model, how
    return workflow


@pytest.mark.parametrize("how", ["chat", "achat", "stream", "astream"])
def test_a_call_of_a_model_in_a_step_is_recorded_once_in_each_way_of_calling(recording: Recording, how: str) -> None:
    model = Scripted("the secret answer")

    assert run(asking(model, how)) == "asked"

    http = [] if "stream" in how else ["      other POST"]
    assert recording.tree().splitlines() == [
        "workflow Asking",
        "  phase ask",
        "    llm scripted-1 [tokens=10+1]",
        *http,
    ]
    assert recording.tokens() == model.served
    [span] = [span for span in recording.spans if span.name == "chat scripted-1"]
    attributes = dict(span.attributes or {})
    assert attributes[semconv.RESPONSE_MODEL] == "scripted-1a"
    assert attributes[semconv.FINISH_REASONS] == ("stop",)
    assert attributes[semconv.CONTEXT_MESSAGES] == 2
    assert "secret" not in recording


def test_a_stream_that_is_never_read_ends_with_the_stream_and_is_forgotten(recording: Recording) -> None:
    async def running() -> None:
        await Scripted("secret").astream_chat([ChatMessage("secret")])

    stream = Scripted("secret").stream_chat([ChatMessage("secret")])
    assert len(open_spans()) == 1
    assert not recording.spans

    del stream
    asyncio.run(running())
    gc.collect()

    assert recording.trees() == ["llm scripted-1"] * 2
    assert len(open_spans()) == 0


def test_a_stream_that_is_left_early_ends_its_call_without_an_error(recording: Recording) -> None:
    assert run(asking(Scripted("the secret answer"), "leave")) == "asked"
    gc.collect()

    assert recording.tree() == "workflow Asking\n  phase ask\n    llm scripted-1"


@pytest.mark.parametrize("how", ["chat", "achat", "stream", "astream"])
def test_a_model_that_fails_raises_what_it_raises_without_us(recording: Recording, how: str) -> None:
    error = ConnectionError("secret")
    with pytest.raises(ConnectionError) as caught:
        run(asking(Scripted(error), how))

    assert caught.value is error
    assert recording.tree() == lines("""
        workflow Asking [error=ConnectionError]
          phase ask [error=ConnectionError]
            llm scripted-1 [error=ConnectionError]
    """) + ("" if "stream" in how else "\n      other POST [error=ConnectionError]")


def test_the_wait_for_a_rate_limit_is_part_of_the_call(recording: Recording) -> None:
    model = Scripted("a")
    model.rate_limiter = TokenBucketRateLimiter(requests_per_minute=600)

    run(asking(model, "achat"))

    assert recording.tree() == lines("""
        workflow Asking
          phase ask
            llm scripted-1 [tokens=10+1]
              wait rate limit
              other POST
    """)


def test_a_rate_limit_that_is_waited_for_outside_of_everything_is_no_execution(recording: Recording) -> None:
    limiter = TokenBucketRateLimiter(requests_per_minute=600)
    limiter.acquire()
    asyncio.run(limiter.async_acquire())

    assert not recording.spans


def test_a_search_for_documents_is_recorded_with_what_it_searches(recording: Recording) -> None:
    class Documents(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            del query_bundle
            with TRACER.start_as_current_span("SELECT"):
                return [NodeWithScore(node=TextNode(text="secret"))]

    class Searching(Workflow):
        @step
        async def look_up(self, event: StartEvent) -> StopEvent:
            del event
            return StopEvent(result=len(Documents().retrieve("secret")))

    assert run(Searching()) == 1

    assert recording.tree() == lines("""
        workflow Searching
          phase look_up
            retrieval Documents
              other SELECT
    """)
    assert "secret" not in recording


# -- installing -----------------------------------------------------------------------------------------------------


def test_what_was_added_is_taken_away_again(recording: Recording) -> None:
    INSTRUMENTATION.remove("llama_index")

    handlers = [*root_dispatcher.span_handlers, *root_dispatcher.event_handlers]
    assert not [handler for handler in handlers if "otel_wfperf" in type(handler).__module__]
    assert run(Research()) == "a secret b"
    assert {span.name for span in recording.spans} == {"users own", "inside a", "inside b", "inside thread"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what OpenInference reads of pydantic models
def test_nothing_is_recorded_twice_beside_openinference(recording: Recording) -> None:
    instrumentation = pytest.importorskip("openinference.instrumentation.llama_index")
    model = Scripted("answer")
    other = instrumentation.LlamaIndexInstrumentor()
    other.instrument()
    try:
        model.chat(HELLO)
    finally:
        other.uninstrument()

    execution = recording.execution()
    assert len(execution.of_kind(OperationKind.LLM)) == 1
    assert recording.tokens() == model.served
    assert "wfperf" not in execution.dialects
