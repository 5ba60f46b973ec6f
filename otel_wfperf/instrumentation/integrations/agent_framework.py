"""Microsoft Agent Framework: what its own spans of workflows, executors, agents, tools and model calls lack.

Agent Framework writes spans through the global provider unless it is told not to; they stay as they are, and
``otel_wfperf.conventions.agent_framework`` reads them. Hooks that add to them, checked with agent-framework-core
1.23.0:

* ``Workflow._run_workflow_with_tracing`` and ``FunctionalWorkflow._run_core``: one run.
* ``RunnerImpl._run_iteration``: a superstep. ``Executor.execute`` and ``create_processing_span``: a message is
  delivered, and its executor is free for it; in between it waits. ``InProcRunnerContext.send_message`` and
  ``WorkflowContext.yield_output``: what came of it.
* ``StepWrapper.__call__`` and ``RunContext.add_event``: steps of functional workflows, which have no span.
* ``AgentTelemetryLayer._trace_agent_invocation``: whose prompts are to be compared.
* ``BaseChatClient.get_response`` and ``_prepare_messages_for_model_call``: prompts, answers, and compaction.
* ``get_function_span`` and ``FunctionTool._invoke_function``: the turn that asked for a tool, arguments and result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from otel_wfperf.instrumentation.call import add_early_exit, remove_early_exit
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class AgentFrameworkIntegration:
    """Add to the spans of Agent Framework; nothing is added where they are turned off."""

    name: ClassVar[str] = "agent_framework"
    requires: ClassVar[Mapping[str, str]] = {"agent-framework-core": ">=1.23,<2"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Microsoft Agent Framework",
        hook="Its own spans through the global provider; attributes are added to them where it calls its executors.",
        tested={"agent-framework-core": "1.23.0"},
        workflows="native: run of a workflow; a workflow in a workflow nests",
        phases="native: executor, with its superstep and the executors that it was sent messages by; step of a"
        " functional workflow",
        agents="native: run of an agent",
        tools="native: function tool, bound to the model response that asked for it; call of an MCP tool",
        llm_calls="native: call of a chat client, with the tokens of its `usage_details`; context and streaming delay",
        waits="messages that wait for the end of their superstep, or for their executor to be free, from 1 ms on",
        retries="",
        handoffs="agents of orchestrations that hand over are executors: their messages are dependencies",
        missing=(
            "Everything, if it is turned off: `ENABLE_INSTRUMENTATION=false`, `disable_instrumentation()`.",
            "Retries inside a provider's client: they are not visible outside of it.",
            "Waiting for people: a workflow ends with a request, and its continuation is a run of its own.",
            "Prompts and answers of chat clients that do without `BaseChatClient`: their sizes and first token.",
            "Steps of functional workflows have no superstep: which of them run at once is left to the program.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        workflows = "agent_framework._workflows"
        return {
            f"{workflows}._workflow": _record_workflows,
            f"{workflows}._functional": _record_functional_workflows,
            f"{workflows}._runner": _record_supersteps,
            f"{workflows}._executor": _record_executors,
            f"{workflows}._runner_context": _record_messages,
            f"{workflows}._workflow_context": _record_outputs,
            "agent_framework.observability": _record_agents,
            "agent_framework._clients": _record_clients,
            "agent_framework._tools": _record_tools,
        }


def _all_of(*undo: Undo) -> Undo:
    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all


# Each of the following runs when its module of Agent Framework has been imported; ours are not needed before.
# ruff: noqa: PLC0415


def _record_workflows() -> Undo:
    from agent_framework._workflows._workflow import Workflow

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.workflows import begin_workflow
    from otel_wfperf.instrumentation.streams import streamed

    return replace(Workflow, "_run_workflow_with_tracing", lambda original: streamed(original, begin_workflow))


def _record_functional_workflows() -> Undo:
    from agent_framework._workflows import _functional as module

    from otel_wfperf.instrumentation.integrations.agent_framework_parts import workflows
    from otel_wfperf.instrumentation.streams import streamed

    def begin(original: Callable[..., object]) -> Callable[..., object]:
        return streamed(original, workflows.begin_workflow)

    # A step that asks a person stops its workflow on purpose.
    add_early_exit(module.WorkflowInterrupted)
    return _all_of(
        lambda: remove_early_exit(module.WorkflowInterrupted),
        replace(module.FunctionalWorkflow, "_run_core", begin),
        replace(module.StepWrapper, "__call__", workflows.recorded_step),
        replace(module.RunContext, "add_event", workflows.starting_step),
    )


def _record_supersteps() -> Undo:
    from agent_framework._workflows._runner import RunnerImpl

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.workflows import counting_supersteps

    return replace(RunnerImpl, "_run_iteration", counting_supersteps)


def _record_executors() -> Undo:
    from agent_framework._workflows import _executor as module

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.workflows import delivering, described_span

    return _all_of(
        replace(module, "create_processing_span", described_span),
        replace(module.Executor, "execute", delivering),
    )


def _record_messages() -> Undo:
    from agent_framework._workflows._runner_context import InProcRunnerContext

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.workflows import noting_messages

    return replace(InProcRunnerContext, "send_message", noting_messages)


def _record_outputs() -> Undo:
    from agent_framework._workflows._workflow_context import WorkflowContext

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.workflows import noting_outputs

    return replace(WorkflowContext, "yield_output", noting_outputs)


def _record_agents() -> Undo:
    from agent_framework.observability import AgentTelemetryLayer

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.agents import recorded_agent

    return replace(AgentTelemetryLayer, "_trace_agent_invocation", recorded_agent)


def _record_clients() -> Undo:
    from agent_framework._clients import BaseChatClient

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.models import (
        recorded_client,
        recorded_compaction,
    )

    return _all_of(
        replace(BaseChatClient, "get_response", recorded_client),
        replace(BaseChatClient, "_prepare_messages_for_model_call", recorded_compaction),
    )


def _record_tools() -> Undo:
    from agent_framework import _tools as module

    from otel_wfperf.instrumentation.integrations.agent_framework_parts.agents import recorded_tool, tool_span

    return _all_of(
        replace(module, "get_function_span", tool_span),
        replace(module.FunctionTool, "_invoke_function", recorded_tool),
    )
