"""Crews of CrewAI, and its agents, tools and models on their own, offline."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

# Sets CrewAI up before it is imported, and skips these tests where it is not installed.
pytest.importorskip("tests.frameworks.crewai_team")
from crewai import Agent, Process
from crewai.agent.planning_config import PlanningConfig
from crewai.knowledge.knowledge import Knowledge
from crewai.knowledge.storage.base_knowledge_storage import BaseKnowledgeStorage
from crewai.lite_agent import LiteAgent
from crewai.llms.base_llm import BaseLLM
from crewai.memory.unified_memory import Memory
from crewai.tasks.conditional_task import ConditionalTask

from otel_wfperf import semconv
from otel_wfperf.model import OperationKind, TokenUsage
from tests.frameworks.crewai_team import (
    KICKOFFS,
    WARNINGS,
    InMemory,
    Start,
    agent,
    break_down,
    crew,
    look_up,
    model,
    recorded,
    task,
)
from tests.frameworks.model_server import Answer, ModelServer, ToolCall
from tests.frameworks.recording import Recording

pytestmark = WARNINGS


@pytest.fixture(autouse=True)
def _recorded() -> Iterator[None]:
    with recorded():
        yield


@pytest.mark.parametrize("kickoff", KICKOFFS.values(), ids=KICKOFFS)
def test_records_parallel_tasks_tools_and_the_attempt_that_a_guardrail_asks_for(
    kickoff: Start, model_server: ModelServer, recording: Recording
) -> None:
    used = TokenUsage(input=70, output=9, cache_read=40, reasoning=3)
    both = threading.Barrier(2, timeout=30)
    wanted = [ToolCall("look_up", {"query": "x"}), ToolCall("look_up", {"query": "y"})]
    model_server.when("secret work of write", Answer("short"), Answer("long enough"))
    model_server.when("secret work of first", Answer(tools=wanted, tokens=used, gate=both.wait), Answer("one"))
    model_server.when("secret work of second", Answer("two", gate=both.wait))
    llm = model(model_server)
    team = crew(
        task("first", agent("A", llm, tools=[look_up]), async_execution=True),
        task("second", agent("B", llm), async_execution=True),
        task("write", agent("Writer", llm), guardrail=lambda output: (len(output.raw) > 5, output.raw)),
    )

    result = kickoff(team)

    assert result.raw == "long enough"
    assert recording.tree() == (
        "workflow team\n"
        "  phase first [group=async 1 after=nothing]\n"
        "    agent A\n"
        "      llm gpt-4o-mini [tokens=70+9]\n"
        "      tool look_up\n"
        "        other inside the tool\n"
        "      tool look_up\n"
        "        other inside the tool\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "  phase second [group=async 1 after=nothing]\n"
        "    agent B\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "  phase write [after=first,second]\n"
        "    agent Writer\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "    agent Writer [attempt=2]\n"
        "      llm gpt-4o-mini [tokens=10+5]"
    )
    assert recording.tokens() == model_server.served
    assert "secret" not in recording


def test_binds_tools_to_the_response_that_asked_and_describes_the_model_call(
    model_server: ModelServer, recording: Recording
) -> None:
    model_server.script(Answer(tools=[ToolCall("look_up", {"query": "x"})]), Answer("one"))
    crew(task("first", agent("A", model(model_server, temperature=0.5), tools=[look_up]))).kickoff()

    asked, answered = (span for span in recording.spans if span.name == "chat gpt-4o-mini")
    [used] = (span for span in recording.spans if span.name == "execute_tool look_up")
    assert asked.attributes is not None
    assert answered.attributes is not None
    assert used.attributes is not None
    assert used.attributes[semconv.TURN_ID] == asked.attributes[semconv.RESPONSE_ID]
    assert str(used.attributes[semconv.TOOL_CALL_ID]).startswith("call_")
    assert asked.attributes[semconv.FINISH_REASONS] == ("tool_calls",)
    assert asked.attributes[semconv.PROVIDER_NAME] == "openai"
    assert asked.attributes[semconv.REQUEST_TEMPERATURE] == 0.5
    assert asked.attributes[semconv.AGENT_NAME] == used.attributes[semconv.AGENT_NAME] == "A"
    assert answered.attributes[semconv.FINISH_REASONS] == ("stop",)
    assert 0 < float(answered.attributes[semconv.CONTEXT_REUSED_RATIO]) < 1  # type: ignore[arg-type]


def test_a_streamed_crew_is_recorded_while_its_stream_is_read(model_server: ModelServer, recording: Recording) -> None:
    model_server.script(Answer("a b c"))
    stream = crew(task("first", agent("A", model(model_server))), stream=True).kickoff()
    assert not recording.spans

    for _ in stream:
        assert not trace.get_current_span().is_recording()

    assert stream.result.raw == "a b c"
    assert recording.tree() == (
        "workflow team\n  phase first [after=nothing]\n    agent A\n      llm gpt-4o-mini [tokens=10+5]"
    )
    [call] = [each for each in recording.execution().operations if each.kind is OperationKind.LLM]
    assert call.time_to_first_token_s is not None
    assert recording.tokens() == model_server.served


async def test_an_asynchronous_stream_that_is_closed_early_ends_its_operations(
    model_server: ModelServer, recording: Recording
) -> None:
    model_server.script(Answer("a b c"))
    stream = await crew(task("first", agent("A", model(model_server))), stream=True).akickoff()
    async for _ in stream:
        assert not trace.get_current_span().is_recording()
        break
    await stream.aclose()

    assert recording.execution().root.error is None
    assert {span.name for span in recording.spans} >= {"invoke_workflow team", "phase first", "invoke_agent A"}


def test_a_task_is_given_what_its_context_declares(recording: Recording) -> None:
    worker = agent("A", InMemory())
    first = task("first", worker)
    aside = task("aside", worker, async_execution=True)
    parts = [
        first,
        task(None, worker),
        aside,
        task("one", worker, context=[first, aside]),
        task("none", worker, context=[]),
        task("all", worker),
    ]

    crew(*parts).kickoff()

    names = ["first", "task 2", "aside", "one", "none", "all"]
    needs = ["nothing", "first", "nothing", "first,aside", "nothing", "first,task 2,aside,one,none"]
    assert [line.strip() for line in recording.tree().splitlines() if "phase" in line] == [
        f"phase {name} [after={need}]" for name, need in zip(names, needs, strict=True)
    ]


def test_what_is_declared_is_what_crewai_really_passes_on(recording: Recording) -> None:
    llm = InMemory(**{f"secret work of {name}": [f"result of {name}"] for name in ("first", "aside", "last")})
    worker = agent("A", llm)

    crew(task("first", worker), task("aside", worker, async_execution=True), task("last", worker)).kickoff()

    assert ["result of first" in said for said in llm.heard] == [False, False, True]
    assert "result of aside" in llm.heard[2]
    assert len(recording.execution().operations) == 10


def test_a_conditional_task_needs_the_result_that_it_looks_at(recording: Recording) -> None:
    worker = agent("A", InMemory())
    checked = ConditionalTask(
        name="checked",
        description="secret",
        expected_output="x",
        agent=worker,
        context=[],
        condition=lambda output: output.raw == "done",
    )
    skipped = ConditionalTask(
        name="skipped", description="secret", expected_output="x", agent=worker, condition=lambda _: False
    )

    crew(task("first", worker), checked, skipped).kickoff()

    assert [line.strip() for line in recording.tree().splitlines() if "phase" in line] == [
        "phase first [after=nothing]",
        "phase checked [after=first]",
    ]


def test_a_manager_hands_work_to_its_crew(model_server: ModelServer, recording: Recording) -> None:
    given = {"task": "secret part", "context": "secret", "coworker": "Worker"}
    asked = {"question": "secret part", "context": "secret", "coworker": "worker"}
    model_server.script(
        Answer(tools=[ToolCall("delegate_work_to_coworker", given)]),
        Answer("the part"),
        Answer(tools=[ToolCall("ask_question_to_coworker", asked)]),
        Answer("the answer"),
        Answer("all of it"),
    )
    llm = model(model_server)
    worker = agent("Worker", llm)

    crew(task("work", None), agents=[worker], process=Process.hierarchical, manager_llm=llm).kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase work [after=nothing]\n"
        "    agent Crew Manager\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "      tool delegate_work_to_coworker\n"
        "        handoff Worker [from=Crew Manager]\n"
        "        agent Worker\n"
        "          llm gpt-4o-mini [tokens=10+5]\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "      tool ask_question_to_coworker\n"
        "        handoff Worker [from=Crew Manager]\n"
        "        agent Worker\n"
        "          llm gpt-4o-mini [tokens=10+5]\n"
        "      llm gpt-4o-mini [tokens=10+5]"
    )
    assert recording.tokens() == model_server.served
    assert "secret" not in recording


def test_a_planned_crew_plans_in_a_phase_of_its_own(model_server: ModelServer, recording: Recording) -> None:
    plan = {"list_of_plans_per_task": [{"task_number": 1, "task": "t", "plan": "secret plan"}]}
    model_server.script(json.dumps(plan), "done")
    llm = model(model_server)

    crew(task("first", agent("A", llm)), planning=True, planning_llm=llm).kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase planning [after=nothing]\n"
        "    agent Task Execution Planner\n"
        "      llm gpt-4o-mini [tokens=10+5]\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm gpt-4o-mini [tokens=10+5]"
    )
    assert "secret" not in recording


def test_an_agent_that_plans_binds_the_tools_of_its_steps_to_their_responses(
    model_server: ModelServer, recording: Recording
) -> None:
    plan = {"plan": "p", "steps": [{"step_number": 1, "description": "s", "tool_to_use": "look_up"}], "ready": True}
    model_server.script(
        Answer(tools=[ToolCall("create_reasoning_plan", plan)]),
        Answer(tools=[ToolCall("look_up", {"query": "x"})]),
        Answer("step done"),
        Answer("all done"),
    )
    planner = agent(
        "A",
        model(model_server),
        tools=[look_up],
        planning_config=PlanningConfig(reasoning_effort="low", max_attempts=1),
    )

    crew(task("first", planner)).kickoff()

    used = [(span.attributes or {}) for span in recording.spans if span.name == "execute_tool look_up"]
    assert [str(each[semconv.TURN_ID]).startswith("chatcmpl_") for each in used] == [True]
    assert recording.tokens() == model_server.served


def test_each_input_of_a_kickoff_is_one_execution(recording: Recording) -> None:
    team = crew(task("first", agent("A", InMemory())))

    team.kickoff_for_each([{"n": 1}, {"n": 2}])
    asyncio.run(team.kickoff_for_each_async([{"n": 3}]))
    asyncio.run(team.akickoff_for_each([{"n": 4}]))

    [tree] = set(recording.trees())
    assert len(recording.executions()) == 4
    assert tree.startswith("workflow team\n  phase first")


class Direct(Agent):
    """An agent that only asks its model: the loop of CrewAI's own takes 13 ms of CPU time."""

    def _execute_without_timeout(self, task_prompt: str, task: Any) -> Any:
        return self.llm.call(task_prompt, from_task=task, from_agent=self)


