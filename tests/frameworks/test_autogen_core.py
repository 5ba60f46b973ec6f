"""AutoGen Core 0.7 alone: runtimes, messages and the agents that handle them."""
# ruff: noqa: ARG002 - AutoGen's interfaces have arguments that these fakes do not need

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from opentelemetry import trace

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_core")
from autogen_core import (
    AgentId,
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    default_subscription,
    message_handler,
)
from autogen_core.models import ChatCompletionClient

from otel_wfperf import workflow
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.autogen import AutoGenIntegration
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import Ticket
from otel_wfperf.model import OperationKind
from tests.frameworks.autogen_teams import NO_WAITS, SECRET, Scripted
from tests.frameworks.recording import Recording, tree


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AutoGenIntegration()):
        yield


@dataclass
class Task:
    text: str


@dataclass
class Part:
    text: str


@dataclass
class Unknown:
    text: str


class Asker(RoutedAgent):
    """Asks another agent and waits for its answer."""

    @message_handler
    async def handle(self, message: Task, ctx: MessageContext) -> Task:
        answer: Task = await self.send_message(message, AgentId("answerer", "default"))
        return answer


class Answerer(RoutedAgent):
    def __init__(self, model: ChatCompletionClient) -> None:
        super().__init__("answers")
        self._model = model

    @message_handler
    async def handle(self, message: Task, ctx: MessageContext) -> Task:
        answer = await self._model.create([])
        assert isinstance(answer.content, str)
        return Task(answer.content)


@default_subscription
class Splitter(RoutedAgent):
    """Tells all others what is to be done, and waits for nobody."""

    @message_handler
    async def handle(self, message: Task, ctx: MessageContext) -> None:
        await self.publish_message(Part(message.text), DefaultTopicId())


@default_subscription
class Worker(RoutedAgent):
    @message_handler
    async def handle(self, message: Part, ctx: MessageContext) -> None:
        with trace.get_tracer("user").start_as_current_span("inside"):
            await asyncio.sleep(0)


async def runtime_of(**agents: Callable[[], RoutedAgent]) -> SingleThreadedAgentRuntime:
    runtime = SingleThreadedAgentRuntime()
    for name, make in agents.items():
        await type(make()).register(runtime, name, make)
    return runtime


ASKED = """\
workflow asker.Task
  agent asker
    agent answerer
      llm scripted [tokens=10+5]"""


async def test_a_question_from_outside_is_a_workflow_and_its_answers_nest(recording: Recording) -> None:
    runtime = await runtime_of(asker=lambda: Asker("asks"), answerer=lambda: Answerer(Scripted("yes")))
    runtime.start()
    answer = await runtime.send_message(Task(SECRET), AgentId("asker", "default"))
    await runtime.stop_when_idle()

    assert answer == Task("yes")
    assert tree(recording.execution(), hide=NO_WAITS) == ASKED
    assert SECRET not in recording


async def test_what_a_published_message_sets_off_is_one_workflow(recording: Recording) -> None:
    runtime = await runtime_of(splitter=lambda: Splitter("splits"), a=lambda: Worker("a"), b=lambda: Worker("b"))
    runtime.start()
    await runtime.publish_message(Task("x"), DefaultTopicId("jobs"))
    await runtime.publish_message(Task("x"), DefaultTopicId())
    await runtime.stop_when_idle()

    nobody, execution = recording.executions()
    assert tree(nobody) == "workflow jobs.Task"
    assert (
        tree(execution, hide=NO_WAITS)
        == """\
workflow default.Task
  agent splitter
  agent a [after=splitter]
    other inside
  agent b [after=splitter]
    other inside"""
    )
    splitter, *workers = execution.of_kind(OperationKind.AGENT)
    assert [[link.span_id for link in worker.links] for worker in workers] == [[splitter.span_id]] * 2


