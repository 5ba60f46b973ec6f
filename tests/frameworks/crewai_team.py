"""Agents, crews and a flow of CrewAI that need no network; importing this skips tests where CrewAI is not installed."""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from pydantic import Field

pytest.importorskip("crewai_core")
# Before CrewAI is imported: it reads some of these then, and would keep its files in the user's home. It waits for the
# disk after each task.
os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_TRACING_ENABLED="false",
    OPENAI_API_KEY="none",
    XDG_DATA_HOME=tempfile.mkdtemp(prefix="crewai-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None),
)
pytest.importorskip("crewai")
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, and_, listen, or_, router, start
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import tool

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.crewai import CrewAIIntegration
from tests.frameworks.model_server import ModelServer

atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)
# CrewAI reads fields of its own that it has deprecated.
WARNINGS = [
    pytest.mark.filterwarnings("ignore:function_calling_llm is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:deprecated$:DeprecationWarning"),
]

Start = Callable[[Crew], Any]
KICKOFFS: dict[str, Start] = {
    "kickoff": lambda crew: crew.kickoff(),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
}


MODELS: list[Any] = []


@contextmanager
def recorded() -> Iterator[None]:
    """Record CrewAI within the block; its clients are closed at the end."""
    with instrumented(CrewAIIntegration()):
        yield
    while MODELS:
        MODELS.pop()._get_sync_client().close()


@tool("Look up")
def look_up(query: str) -> str:
    """Look something up."""
    with trace.get_tracer("user").start_as_current_span("inside the tool"):
        return f"secret result for {query}"


@tool("Break")
def break_down(query: str) -> str:
    """Fail."""
    raise ValueError(f"secret {query}")


def model(server: ModelServer, **settings: Any) -> LLM:
    made = LLM(model="gpt-4o-mini", base_url=server.url, max_retries=0, **settings)
    MODELS.append(made)
    return made


def agent(role: str, llm: Any, **settings: Any) -> Agent:
    return Agent(role=role, goal="goal of secret", backstory="backstory of secret", llm=llm, **settings)


def task(name: str | None, worker: Agent | None, **settings: Any) -> Task:
    return Task(name=name, description=f"secret work of {name}", expected_output="an answer", agent=worker, **settings)


def crew(*tasks: Task, **settings: Any) -> Crew:
    workers = {id(each.agent): each.agent for each in tasks if each.agent is not None}
    return Crew(name="team", agents=settings.pop("agents", list(workers.values())), tasks=list(tasks), **settings)


class InMemory(BaseLLM):
    """Answers at once, and tells of it as CrewAI's own classes do."""

    answers: dict[str, list[str]] = Field(default_factory=dict)
    heard: list[str] = Field(default_factory=list)

    def __init__(self, **answers: list[str]) -> None:
        super().__init__(model="in-memory", provider="test")
        self.answers = answers

    def call(self, messages: Any, *_args: Any, **kwargs: Any) -> str:
        said = str(messages)
        self.heard.append(said)
        with llm_call_context():
            sender = {"from_task": kwargs.get("from_task"), "from_agent": kwargs.get("from_agent")}
            self._emit_call_started_event(messages, **sender)
            [answers] = [answers for name, answers in self.answers.items() if name in said] or [["done"]]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer == "fail":
                raise ConnectionError("secret failure")
            self._emit_call_completed_event(
                answer, "llm_call", **sender, usage={"prompt_tokens": 3, "completion_tokens": 2}, finish_reason="stop"
            )
        return answer if "Action:" in answer else f"Final Answer: {answer}"

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        return self.call(messages, *args, **kwargs)


def write(llm: InMemory, name: str) -> str:
    return str(llm.call(name))


class Research(Flow):
    """Two starts, a join, a router that goes round once, and an alternative."""

    rounds: int = 0

    @start()
    def first(self) -> str:
        with trace.get_tracer("user").start_as_current_span("inside the method"):
            return write(InMemory(), "secret first")

    @start()
    async def second(self) -> str:
        return write(InMemory(), "secret second")

    @listen(and_(first, second))
    def join(self) -> str:
        result = crew(task("work", agent("A", InMemory()))).kickoff()
        return str(result.raw)

    @router(or_(join, "again"))
    def check(self) -> str:
        self.rounds += 1
        return "again" if self.rounds < 2 else "good"

    @listen("good")
    def left(self) -> str:
        return "secret left"

    @listen("good")
    def right(self) -> str:
        return "secret right"

    @listen(or_("never", and_(left, right)))
    def end(self) -> str:
        return "the end"


RESEARCH = (
    "workflow Research\n"
    "  phase first [group=start after=nothing]\n"
    "    other inside the method\n"
    "      llm in-memory [tokens=3+2]\n"
    "  phase second [group=start after=nothing]\n"
    "    llm in-memory [tokens=3+2]\n"
    "  phase join [after=first,second]\n"
    "    workflow team\n"
    "      phase work [after=nothing]\n"
    "        agent A\n"
    "          llm in-memory [tokens=3+2]\n"
    "  phase check [after=join]\n"
    "  phase check [after=check]\n"
    "  phase left [group=after good after=check]\n"
    "  phase right [group=after good after=check]\n"
    "  phase end [after=left,right]"
)
