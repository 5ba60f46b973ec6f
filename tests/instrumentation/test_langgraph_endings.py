import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

pytest.importorskip("langgraph")
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from otel_wfperf import phase, uninstrument
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.langgraph import LangGraphIntegration
from tests.instrumentation.graphs import ASYNC, SYNC, State, node
from tests.instrumentation.recorded import Recorded, attributes_of


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(LangGraphIntegration()):
        yield


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_each_attempt_of_a_retried_node_is_a_numbered_phase(recorded: Recorded, *, is_async: bool) -> None:
    attempts: list[int] = []

    def flaky(_state: State) -> State:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("marker-7f3a")
        return {"seen": []}

    async def flaky_async(state: State) -> State:
        return flaky(state)

    policy = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=ValueError)
    function: Any = flaky_async if is_async else flaky
    graph = StateGraph(State).add_node("flaky", function, retry_policy=policy).add_edge(START, "flaky").compile()
    if is_async:
        asyncio.run(graph.ainvoke({"seen": []}))
    else:
        graph.invoke({"seen": []})

    spans = recorded.all("phase flaky")
    assert [attributes_of(span)["wfperf.retry.attempt"] for span in spans] == [1, 2, 3]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert [attributes_of(span).get("error.type") for span in spans] == ["ValueError", "ValueError", None]
    assert recorded.one("invoke_workflow LangGraph").status.status_code is StatusCode.UNSET
    assert "marker-7f3a" not in recorded


def test_an_exception_reaches_the_caller_untouched(recorded: Recorded) -> None:
    error = KeyError("k")

    def fails(state: State) -> State:
        del state
        raise error

    graph = StateGraph(State).add_node("fails", fails).add_edge(START, "fails").compile(name="g")
    with pytest.raises(KeyError) as caught:
        graph.invoke({"seen": []})

    assert caught.value is error
    for name in ("phase fails", "invoke_workflow g"):
        assert recorded.attributes(name)["error.type"] == "KeyError"
        assert recorded.one(name).status.status_code is StatusCode.ERROR


def test_too_many_steps_fail_the_workflow_only(recorded: Recorded) -> None:
    graph = StateGraph(State).add_node("again", node("again")).add_edge(START, "again").add_edge("again", "again")
    with pytest.raises(GraphRecursionError):
        graph.compile(name="g").invoke({"seen": []}, {"recursion_limit": 3})

    assert recorded.attributes("invoke_workflow g")["error.type"] == "langgraph.errors.GraphRecursionError"
    assert {span.status.status_code for span in recorded.all("phase again")} == {StatusCode.UNSET}


def test_an_abandoned_stream_is_an_early_exit(recorded: Recorded) -> None:
    iterator = SYNC.stream({"seen": []})
    next(iterator)
    iterator.close()

    assert recorded.one("invoke_workflow report").status.status_code is StatusCode.UNSET


async def test_an_abandoned_async_stream_is_an_early_exit(recorded: Recorded) -> None:
    iterator = ASYNC.astream({"seen": []})
    await anext(iterator)
    await iterator.aclose()

    assert recorded.one("invoke_workflow report").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_interrupt_is_an_early_exit_and_the_resumed_run_is_a_run_of_its_own(
    recorded: Recorded, *, is_async: bool
) -> None:
    def ask(state: State) -> State:
        del state
        with phase("inside"):
            return {"seen": [interrupt("really?")]}

    graph: Any = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(InMemorySaver(), name="g")
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}

    def run(given: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, config)) if is_async else graph.invoke(given, config)

    assert "__interrupt__" in run({"seen": []})
    assert run(Command(resume="yes")) == {"seen": ["yes"]}

    assert [tree.name for tree in recorded.trees()] == ["invoke_workflow g"] * 2
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    assert len(recorded.all("phase inside")) == 2


class NeverAnswers(GenericFakeChatModel):
    """A chat model that says when it was asked, and then nothing."""

    asked: asyncio.Event

    async def _agenerate(self, *_: Any, **__: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


async def test_a_cancelled_call_of_a_model_or_tool_ends_without_an_error(recorded: Recorded) -> None:
    uninstrument()
    integration = LangGraphIntegration()
    asked = asyncio.Event()
    model = NeverAnswers(messages=iter(()), asked=asked, name="silent")

    @tool
    async def dig(query: str) -> str:
        """Dig."""
        asked.set()
        await asyncio.Event().wait()
        return query

    async def cancel(started: Coroutine[Any, Any, Any]) -> None:
        asked.clear()
        task = asyncio.create_task(started)
        await asked.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with instrumented(integration):
        await cancel(model.ainvoke("hi"))
        await cancel(dig.ainvoke({"query": "x"}))
        await asyncio.sleep(0)  # until then, the loop knows what woke it
        gc.collect()
        assert integration._handler is not None
        integration._handler.runs.end_dropped()
        assert len(integration._handler.runs) == 0

    assert [span.name.split()[0] for span in recorded.spans] == ["chat", "execute_tool"]
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