def test_keeps_branches_under_their_parents_run_after_run(recording: Recording) -> None:
    direct = [Direct(role=name, goal="g", backstory="b", llm=InMemory()) for name in ("A", "B")]
    branches = [task(each.role.lower(), each, async_execution=True) for each in direct]
    # CrewAI wants a task at the end that is not asynchronous; this one costs nothing, because it is skipped.
    settings = {"description": "secret", "expected_output": "x", "agent": direct[0]}
    team = crew(*branches, ConditionalTask(name="end", condition=lambda _: False, **settings))

    for _ in range(200):
        team.kickoff()

    [tree] = set(recording.trees())
    assert len(recording.executions()) == 200
    assert tree == (
        "workflow team\n"
        "  phase a [group=async 1 after=nothing]\n"
        "    agent A\n"
        "      llm in-memory [tokens=3+2]\n"
        "  phase b [group=async 1 after=nothing]\n"
        "    agent B\n"
        "      llm in-memory [tokens=3+2]"
    )


@pytest.mark.parametrize(
    "kickoff", [lambda one: one.kickoff("secret"), lambda one: asyncio.run(one.kickoff_async("secret"))]
)
def test_an_agent_on_its_own_is_one_execution(kickoff: Callable[[Agent], Any], recording: Recording) -> None:
    kickoff(agent("A", InMemory()))

    assert recording.tree() == "agent A\n  llm in-memory [tokens=3+2]"
    assert "secret" not in recording


