"""CrewAI: crews, tasks, flows, agents, tools and model calls.

Hooks, checked with crewai 1.15.30. Lifetimes come from wrappers around CrewAI's own functions: its
event bus calls handlers in a thread pool after the fact, so that nothing could be current inside of
an operation. What the functions do not return (tokens, hits of the tool cache, failures that CrewAI
swallows) is read where the bus is told, in the thread and context of whoever tells it.

* ``Crew.kickoff``, ``akickoff``, ``replay``: all other ways to run a crew end there; ``_handle_crew_planning``.
* ``Task._execute_core``, ``_aexecute_core``: behind ``execute_sync``, ``execute_async`` and ``aexecute_sync``.
* ``Agent.execute_task``, ``aexecute_task``, ``kickoff``, ``kickoff_async``, ``LiteAgent.kickoff``;
  ``_handle_execution_error`` and its asynchronous twin, which try again from inside of the failed attempt.
* ``Flow.kickoff_async``, ``resume_async``, ``_execute_method``; ``_find_triggered_methods``, which tells the
  methods that start together.
* ``run_with_rate_limit_retry`` and ``arun_with_rate_limit_retry`` in ``crewai.llms.base_llm``: every call of a
  model passes there, also of the user's own classes; ``BaseLLM._track_token_usage_internal``, ``summarize_messages``.
* ``AgentExecutor._execute_single_native_tool_call``, ``execute_single_native_tool_call`` in
  ``crewai.agents.step_executor``, ``ToolUsage._use``, ``_ause``, and ``run``, ``arun``,
  ``invoke``, ``ainvoke`` of the tools; ``BaseAgentTool._execute``, which hands work to another agent.
* ``RPMController.check_or_wait``, ``Flow.ask``, ``Flow._request_human_feedback``, ``SyncHumanInputProvider``.
* ``Memory.recall``, ``Knowledge.query``, ``aquery``.
* ``CrewAIEventsBus.emit``: the bus itself.

CrewAI's own telemetry has a provider of its own, makes none of its spans current, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final

from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo

# What `crewai_parts.hooks` does when a module has been imported.
_HOOKS: Final[Mapping[str, str]] = {
    "crewai.crew": "in_crews",
    "crewai.task": "in_tasks",
    "crewai.agent.core": "in_agents",
    "crewai.lite_agent": "in_lite_agents",
    "crewai.flow.runtime": "in_flows",
    "crewai.flow.async_feedback.types": "expect_pauses",
    "crewai.llms.base_llm": "in_models",
    "crewai.agents.agent_executor": "in_executors",
    "crewai.agents.step_executor": "in_step_executors",
    "crewai.tools.tool_usage": "in_tool_usage",
    "crewai.tools.base_tool": "in_tools",
    "crewai.tools.structured_tool": "in_structured_tools",
    "crewai.tools.agent_tools.base_agent_tools": "in_agent_tools",
    "crewai.utilities.rpm_controller": "in_rate_limits",
    "crewai.core.providers.human_input": "in_human_input",
    "crewai.memory.unified_memory": "in_memory",
    "crewai.knowledge.knowledge": "in_knowledge",
    "crewai.events.event_bus": "in_bus",
}


class CrewAIIntegration:
    """Record CrewAI's crews and flows.

    Nothing is recorded while another instrumentation records the same runs: the sidecar understands its spans, and
    both together would show everything twice. ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "crewai"
    requires: ClassVar[Mapping[str, str]] = {"crewai": ">=1.15.30,<2"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="CrewAI",
        hook="Wrappers around CrewAI's own functions, and its event bus read where events are emitted.",
        tested={"crewai": "1.15.30"},
        workflows="kickoff of a crew or a flow, in whatever way; a crew inside of a flow is a workflow inside of it",
        phases=(
            "task, with the tasks whose results it is given, and asynchronous tasks as a parallel group; "
            "method of a flow, with the methods that its decorators name, and those that start together as a group"
        ),
        agents="agent on a task, or on its own; the manager of a hierarchical crew",
        tools=(
            "tool call, bound to the model response that asked for it; results from the cache are marked; "
            "a search of the memory or of knowledge is a retrieval"
        ),
        llm_calls="every call of a model class; tokens that its provider told CrewAI",
        waits="`max_rpm`, human input and feedback, pauses before a model call is tried again",
        retries="another attempt of an agent, after a guardrail or an error; of a model call; of a tool",
        handoffs="delegated work and questions to a co-worker",
        missing=(
            "Attempts inside of the provider's client: they are part of the model call.",
            "Tokens of a model class of the user's own that neither emits nor counts them: nothing tells them.",
            "Embeddings, and the saving of memories, but for the model calls that it makes.",
            "Agents of other frameworks behind CrewAI's adapters: their own integrations record them.",
            "The wait for a feedback provider of the user's own: the method of the flow contains it.",
            "Rejected answers of a standalone agent with a guardrail: they are model calls of one agent.",
            "Agents of a class of the user's own that replaces `execute_task` without calling the original.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {module: partial(_hook, name) for module, name in _HOOKS.items()}


def _hook(name: str) -> Undo:
    # Loaded with the first part of CrewAI: `import otel_wfperf.auto` must stay cheap.
    from otel_wfperf.instrumentation.integrations.crewai_parts import hooks  # noqa: PLC0415

    hook: Callable[[], Undo] = getattr(hooks, name)
    return hook()
