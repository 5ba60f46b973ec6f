"""What goes wrong in CrewAI, what is tried again and what is waited for, offline."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

# Sets CrewAI up before it is imported, and skips these tests where it is not installed.
pytest.importorskip("tests.frameworks.crewai_team")
from crewai import Agent
from crewai.llms import base_llm, retry
from crewai.tools import BaseTool
from crewai.utilities.rpm_controller import RPMController

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.model import OperationKind
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


def test_an_exception_passes_unchanged_and_each_attempt_of_the_agent_stands_beside_the_other(
    recording: Recording,
) -> None:
    team = crew(task("first", agent("A", InMemory(first=["fail", "fail", "fail"]), max_retry_limit=1)))

    with pytest.raises(ConnectionError, match="secret failure"):
        team.kickoff()

    assert recording.tree() == (
        "workflow team [error=ConnectionError]\n"
        "  phase first [error=ConnectionError after=nothing]\n"
        "    agent A [error=ConnectionError]\n"
        "      llm in-memory [error=ConnectionError]\n"
        "    agent A [error=ConnectionError attempt=2]\n"
        "      llm in-memory [error=ConnectionError]"
    )
    assert "secret" not in recording


@pytest.mark.parametrize("kickoff", KICKOFFS.values(), ids=KICKOFFS)
def test_an_agent_may_succeed_when_it_tries_again(kickoff: Start, recording: Recording) -> None:
    kickoff(crew(task("first", agent("A", InMemory(first=["fail", "fine"])))))

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A [error=ConnectionError]\n"
        "      llm in-memory [error=ConnectionError]\n"
        "    agent A [attempt=2]\n"
        "      llm in-memory [tokens=3+2]"
    )


@pytest.mark.parametrize("kickoff", [KICKOFFS["kickoff"], KICKOFFS["akickoff"]], ids=["kickoff", "akickoff"])
def test_pauses_between_refused_model_calls_are_waits(
    kickoff: Start, model_server: ModelServer, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_LLM_RATE_LIMIT_INITIAL_DELAY_SECONDS", 0.001)
    model_server.script(Answer(status=429), Answer(status=429), Answer("one"))

    kickoff(crew(task("first", agent("A", model(model_server)))))

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm gpt-4o-mini [error=openai.RateLimitError]\n"
        "      wait gpt-4o-mini\n"
        "      llm gpt-4o-mini [error=openai.RateLimitError attempt=2]\n"
        "      wait gpt-4o-mini\n"
        "      llm gpt-4o-mini [attempt=3 tokens=10+5]"
    )
    assert recording.tokens() == model_server.served


def test_a_failing_tool_a_cached_result_and_an_unknown_tool_are_told_apart(
    model_server: ModelServer, recording: Recording
) -> None:
    same, broken = ToolCall("look_up", {"query": "x"}), ToolCall("break", {"query": "x"})
    model_server.script(
        Answer(tools=[broken]), Answer(tools=[same]), Answer(tools=[same]), Answer(tools=[ToolCall("no_such")]), "done"
    )

    crew(task("first", agent("A", model(model_server), tools=[look_up, break_down])), cache=True).kickoff()

    used = [(span.attributes or {}) for span in recording.spans if span.name.startswith("execute_tool")]
    assert [
        (each[semconv.TOOL_NAME], each.get(semconv.TOOL_CACHED), each.get(semconv.ERROR_TYPE)) for each in used
    ] == [
        ("break", None, "ValueError"),
        ("look_up", None, None),
        ("look_up", True, None),
        ("no_such", None, "unknown_tool"),
    ]
    assert used[1][semconv.INPUT_HASH] == used[2][semconv.INPUT_HASH]
    assert "secret" not in recording


def test_a_tool_that_a_model_names_in_its_text_is_tried_again_beside_its_failed_attempt(recording: Recording) -> None:
    # CrewAI calls it twice in each attempt, the second time with all arguments.
    failures = ["secret"] * 4

    class Flaky(BaseTool):
        name: str = "Flaky"
        description: str = "Fails at first."

        def _run(self, query: str) -> str:
            if failures:
                raise ValueError(failures.pop())
            return f"found {query}"

    llm = InMemory(first=['Thought: x\nAction: flaky\nAction Input: {"query": "x"}', "done"])

    crew(task("first", agent("A", llm, tools=[Flaky()]))).kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm in-memory [tokens=3+2]\n"
        "      tool flaky [error=ValueError]\n"
        "      tool flaky [error=ValueError attempt=2]\n"
        "      tool flaky [attempt=3]\n"
        "      llm in-memory [tokens=3+2]"
    )
    assert "secret" not in recording


def test_the_wait_for_the_next_minute_is_a_wait_for_a_rate_limit(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def next_minute(controller: RPMController) -> None:
        controller._current_rpm = 0

    monkeypatch.setattr(RPMController, "_wait_for_next_minute", next_minute)
    team = crew(task("first", agent("A", InMemory())), task("second", agent("B", InMemory())), max_rpm=1)

    team.kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm in-memory [tokens=3+2]\n"
        "  phase second [after=first]\n"
        "    agent B\n"
        "      wait max_rpm\n"
        "      llm in-memory [tokens=3+2]"
    )
    [wait] = [each for each in recording.execution().operations if each.kind is OperationKind.WAIT]
    assert wait.wait_kind == "rate_limit"


def test_feedback_of_a_person_is_a_wait(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["secret wish", ""])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))

    crew(task("first", agent("A", InMemory()), human_input=True)).kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm in-memory [tokens=3+2]\n"
        "      wait human feedback\n"
        "      llm in-memory [tokens=3+2]\n"
        "      wait human feedback"
    )
    assert "secret" not in recording


def test_an_agent_with_a_time_limit_works_in_another_thread_under_the_same_parent(recording: Recording) -> None:
    crew(task("first", agent("A", InMemory(), max_execution_time=60))).kickoff()

    assert recording.tree() == (
        "workflow team\n  phase first [after=nothing]\n    agent A\n      llm in-memory [tokens=3+2]"
    )


async def test_a_cancelled_crew_ends_without_an_error(recording: Recording) -> None:
    loop, started, released = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Waiting(InMemory):
        def call(self, *args: Any, **kwargs: Any) -> str:
            loop.call_soon_threadsafe(started.set)
            released.wait(timeout=30)
            return super().call(*args, **kwargs)

    run = asyncio.create_task(crew(task("first", agent("A", Waiting()))).akickoff())
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    # The thread that waits for the model cannot be cancelled; its operations end when it does.
    assert {"invoke_workflow team", "phase first", "invoke_agent A"} == {span.name for span in recording.spans}
    released.set()
    await loop.shutdown_default_executor()

    assert recording.tree() == (
        "workflow team\n  phase first [after=nothing]\n    agent A\n      llm in-memory [tokens=3+2]"
    )


def test_messages_that_do_not_fit_are_summarised_in_an_operation_of_their_own(recording: Recording) -> None:
    class Small(InMemory):
        def call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            if not self.heard:
                self.heard.append("")
                raise RuntimeError("maximum context length exceeded")
            return super().call(messages, *args, **kwargs)

        def supports_function_calling(self) -> bool:
            return True

    crew(task("first", agent("A", Small(), tools=[look_up]))).kickoff()

    assert recording.tree() == (
        "workflow team\n"
        "  phase first [after=nothing]\n"
        "    agent A\n"
        "      llm in-memory [error=RuntimeError]\n"
        "      context summarise\n"
        "        llm in-memory [tokens=3+2]\n"
        "      llm in-memory [tokens=3+2]"
    )


def test_a_model_call_that_is_made_in_another_way_runs_unrecorded_and_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Which model is called is found in the lambda that CrewAI makes of the call."""
    before = failure_counts().get("crewai.attempts", 0)

    assert base_llm.run_with_rate_limit_retry(lambda: 5) == 5
    assert base_llm.run_with_rate_limit_retry(str) == ""

    assert failure_counts()["crewai.attempts"] == before + 2
    assert len(caplog.records) == (0 if before else 1)


class Through(Agent):
    def execute_task(self, *args: Any, **kwargs: Any) -> Any:
        return super().execute_task(*args, **kwargs)


class Instead(Agent):
    def execute_task(self, *_: Any, **__: Any) -> Any:
        return self.llm.call("secret")


def test_an_agent_whose_class_replaces_how_it_works_shows_as_far_as_it_calls_the_original(recording: Recording) -> None:
    for kind in (Through, Instead):
        worker = kind(role="A", goal="g", backstory="b", llm=InMemory())
        crew(task("work", worker)).kickoff()

    through, instead = recording.trees()
    assert through.endswith("  phase work [after=nothing]\n    agent A\n      llm in-memory [tokens=3+2]")
    assert instead.endswith("  phase work [after=nothing]\n    llm in-memory [tokens=3+2]")


async def test_a_crew_that_must_not_be_started_within_a_running_loop_fails_as_it_does_without_us(
    recording: Recording,
) -> None:
    with pytest.raises(RuntimeError, match="kickoff_async"):
        crew(task("work", agent("A", InMemory(), max_retry_limit=0))).kickoff()

    error = "[error=RuntimeError"
    assert recording.tree() == f"workflow team {error}]\n  phase work {error} after=nothing]\n    agent A {error}]"
