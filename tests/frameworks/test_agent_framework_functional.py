"""Microsoft Agent Framework 1.23: workflows of functions."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("agent_framework")
from agent_framework import (
    step,
    workflow,
)

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.agent_framework import AgentFrameworkIntegration
from tests.frameworks.agent_framework_teams import SECRET, agent
from tests.frameworks.recording import Recording

pytestmark = pytest.mark.filterwarnings("ignore:.*is experimental and may change:FutureWarning")


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AgentFrameworkIntegration()):
        yield


def functional_workflows() -> tuple[Any, Any, Any]:
    """Make a workflow of two steps at once, one that fails, and a step; making them warns."""

    @step
    async def plan(topic: str) -> str:
        with trace.get_tracer("user").start_as_current_span("inside"):
            return f"plan of {topic}"

    @step
    async def write(topic: str) -> str:
        answer = await agent("writer", "text").run(topic)
        return str(answer.text)

    @step
    async def fails(topic: str) -> str:
        raise KeyError(topic)

    @workflow(name="essay")
    async def essay(topic: str) -> str:
        return " ".join(await asyncio.gather(plan(topic), write(topic)))

    @workflow(name="broken")
    async def broken(topic: str) -> Any:
        return await fails(topic)

    return essay, broken, plan


async def test_steps_of_a_functional_workflow_are_phases(recording: Recording) -> None:
    essay, _, _ = functional_workflows()
    result = await essay.build().run(SECRET)

    assert result.get_outputs() == [f"plan of {SECRET} text"]
    assert (
        recording.tree()
        == """\
workflow essay
  phase plan
    other inside
  phase write
    agent writer
      llm scripted [tokens=10+5]"""
    )
    assert SECRET not in recording


async def test_a_failing_step_fails_its_functional_workflow(recording: Recording) -> None:
    _, broken, _ = functional_workflows()
    with pytest.raises(KeyError):
        await broken.build().run(SECRET)

    assert recording.tree() == "workflow broken [error=KeyError]\n  phase fails [error=KeyError]"
    assert SECRET not in recording


async def test_a_step_outside_of_a_workflow_is_the_users_own_function(recording: Recording) -> None:
    _, _, plan = functional_workflows()

    assert await plan("x") == "plan of x"
    assert [span.name for span in recording.spans] == ["inside"]


# -- beside others
