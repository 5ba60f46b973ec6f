"""Workflows and models for the tests of Agent Framework, which must be there when this is imported."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Never

import pytest
from opentelemetry import trace

pytest.importorskip("agent_framework")
from agent_framework import (
    Agent,
    AgentExecutorResponse,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)
from agent_framework.observability import (
    ChatTelemetryLayer,
)

from otel_wfperf.model import OperationKind, TokenUsage

# From one superstep to the next it may take a millisecond on a busy machine.
NO_WAITS = frozenset({OperationKind.WAIT})


SECRET = "secret-7f3a"


class RawScripted(BaseChatClient):
    """A model that gives its answers in order, the last one again and again, and counts the tokens it serves."""

    OTEL_PROVIDER_NAME = "scripted"

    def __init__(self, *, answers: Sequence[Any] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.model = "scripted"
        self.answers = list(answers)
        self.served = TokenUsage()

    def _inner_get_response(self, *, stream: bool, **_: Any) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if stream:
            return ResponseStream(self._stream(answer), finalizer=ChatResponse.from_updates)
        return self._answer(answer)

    async def _answer(self, answer: Any) -> Any:
        await asyncio.sleep(0)
        contents, reason, usage = self._serve(answer)
        return ChatResponse(
            messages=[Message("assistant", contents)], finish_reason=reason, usage_details=usage, model="scripted-1"
        )

    async def _stream(self, answer: Any) -> AsyncIterator[Any]:
        contents, reason, usage = self._serve(answer)
        for content in contents:
            await asyncio.sleep(0)
            yield ChatResponseUpdate(contents=[content], role="assistant", model="scripted-1")
        yield ChatResponseUpdate(contents=[Content.from_usage(usage)], role="assistant", finish_reason=reason)

    def _serve(self, answer: Any) -> tuple[list[Any], str, Any]:
        if isinstance(answer, BaseException):
            raise answer
        contents = [Content.from_text(answer)] if isinstance(answer, str) else list(answer)
        self.served += TokenUsage(input=10, output=5, cache_read=4, cache_write=3, reasoning=2)
        usage = {
            "input_token_count": 10,
            "output_token_count": 5,
            "cache_read_input_token_count": 4,
            "cache_creation_input_token_count": 3,
            "reasoning_output_token_count": 2,
        }
        return contents, "stop" if isinstance(answer, str) else "tool_calls", usage


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, ChatTelemetryLayer, RawScripted):
    """The same with the layers that every client has."""


class Silent(Scripted):
    """A model that says when it was asked, and then nothing."""

    async def _answer(self, _answer: Any) -> Any:
        self.answers[0].set()
        await asyncio.Event().wait()


def agent(name: str, *answers: Any, **settings: Any) -> Any:
    return Agent(Scripted(answers=answers), name=name, instructions=f"You are {name}.", **settings)


def asking(name: str, call_id: str = "call-1") -> list[Any]:
    return [Content.from_function_call(call_id, name, arguments=f'{{"query": "{SECRET}"}}')]


@tool(approval_mode="never_require")
async def search(query: str) -> str:
    """Search."""
    with trace.get_tracer("user").start_as_current_span("inside"):
        return f"found {query}"


@tool(approval_mode="never_require")
async def flaky(query: str) -> str:
    """Fail."""
    raise ValueError(query)


class Split(Executor):
    @handler
    async def go(self, message: str, ctx: WorkflowContext[str]) -> None:
        with trace.get_tracer("user").start_as_current_span("inside"):
            await ctx.send_message(message)


class Join(Executor):
    @handler
    async def go(self, message: list[AgentExecutorResponse], ctx: WorkflowContext[Never, str]) -> None:
        await ctx.yield_output(f"{len(message)} answers")


def research_team() -> tuple[Any, list[Any]]:
    split, join = Split(id="split"), Join(id="join")
    res_a = agent("res_a", asking("search"), "a", tools=[search])
    res_b = agent("res_b", asking("flaky", "call-2"), "b", tools=[flaky])
    builder = WorkflowBuilder(start_executor=split, name="research", output_from=[join])
    builder.add_fan_out_edges(split, [res_a, res_b]).add_fan_in_edges([res_a, res_b], join)
    return builder.build(), [res_a, res_b]


RESEARCH = """\
workflow research
  phase split [step=1 group=step 1 after=nothing]
    other inside
  phase res_a [step=2 group=step 2 after=split]
    agent res_a
      llm scripted [tokens=10+5]
      tool search
        other inside
      llm scripted [tokens=10+5]
  phase res_b [step=2 group=step 2 after=split]
    agent res_b
      llm scripted [tokens=10+5]
      tool flaky [error=ValueError]
      llm scripted [tokens=10+5]
  phase join [step=3 group=step 3 after=res_a,res_b]"""
