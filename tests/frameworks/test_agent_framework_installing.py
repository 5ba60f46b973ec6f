"""What the Agent Framework integration changes, and that it can be taken back."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import trace

pytest.importorskip("agent_framework")
from agent_framework import (
    BaseChatClient,
    Executor,
    FunctionTool,
    Workflow,
    WorkflowContext,
)
from agent_framework.observability import (
    AgentTelemetryLayer,
    disable_instrumentation,
    enable_instrumentation,
)

from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.integrations.agent_framework import AgentFrameworkIntegration
from tests.frameworks.agent_framework_teams import NO_WAITS, RESEARCH, research_team
from tests.frameworks.recording import Recording, tree

pytestmark = pytest.mark.filterwarnings("ignore:.*is experimental and may change:FutureWarning")


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    with instrumented(AgentFrameworkIntegration()):
        yield


async def test_nothing_is_recorded_where_instrumentation_is_turned_off(recording: Recording) -> None:
    disable_instrumentation()
    try:
        result = await research_team()[0].run("task")
    finally:
        enable_instrumentation(force=True)

    assert result.get_outputs() == ["2 answers"]
    assert {span.name for span in recording.spans} == {"inside"}


async def test_labels_of_openinference_change_nothing(recording: Recording) -> None:
    openinference = pytest.importorskip("openinference.instrumentation.agent_framework")
    provider: Any = trace.get_tracer_provider()
    own = provider._active_span_processor._span_processors
    # Labels come before the exporter, as OpenInference asks for.
    provider._active_span_processor._span_processors = (
        openinference.AgentFrameworkToOpenInferenceProcessor(),
        *own,
    )
    try:
        team, agents = research_team()
        await team.run("task")
    finally:
        provider._active_span_processor._span_processors = own

    assert any("openinference.span.kind" in (span.attributes or {}) for span in recording.spans)
    assert tree(recording.execution(), hide=NO_WAITS) == RESEARCH
    assert recording.tokens() == agents[0].client.served + agents[1].client.served


def _wrapped() -> Mapping[str, Callable[..., Any]]:
    from agent_framework import InProcRunnerContext, _tools
    from agent_framework._workflows import _executor, _functional, _runner

    return {
        "run": Workflow._run_workflow_with_tracing,
        "functional": _functional.FunctionalWorkflow._run_core,
        "step": _functional.StepWrapper.__call__,
        "add_event": _functional.RunContext.add_event,
        "iteration": _runner.RunnerImpl._run_iteration,
        "execute": Executor.execute,
        "span": _executor.create_processing_span,
        "send": InProcRunnerContext.send_message,
        "output": WorkflowContext.yield_output,
        "agent": AgentTelemetryLayer._trace_agent_invocation,
        "chat": BaseChatClient.get_response,
        "compaction": BaseChatClient._prepare_messages_for_model_call,
        "tool_span": _tools.get_function_span,
        "tool": FunctionTool._invoke_function,
    }


def test_signatures_stay_and_everything_can_be_taken_back() -> None:
    with instrumented(AgentFrameworkIntegration()):
        while_recorded = _wrapped()
    # The fixture's integration is of the same name, so that it is gone as well.
    restored = _wrapped()

    for name, original in restored.items():
        assert while_recorded[name] is not original, name
        assert inspect.signature(while_recorded[name]) == inspect.signature(original), name
        assert inspect.isasyncgenfunction(while_recorded[name]) == inspect.isasyncgenfunction(original), name
        assert inspect.iscoroutinefunction(while_recorded[name]) == inspect.iscoroutinefunction(original), name
