"""Teams and models for the tests of AutoGen, which must be there when this is imported."""
# ruff: noqa: ARG002 - AutoGen's interfaces have arguments that these fakes do not need

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_core")
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
)
from autogen_core import (
    FunctionCall,
)
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage

from otel_wfperf.model import OperationKind

# A message that finds its agent idle may still wait a millisecond on a busy machine.
NO_WAITS = frozenset({OperationKind.WAIT})


SECRET = "secret-7f3a"


class Scripted(ChatCompletionClient):
    """A model that gives its answers in order; the last one again and again. A call uses 10 + 5 tokens."""

    component_type = "model"

    def __init__(self, *answers: str | Sequence[FunctionCall] | BaseException, cached: bool = False) -> None:
        self._answers = list(answers)
        self._create_args = {"model": "scripted", "temperature": 0.5}
        self._cached = cached

    def _next(self) -> CreateResult:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        content = answer if isinstance(answer, str) else list(answer)
        usage = RequestUsage(prompt_tokens=10, completion_tokens=5)
        reason = "stop" if isinstance(answer, str) else "function_calls"
        return CreateResult(finish_reason=reason, content=content, usage=usage, cached=self._cached)

    async def create(self, messages: Sequence[LLMMessage], **_: Any) -> CreateResult:
        await asyncio.sleep(0)
        return self._next()

    async def create_stream(self, messages: Sequence[LLMMessage], **_: Any) -> AsyncGenerator[str | CreateResult, None]:
        answer = self._next()
        for word in answer.content if isinstance(answer.content, str) else ():
            await asyncio.sleep(0)
            yield word
        yield answer

    async def close(self) -> None: ...

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    total_usage = actual_usage

    def count_tokens(self, *_: Any, **__: Any) -> int:
        return 0

    remaining_tokens = count_tokens

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> Any:
        return ModelInfo(
            vision=False, function_calling=True, json_output=True, family="unknown", structured_output=False
        )


class Silent(Scripted):
    """A model that says when it was asked, and then nothing."""

    def __init__(self) -> None:
        super().__init__("")
        self.asked = asyncio.Event()

    async def create(self, messages: Sequence[LLMMessage], **kwargs: Any) -> CreateResult:
        self.asked.set()
        token = kwargs.get("cancellation_token")
        waiting = asyncio.ensure_future(asyncio.Event().wait())
        if token is not None:
            token.link_future(waiting)
        await waiting
        raise AssertionError


def asking(tool: str, call_id: str = "call-1", arguments: str = '{"query": "secret-7f3a"}') -> Sequence[FunctionCall]:
    return [FunctionCall(id=call_id, name=tool, arguments=arguments)]


async def search(query: str) -> str:
    """Search."""
    with trace.get_tracer("user").start_as_current_span("inside"):
        return f"found {query}"


async def flaky(query: str) -> str:
    """Fail."""
    raise ValueError(query)


def assistant(name: str, *answers: str | Sequence[FunctionCall] | BaseException, **settings: Any) -> AssistantAgent:
    return AssistantAgent(name, model_client=Scripted(*answers), **settings)


def research_team() -> GraphFlow:
    planner, writer = assistant("planner", f"plan {SECRET}"), assistant("writer", "report")
    res_a = assistant("res_a", asking("search", "call-a"), "a", tools=[search], reflect_on_tool_use=True)
    res_b = assistant("res_b", asking("flaky", "call-b"), "b", tools=[flaky], reflect_on_tool_use=True)
    graph = DiGraphBuilder()
    for agent in (planner, res_a, res_b, writer):
        graph.add_node(agent)
    graph.add_edge(planner, res_a).add_edge(planner, res_b).add_edge(res_a, writer).add_edge(res_b, writer)
    return GraphFlow([planner, res_a, res_b, writer], graph=graph.build(), name="research")


RESEARCH = """\
workflow research
  phase planner [step=1 after=nothing]
    agent planner
      llm scripted [tokens=10+5]
  phase res_a [step=2 group=step 2 after=planner]
    agent res_a
      llm scripted [tokens=10+5]
      tool search
        other inside
      llm scripted [tokens=10+5]
  phase res_b [step=2 group=step 2 after=planner]
    agent res_b
      llm scripted [tokens=10+5]
      tool flaky [error=ValueError]
      llm scripted [tokens=10+5]
  phase writer [step=3 after=res_a,res_b]
    agent writer
      llm scripted [tokens=10+5]"""
