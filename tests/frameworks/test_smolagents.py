import gc
import inspect
import weakref
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("smolagents")
from smolagents import CodeAgent, MultiStepAgent, OpenAIServerModel, Tool, ToolCallingAgent
from smolagents.agents import ActionOutput
from smolagents.models import ChatMessage, ChatMessageStreamDelta, MessageRole, Model
from smolagents.models import TokenUsage as SmolTokens
from smolagents.monitoring import LogLevel
from smolagents.utils import AgentGenerationError, RateLimiter, Retrying

from otel_wfperf import current_operation, semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrumented
from otel_wfperf.instrumentation.integrations.smolagents import SmolagentsIntegration
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording

TRACER = trace.get_tracer("user")
USED = TokenUsage(input=12, output=3, cache_read=4, reasoning=1)


@pytest.fixture(autouse=True)
def recorded() -> Iterator[None]:
    with instrumented(SmolagentsIntegration()):
        yield


def lines(text: str) -> str:
    return dedent(text).strip("\n")


class Search(Tool):
    name = "search"
    description = "Searches."
    inputs = {"query": {"type": "string", "description": "What to look for."}}  # noqa: RUF012 - as smolagents wants it
    output_type = "string"

    def forward(self, query: str) -> str:
        with TRACER.start_as_current_span(f"inside {query}"):
            return "found secret"


class Explode(Search):
    name = "explode"

    def forward(self, query: str) -> str:
        raise KeyError(query)


def final(text: str = "done", *, tokens: TokenUsage = USED) -> Answer:
    return Answer(tools=[ToolCall("final_answer", {"answer": text})], tokens=tokens)


@pytest.fixture
def model(model_server: ModelServer) -> Iterator[OpenAIServerModel]:
    with_client = OpenAIServerModel("scripted-1", api_base=model_server.url, api_key="none", retry=False)
    yield with_client
    with_client.client.close()


def caller(model: Model, **kwargs: Any) -> ToolCallingAgent:
    return ToolCallingAgent(
        tools=[Search(), Explode()],
        model=model,
        name="helper",
        description="Helps.",
        verbosity_level=LogLevel.OFF,
        **kwargs,
    )


TWO_STEPS = lines("""
    agent helper
      phase act [step=1]
        llm scripted-1 [tokens=12+3]
        tool search
          other inside a
        tool search
          other inside b
      phase act [step=2]
        llm scripted-1 [tokens=12+3]
        tool final_answer
""")


def sorted_tools(tree: str) -> str:
    """Tools that ran side by side, in one order."""
    first, second = tree.find("inside a"), tree.find("inside b")
    return (
        tree
        if first < second
        else tree.replace("inside a", "inside ?").replace("inside b", "inside a").replace("?", "b")
    )


def two_steps(server: ModelServer) -> None:
    server.script(
        Answer(tools=[ToolCall("search", {"query": "a"}), ToolCall("search", {"query": "b"})], tokens=USED), final()
    )


@pytest.mark.parametrize("streams_output", [False, True])
def test_steps_tools_and_model_calls_are_below_the_agent_with_exact_tokens(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel, *, streams_output: bool
) -> None:
    two_steps(model_server)

    assert caller(model, stream_outputs=streams_output).run("a secret task") == "done"

    assert sorted_tools(recording.tree()) == TWO_STEPS
    expected = model_server.served if not streams_output else TokenUsage(input=24, output=6)
    assert recording.tokens() == expected
    execution = recording.execution()
    tools = execution.of_kind(OperationKind.TOOL)
    assert len({tool.turn for tool in tools}) == 2
    assert all(tool.requested and tool.agent == "helper" for tool in tools)
    first, second = execution.of_kind(OperationKind.LLM)
    assert (first.time_to_first_token_s is not None) == streams_output
    assert second.context is not None
    assert (second.context.reused_ratio or 0) > 0
    assert "secret" not in recording


