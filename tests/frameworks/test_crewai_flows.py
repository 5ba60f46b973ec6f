"""Flows of CrewAI, and other instrumentations beside ours, offline."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace

# Sets CrewAI up before it is imported, and skips these tests where it is not installed.
pytest.importorskip("tests.frameworks.crewai_team")
from crewai import Agent, Crew, Task
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow import Flow, listen, or_, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import persist
from crewai.tools import BaseTool

from otel_wfperf import semconv
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, instrument
from otel_wfperf.instrumentation.integrations.crewai import CrewAIIntegration
from otel_wfperf.model import OperationKind
from tests.frameworks.crewai_team import (
    RESEARCH,
    WARNINGS,
    InMemory,
    Research,
    agent,
    crew,
    look_up,
    model,
    recorded,
    task,
    write,
)
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording, tokens

pytestmark = WARNINGS


@pytest.fixture(autouse=True)
def _recorded() -> Iterator[None]:
    with recorded():
        yield


FLOWS: dict[str, Callable[[Flow[Any]], Any]] = {
    "kickoff": lambda flow: flow.kickoff(),
    "kickoff_async": lambda flow: asyncio.run(flow.kickoff_async()),
    "akickoff": lambda flow: asyncio.run(flow.akickoff()),
}


@pytest.mark.parametrize("kickoff", FLOWS.values(), ids=FLOWS)
def test_records_the_methods_of_a_flow_with_what_their_decorators_declare(
    kickoff: Callable[[Flow[Any]], Any], recording: Recording
) -> None:
    assert kickoff(Research()) == "the end"

    assert recording.tree() == RESEARCH
    assert "secret" not in recording


def test_keeps_methods_that_run_together_under_their_flow_run_after_run(recording: Recording) -> None:
    class Pair(Flow):
        @start()
        def begin(self) -> None: ...

        @listen(begin)
        def left(self) -> str:
            return write(InMemory(), "x")

        @listen(begin)
        async def right(self) -> str:
            return write(InMemory(), "x")

    async def run_all() -> None:
        for _ in range(20):
            await asyncio.gather(*(Pair(suppress_flow_events=False).kickoff_async() for _ in range(10)))

    asyncio.run(run_all())

    [tree] = set(recording.trees())
    assert len(recording.executions()) == 200
    assert tree == (
        "workflow Pair\n"
        "  phase begin [after=nothing]\n"
        "  phase left [group=after begin after=begin]\n"
        "    llm in-memory [tokens=3+2]\n"
        "  phase right [group=after begin after=begin]\n"
        "    llm in-memory [tokens=3+2]"
    )


def test_an_exception_in_a_method_passes_unchanged(recording: Recording) -> None:
    class Failing(Flow):
        @start()
        def begin(self) -> None:
            raise LookupError("secret")

    with pytest.raises(LookupError, match="secret"):
        Failing().kickoff()

    assert recording.tree() == ("workflow Failing [error=LookupError]\n  phase begin [error=LookupError after=nothing]")
    assert "secret" not in recording


def test_the_slower_of_two_racing_methods_is_no_error(recording: Recording) -> None:
    class Race(Flow):
        @start()
        def begin(self) -> None: ...

        @listen(begin)
        async def fast(self) -> str:
            return "fast"

        @listen(begin)
        async def slow(self) -> str:
            await asyncio.Event().wait()
            return "slow"

        @listen(or_(fast, slow))
        def end(self, winner: str) -> str:
            return winner

    assert Race().kickoff() == "fast"

    assert recording.tree() == (
        "workflow Race\n"
        "  phase begin [after=nothing]\n"
        "  phase fast [group=after begin after=begin]\n"
        "  phase slow [group=after begin after=begin]\n"
        "  phase end [after=fast]"
    )


def test_a_streamed_flow_is_recorded_while_its_stream_is_read(recording: Recording) -> None:
    flow = Research()
    flow.stream = True
    stream = flow.kickoff()
    assert not recording.spans

    for _ in stream:
        assert not trace.get_current_span().is_recording()

    assert stream.result == "the end"
    assert recording.tree() == RESEARCH


def test_questions_to_a_person_and_feedback_on_a_result_are_waits(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "secret answer")

    class Answers:
        def request_input(self, *_: Any, **__: Any) -> str:
            return "secret answer"

    class Asking(Flow):
        input_provider: Any = Answers()

        @start()
        def question(self) -> None:
            assert self.ask("secret question") == "secret answer"

        @listen(question)
        @human_feedback(message="secret?")
        def review(self) -> str:
            return "secret draft"

    Asking().kickoff()

    assert recording.tree() == (
        "workflow Asking\n"
        "  phase question [after=nothing]\n"
        "    wait human input\n"
        "  phase review [after=question]\n"
        "    wait human feedback"
    )
    assert "secret" not in recording


class Later:
    """Asks somebody who will answer another day."""

    def request_feedback(self, context: Any, _flow: Any) -> str:
        raise HumanFeedbackPending(context=context)


class Paused(Flow):
    @start()
    @human_feedback(message="secret?", provider=Later())
    def draft(self) -> str:
        return "secret draft"

    @listen(draft)
    def publish(self) -> str:
        return "published"


def test_a_flow_that_waits_for_a_person_is_paused_and_goes_on_as_another_execution_of_one_conversation(
    recording: Recording,
) -> None:
    pending = Paused().kickoff()
    assert isinstance(pending, HumanFeedbackPending)

    assert Paused.from_pending(pending.context.flow_id).resume("fine") == "published"

    assert recording.trees() == [
        "workflow Paused\n  phase draft [after=nothing]",
        "workflow Paused\n  phase publish [after=draft]",
    ]
    assert {execution.root.conversation for execution in recording.executions()} == {pending.context.flow_id}


def test_the_user_s_operation_around_a_run_is_its_parent(recording: Recording) -> None:
    with trace.get_tracer("user").start_as_current_span("request"):
        crew(task("first", agent("A", InMemory()))).kickoff()

    assert recording.tree().startswith("other request\n  workflow team\n    phase first")


def test_leaves_crewai_to_openinference_and_counts_nothing_twice(
    model_server: ModelServer, recording: Recording
) -> None:
    others = (
        pytest.importorskip("openinference.instrumentation.crewai"),
        pytest.importorskip("openinference.instrumentation.openai"),
    )
    crewai_instrumentor, openai_instrumentor = others[0].CrewAIInstrumentor(), others[1].OpenAIInstrumentor()
    model_server.when("secret", Answer(tools=[ToolCall("look_up", {"query": "x"})]), Answer("one"))
    llm = model(model_server)
    team = crew(task("first", agent("A", llm, tools=[look_up])))
    own = set(vars(Flow))
    openai_instrumentor.instrument()
    try:
        team.kickoff()
        ours, served = recording.execution(), model_server.served
        assert recording.tokens() == served
        assert len([each for each in ours.operations if each.kind is OperationKind.LLM]) == 2

        recording.clear()
        crewai_instrumentor.instrument()
        team.kickoff()
        theirs = recording.execution()
        Research().kickoff()
    finally:
        crewai_instrumentor.uninstrument()
        openai_instrumentor.uninstrument()
        # It wraps what this class inherits, and leaves that on the class itself.
        for name in vars(Flow).keys() - own:
            delattr(Flow, name)

    assert not [span for span in recording.spans if (span.attributes or {}).get(semconv.SPAN_KIND)]
    kinds = [each.kind for each in theirs.operations]
    assert kinds.count(OperationKind.LLM) == 1
    assert kinds.count(OperationKind.AGENT) == 1
    assert tokens(theirs) + served == model_server.served


def test_everything_is_restored_and_nothing_looks_different_meanwhile() -> None:
    from crewai.events.event_bus import CrewAIEventsBus
    from crewai.llms import base_llm

    patched = [
        (Crew, "kickoff"),
        (Crew, "akickoff"),
        (Task, "_execute_core"),
        (Agent, "execute_task"),
        (Agent, "aexecute_task"),
        (Flow, "kickoff_async"),
        (BaseTool, "run"),
        (BaseTool, "arun"),
        (base_llm, "run_with_rate_limit_retry"),
        (CrewAIEventsBus, "emit"),
    ]
    meanwhile = [getattr(owner, name) for owner, name in patched]
    INSTRUMENTATION.remove("crewai")
    try:
        before = [getattr(owner, name) for owner, name in patched]
        for wrapper, original in zip(meanwhile, before, strict=True):
            assert wrapper.__wrapped__ is original
            assert inspect.signature(wrapper) == inspect.signature(original)
            assert inspect.iscoroutinefunction(wrapper) is inspect.iscoroutinefunction(original)
    finally:
        instrument(CrewAIIntegration())


def _defined() -> dict[tuple[str, str], object]:
    """Everything that the hooked modules and their classes consist of, static and class methods as they are."""
    modules = [import_module(name) for name in CrewAIIntegration().hooks()]
    owners = {
        f"{each.__module__}.{each.__qualname__}": each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__.startswith("crewai.")
    }
    found: dict[str, type | ModuleType] = {**{module.__name__: module for module in modules}, **owners}
    return {
        (owner, name): value
        for owner, holder in found.items()
        for name, value in list(vars(holder).items())
        if callable(value) or isinstance(value, staticmethod | classmethod)
    }


def test_all_that_is_replaced_is_put_back() -> None:
    INSTRUMENTATION.remove("crewai")
    before = _defined()
    instrument(CrewAIIntegration())
    meanwhile = _defined()
    INSTRUMENTATION.remove("crewai")

    changed = {key for key, value in meanwhile.items() if value is not before.get(key)}
    assert len(changed) == 41
    assert {type(meanwhile[key]) for key in changed} == {type(before[key]) for key in changed}
    assert _defined() == before


def test_each_run_of_one_crew_or_flow_is_an_execution_of_its_own(recording: Recording) -> None:
    class Twice(Flow):
        @start()
        def first(self) -> str:
            return write(InMemory(), "first")

        @listen(first)
        def second(self) -> str:
            return "done"

    team, flow = crew(task("work", agent("A", InMemory()))), Twice()
    for _ in range(2):
        team.kickoff()
        flow.kickoff()

    ran = (
        "workflow team\n  phase work [after=nothing]\n    agent A\n      llm in-memory [tokens=3+2]",
        "workflow Twice\n  phase first [after=nothing]\n    llm in-memory [tokens=3+2]\n  phase second [after=first]",
    )
    assert recording.trees() == [*ran, *ran]


def test_a_flow_whose_state_is_kept_goes_on_in_the_same_conversation(recording: Recording) -> None:
    @persist()
    class Kept(Flow):
        @start()
        def first(self) -> str:
            return "secret"

    flow = Kept()
    flow.kickoff()
    Kept().kickoff(inputs={"id": flow.flow_id})

    once = "workflow Kept\n  phase first [after=nothing]"
    assert recording.trees() == [once, once]
    assert {each.root.conversation for each in recording.executions()} == {flow.flow_id}
    assert "secret" not in recording


async def test_a_flow_that_is_started_within_a_running_loop_is_recorded(recording: Recording) -> None:
    class Inside(Flow):
        @start()
        def first(self) -> str:
            return write(InMemory(), "first")

    Inside().kickoff()

    assert recording.tree() == "workflow Inside\n  phase first [after=nothing]\n    llm in-memory [tokens=3+2]"