async def test_an_exception_of_a_handler_reaches_whoever_asked(recording: Recording) -> None:
    error = KeyError(SECRET)
    runtime = await runtime_of(asker=lambda: Asker("asks"), answerer=lambda: Answerer(Scripted(error)))
    runtime.start()
    with pytest.raises(KeyError) as caught:
        await runtime.send_message(Task("x"), AgentId("asker", "default"))
    await runtime.stop_when_idle()

    assert caught.value is error
    assert [operation.error for operation in recording.execution().operations] == ["KeyError"] * 4
    assert SECRET not in recording


async def test_messages_that_a_stopped_runtime_drops_end_their_run(recording: Recording) -> None:
    runtime = await runtime_of(splitter=lambda: Splitter("splits"))
    await runtime.publish_message(Task("x"), DefaultTopicId())
    assert not recording.spans
    runtime.start()
    await runtime.stop()
    gc.collect()

    assert recording.tree().startswith("workflow default.Task")


@default_subscription
class Counter(RoutedAgent):
    """Goes on telling itself and its like, and counts what is kept of all the messages."""

    kept: ClassVar[list[int]] = []

    @message_handler
    async def handle(self, message: Part, ctx: MessageContext) -> None:
        if len(message.text) < 100:
            await self.publish_message(Part(message.text + "x"), DefaultTopicId())
        else:
            gc.collect()
            self.kept.append(sum(type(each) is Ticket for each in gc.get_objects()))


async def test_messages_that_have_been_handled_are_forgotten_while_the_run_goes_on(recording: Recording) -> None:
    runtime = await runtime_of(one=lambda: Counter("counts"), other=lambda: Counter("counts"))
    runtime.start()
    await runtime.publish_message(Part(""), DefaultTopicId())
    await runtime.stop_when_idle()

    assert len(recording.execution().of_kind(OperationKind.AGENT)) > 100
    assert max(Counter.kept) < 20


async def test_a_message_that_an_agent_does_not_handle_is_no_turn(recording: Recording) -> None:
    runtime = await runtime_of(splitter=lambda: Splitter("splits"))
    runtime.start()
    await runtime.publish_message(Unknown("x"), DefaultTopicId())
    await runtime.stop_when_idle()

    assert recording.tree() == "workflow default.Unknown"


async def test_a_core_run_within_a_workflow_of_the_user_is_part_of_it(recording: Recording) -> None:
    runtime = await runtime_of(asker=lambda: Asker("asks"), answerer=lambda: Answerer(Scripted("yes")))
    runtime.start()
    with workflow("whole"):
        await runtime.send_message(Task("x"), AgentId("asker", "default"))
    await runtime.stop_when_idle()

    assert tree(recording.execution(), hide=NO_WAITS) == ASKED.replace("workflow asker.Task", "workflow whole")


async def test_time_in_the_mailbox_of_an_agent_is_a_wait(recording: Recording) -> None:
    runtime = await runtime_of(a=lambda: Worker("a"))
    # Nobody empties the queue before the runtime is started.
    await runtime.publish_message(Part("x"), DefaultTopicId())
    published_s = time.perf_counter()
    while time.perf_counter() - published_s < 0.005:
        pass
    runtime.start()
    await runtime.stop_when_idle()

    execution = recording.execution()
    [wait] = execution.of_kind(OperationKind.WAIT)
    [agent] = execution.of_kind(OperationKind.AGENT)
    assert (wait.name, wait.wait_kind, wait.parent_id) == ("a mailbox", "queue", execution.root_id)
    assert wait.end_ns <= agent.start_ns
    assert wait.duration_ns >= 5_000_000


# -- models


async def test_a_runtime_with_a_tracer_provider_of_its_own_writes_its_messages(recording: Recording) -> None:
    runtime = SingleThreadedAgentRuntime(tracer_provider=trace.get_tracer_provider())
    await Worker.register(runtime, "a", lambda: Worker("a"))
    runtime.start()
    await runtime.publish_message(Part("x"), DefaultTopicId())
    await runtime.stop_when_idle()

    assert "autogen process a.(default)-A" in {span.name for span in recording.spans}
    assert (
        tree(recording.execution(), hide=NO_WAITS)
        == """\
workflow default.Part
  agent a
    other inside"""
    )