def test_a_run_that_streams_is_lazy_and_its_reader_is_outside(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    two_steps(model_server)
    steps = caller(model).run("task", stream=True)

    assert inspect.isgenerator(steps)
    assert not model_server.requests
    for _ in steps:
        assert current_operation() is None
        assert not trace.get_current_span().is_recording()

    assert sorted_tools(recording.tree()) == TWO_STEPS


def test_a_run_that_is_left_early_raises_what_it_raises_without_us_and_has_ended(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    two_steps(model_server)
    steps = caller(model).run("task", stream=True)
    next(steps)
    # smolagents yields in a `finally` block.
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        steps.close()

    assert recording.tree().splitlines()[0] == "agent helper [error=RuntimeError]"


def test_a_tool_that_fails_marks_itself_and_the_step_and_the_agent_goes_on(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer(tools=[ToolCall("explode", {"query": "secret"})], tokens=USED), final())

    assert caller(model).run("task") == "done"

    assert recording.tree() == lines("""
        agent helper
          phase act [error=smolagents.utils.AgentToolExecutionError step=1]
            llm scripted-1 [tokens=12+3]
            tool explode [error=KeyError]
          phase act [step=2]
            llm scripted-1 [tokens=12+3]
            tool final_answer
    """)
    assert "secret" not in recording


def test_a_model_that_fails_raises_what_it_raises_without_us(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer("secret", status=400))

    with pytest.raises(AgentGenerationError):
        caller(model).run("task")

    failed = "error=smolagents.utils.AgentGenerationError"
    assert recording.tree() == lines(f"""
        agent helper [{failed}]
          phase act [{failed} step=1]
            llm scripted-1 [error=openai.BadRequestError]
    """)
    assert "secret" not in recording


def test_planning_is_a_step_of_its_own(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer("a plan", tokens=USED), final())

    caller(model, planning_interval=5).run("task")

    assert recording.tree() == lines("""
        agent helper
          phase plan
            llm scripted-1 [tokens=12+3]
          phase act [step=1]
            llm scripted-1 [tokens=12+3]
            tool final_answer
    """)


def test_tools_in_the_code_of_a_code_agent_belong_to_its_step(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer("<code>\nprint(search('a'))\nfinal_answer('done')\n</code>", tokens=USED))

    assert CodeAgent(tools=[Search()], model=model, verbosity_level=LogLevel.OFF).run("task") == "done"

    assert recording.tree() == lines("""
        agent CodeAgent
          phase act [step=1]
            llm scripted-1 [tokens=12+3]
            tool search
              other inside a
            tool final_answer
    """)


def test_a_managed_agent_is_below_the_step_that_asked_for_it(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer(tools=[ToolCall("helper", {"task": "look"})], tokens=USED), final("found"), final())
    boss = ToolCallingAgent(
        tools=[], model=model, managed_agents=[caller(model)], name="boss", verbosity_level=LogLevel.OFF
    )

    assert boss.run("task") == "done"

    assert recording.tree() == lines("""
        agent boss
          phase act [step=1]
            llm scripted-1 [tokens=12+3]
            agent helper
              phase act [step=1]
                llm scripted-1 [tokens=12+3]
                tool final_answer
          phase act [step=2]
            llm scripted-1 [tokens=12+3]
            tool final_answer
    """)
    assert recording.tokens() == model_server.served


def test_steps_of_a_class_of_agents_of_the_program_are_phases_once(recording: Recording) -> None:
    class Calling(ToolCallingAgent):
        def _step_stream(self, memory_step: Any) -> Any:
            yield from super()._step_stream(memory_step)

    class Own(MultiStepAgent):
        def initialize_system_prompt(self) -> str:
            return ""

        def _step_stream(self, memory_step: Any) -> Any:
            del memory_step
            yield ActionOutput(output=self.model.generate([]).content, is_final_answer=True)

    templates = caller(Scripted(model_id="m")).prompt_templates
    calling = Calling(tools=[], model=Scripted(model_id="m"), verbosity_level=LogLevel.OFF)
    own = Own(tools=[], model=Scripted(model_id="m"), prompt_templates=templates, verbosity_level=LogLevel.OFF)
    calling.run("task")
    own.run("task")

    assert recording.trees() == [
        "agent Calling\n  phase act [step=1]\n    llm m [tokens=12+3]\n    tool final_answer",
        "agent Own\n  phase act [step=1]\n    llm m [tokens=12+3]",
    ]


@pytest.mark.parametrize("kind", [list, iter, "generator"])
def test_a_stream_of_a_model_that_is_no_generator_function_stays_what_it_is(recording: Recording, kind: Any) -> None:
    class Streaming(Scripted):
        def generate_stream(self, messages: Any, **_: Any) -> Any:
            text = self.generate(messages).content
            pieces = [ChatMessageStreamDelta(content=text, token_usage=SmolTokens(12, 3))]
            return (piece for piece in pieces) if kind == "generator" else kind(pieces)

    model = Streaming(model_id="m")
    expected = {"generator": "generator", list: "list", iter: "list_iterator"}[kind]
    assert type(model.generate_stream([])).__name__ == expected
    recording.clear()

    assert caller(model, stream_outputs=True).run("task") == "done"

    calls = recording.execution().of_kind(OperationKind.LLM)
    # The one that it asks when it is called; and the stream, if it is one.
    assert [call.time_to_first_token_s is not None for call in calls] == [False, True][: 1 + (kind == "generator")]


def test_classes_that_are_made_later_are_told_to_all_that_want_to_know_and_may_go(recording: Recording) -> None:
    told: list[str] = []

    class Registry:
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__()
            told.append(f"{cls.__name__} {kwargs}")

    class Registered(Scripted, Registry, key="a"):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return super().generate(messages, **kwargs)

    assert told == ["Registered {'key': 'a'}"]
    Registered(model_id="m").generate([])
    assert recording.trees() == ["llm m [tokens=12+3]"]

    gone = weakref.ref(Registered)
    del Registered
    gc.collect()
    assert gone() is None


def test_a_tool_is_sent_elsewhere_as_without_us() -> None:
    class Own(Search):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    with_us = Own().to_dict()["code"]
    INSTRUMENTATION.remove("smolagents")

    assert with_us == Own().to_dict()["code"]
    assert "__call__" in with_us


class Scripted(Model):
    """A model of the program, defined after recording began, that calls the class that it was made from."""

    def generate(self, messages: Any, **_: Any) -> ChatMessage:
        del messages
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content='{"name": "final_answer", "arguments": {"answer": "done"}}',
            token_usage=SmolTokens(12, 3),
        )


def test_branches_are_under_their_step_over_many_runs_and_a_model_defined_later_is_seen(recording: Recording) -> None:
    class Later(Scripted):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            answer = super().generate(messages, **kwargs)
            if len(messages) > 2:
                return answer
            text = [
                {"id": query, "type": "function", "function": {"name": "search", "arguments": {"query": query}}}
                for query in "abc"
            ]
            return ChatMessage.from_dict({"role": "assistant", "tool_calls": text}, token_usage=SmolTokens(12, 3))

    helper = caller(Later(model_id="later-1"))
    for _ in range(200):
        helper.run("task")

    trees = recording.trees()
    assert len(trees) == 200
    for tree in trees:
        assert sorted(tree.splitlines()) == sorted(
            [
                "agent helper",
                "  phase act [step=1]",
                "    llm later-1 [tokens=12+3]",
                *(line for name in "abc" for line in ("    tool search", f"      other inside {name}")),
                "  phase act [step=2]",
                "    llm later-1 [tokens=12+3]",
                "    tool final_answer",
            ]
        )


def test_waits_for_a_rate_limit_and_before_another_attempt_are_part_of_the_call(recording: Recording) -> None:
    class Limited(Scripted):
        limiter = RateLimiter(requests_per_minute=60_000 / 20)
        failures = 1

        def generate(self, messages: Any, **_: Any) -> ChatMessage:
            self.limiter.throttle()
            self.limiter.throttle()
            answer: ChatMessage = Retrying(max_attempts=2, wait_seconds=0.01, retry_predicate=bool)(self.ask, messages)
            return answer

        def ask(self, messages: Any) -> ChatMessage:
            self.failures -= 1
            if self.failures >= 0:
                raise ConnectionError("secret")
            return super().generate(messages)

    caller(Limited(model_id="limited-1")).run("task")

    waits = recording.execution().of_kind(OperationKind.WAIT)
    assert [wait.wait_kind for wait in waits] == ["rate_limit", "retry_backoff"]
    assert {recording.execution().by_id[wait.parent_id or ""].kind for wait in waits} == {OperationKind.LLM}
    assert "secret" not in recording
    assert Retrying(max_attempts=1)(fn=list) == []


def test_tools_and_models_outside_of_agents_are_what_they_are_without_us(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    model_server.script(Answer("hi", tokens=USED))

    assert Search()(query="a") == "found secret"
    assert model.generate([ChatMessage(role=MessageRole.USER, content="secret")]).content == "hi"

    assert recording.trees() == ["other inside a", "llm scripted-1 [tokens=12+3]"]
    [span] = [span for span in recording.spans if span.name == "chat scripted-1"]
    assert (span.attributes or {})[semconv.FINISH_REASONS] == ("stop",)
    assert "secret" not in recording


def test_what_was_replaced_is_restored(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    INSTRUMENTATION.remove("smolagents")

    for method in (ToolCallingAgent.run, ToolCallingAgent._step_stream, Tool.__call__, OpenAIServerModel.generate):
        assert "otel_wfperf" not in method.__code__.co_filename
    assert "__init_subclass__" not in vars(Model)
    model_server.script(final())
    assert caller(model).run("task") == "done"
    assert not recording.spans


def test_nothing_is_recorded_twice_beside_openinference(
    recording: Recording, model_server: ModelServer, model: OpenAIServerModel
) -> None:
    instrumentation = pytest.importorskip("openinference.instrumentation.smolagents")
    model_server.script(Answer(tools=[ToolCall("search", {"query": "a"})], tokens=USED), final())
    other = instrumentation.SmolagentsInstrumentor()
    other.instrument()
    try:
        caller(model).run("task")
    finally:
        other.uninstrument()

    execution = recording.execution()
    assert "wfperf" not in execution.dialects
    assert len(execution.of_kind(OperationKind.LLM)) == 2
    assert (recording.tokens().input, recording.tokens().output) == (24, 6)
    assert sorted(tool.name for tool in execution.of_kind(OperationKind.TOOL)) == ["final_answer", "search"]