@pytest.mark.filterwarnings("ignore:LiteAgent is deprecated:FutureWarning")
def test_an_agent_of_the_older_kind_is_recorded_too(recording: Recording) -> None:
    LiteAgent(role="A", goal="g", backstory="b", llm=InMemory()).kickoff("secret")

    assert recording.tree() == "agent A\n  llm in-memory [tokens=3+2]"


def test_a_tool_that_the_program_runs_itself_is_recorded(recording: Recording) -> None:
    assert look_up.run(query="x") == "secret result for x"
    with pytest.raises(ValueError, match="secret x"):
        break_down.run(query="x")

    assert recording.trees() == ["tool look_up\n  other inside the tool", "tool break [error=ValueError]"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", ["completions", "responses"])
def test_a_model_call_has_the_tokens_that_were_served(
    api: str, model_server: ModelServer, recording: Recording, *, stream: bool
) -> None:
    used = TokenUsage(input=70, output=9, cache_read=40, reasoning=3)
    model_server.script(Answer("a b", tokens=used))

    assert model(model_server, api=api, stream=stream).call("secret question") == "a b"

    [call] = recording.execution().operations
    assert call.tokens == used == model_server.served
    assert (call.time_to_first_token_s is not None) is stream
    assert "secret" not in recording


def test_a_model_class_that_tells_nothing_is_recorded_without_tokens(recording: Recording) -> None:
    class Silent(BaseLLM):
        def call(self, *_: Any, **__: Any) -> str:
            return "Final Answer: silent"

    crew(task("first", agent("A", Silent(model="silent")))).kickoff()

    assert recording.tree() == "workflow team\n  phase first [after=nothing]\n    agent A\n      llm silent"
    [call] = [span for span in recording.spans if span.name == "chat silent"]
    assert call.attributes is not None
    assert call.attributes[semconv.OUTPUT_BYTES] == len("Final Answer: silent")
    assert semconv.PROVIDER_NAME not in call.attributes


def test_searches_of_memory_and_knowledge_are_retrievals(recording: Recording) -> None:
    class Store(BaseKnowledgeStorage):
        async def asearch(self, *_: Any, **__: Any) -> list[Any]:
            return [{"content": "secret found"}]

        def search(self, *_: Any, **__: Any) -> list[Any]:
            return [{"content": "secret found"}]

        asave = areset = asearch

        def save(self, *_: Any) -> None: ...

        def reset(self) -> None: ...

    class Records:
        def search(self, *_: Any, **__: Any) -> list[Any]:
            return []

    knowledge = Knowledge(collection_name="k", sources=[], storage=Store())
    knowledge.query(["secret"])
    asyncio.run(knowledge.aquery(["secret"]))
    Memory(storage=Records(), llm=InMemory(), embedder=lambda texts: [[0.5] for _ in texts]).recall("secret")

    assert recording.trees() == ["retrieval knowledge", "retrieval knowledge", "retrieval memory"]
    assert "secret" not in recording
