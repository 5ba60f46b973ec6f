"""What is replaced in each of CrewAI's modules; run by the CrewAI integration once they have been imported."""

# ruff: noqa: PLC0415 - each function runs when the module that it imports has been imported

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from otel_wfperf.instrumentation.call import add_early_exit, remove_early_exit
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.crewai_parts import crews, flows, models, tools, waits
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import argument, recorded, replace_all
from otel_wfperf.instrumentation.patching import Undo, replace

# By the name of the event's class, which is looked up for every event: nothing is imported for it.
_FACTS: Mapping[str, Callable[[Any], None]] = {
    "LLMCallCompletedEvent": models.on_completed,
    "LLMStreamChunkEvent": models.on_chunk,
    "LLMThinkingChunkEvent": models.on_chunk,
    "ToolUsageFinishedEvent": tools.on_finished,
    "ToolUsageErrorEvent": tools.on_error,
}


def in_crews() -> Undo:
    """Record crews."""
    from crewai.crew import Crew

    return replace_all(
        (Crew, "kickoff", recorded(crews.open_crew)),
        (Crew, "akickoff", recorded(crews.open_crew)),
        (Crew, "replay", recorded(crews.open_crew)),
        (Crew, "_handle_crew_planning", recorded(crews.open_planning)),
    )


def in_tasks() -> Undo:
    """Record tasks."""
    from crewai.task import Task

    return replace_all(*((Task, name, recorded(crews.open_task)) for name in ("_execute_core", "_aexecute_core")))


def in_agents() -> Undo:
    """Record agents."""
    from crewai.agent.core import Agent

    return replace_all(
        (Agent, "execute_task", recorded(crews.open_agent)),
        (Agent, "aexecute_task", recorded(crews.open_agent)),
        (Agent, "_handle_execution_error", crews.retrying),
        (Agent, "_handle_execution_error_async", crews.retrying_async),
        (Agent, "kickoff", recorded(crews.open_standalone_agent)),
        (Agent, "kickoff_async", recorded(crews.open_standalone_agent_async)),
    )


def in_lite_agents() -> Undo:
    """Record agents of the older kind."""
    from crewai.lite_agent import LiteAgent

    return replace_all((LiteAgent, "kickoff", recorded(crews.open_standalone_agent)))


def in_flows() -> Undo:
    """Record flows."""
    from crewai.flow.runtime import Flow

    return replace_all(
        (Flow, "kickoff_async", recorded(flows.open_flow)),
        (Flow, "resume_async", recorded(flows.open_resumed_flow)),
        (Flow, "_execute_method", recorded(flows.open_method)),
        (Flow, "_find_triggered_methods", flows.grouping_listeners),
        (Flow, "ask", recorded(waits.open_flow_question)),
        (Flow, "_request_human_feedback", recorded(waits.open_feedback)),
    )


def expect_pauses() -> Undo:
    """Know the exception that pauses a flow."""
    from crewai.flow.async_feedback.types import HumanFeedbackPending

    # A method that waits for a person raises it to pause the flow.
    add_early_exit(HumanFeedbackPending)
    return lambda: remove_early_exit(HumanFeedbackPending)


def in_models() -> Undo:
    """Record model calls."""
    from crewai.llms import base_llm

    return replace_all(
        (base_llm, "run_with_rate_limit_retry", models.recording_attempts),
        (base_llm, "arun_with_rate_limit_retry", models.recording_attempts_async),
        (base_llm.BaseLLM, "_track_token_usage_internal", models.counting),
        (base_llm.BaseLLM, "summarize_messages", recorded(models.open_summary)),
    )


def in_executors() -> Undo:
    """Record tools that models ask for in their provider's way."""
    from crewai.agents.agent_executor import AgentExecutor

    return replace_all((AgentExecutor, "_execute_single_native_tool_call", recorded(tools.open_requested_tool)))


def in_step_executors() -> Undo:
    """Record tools that models ask for in a step of a plan."""
    from crewai.agents import step_executor

    return replace_all((step_executor, "execute_single_native_tool_call", recorded(tools.open_step_tool)))


def in_tool_usage() -> Undo:
    """Record tools that models ask for in their text."""
    from crewai.tools.tool_usage import ToolUsage

    return replace_all(*((ToolUsage, name, recorded(tools.open_parsed_tool)) for name in ("_use", "_ause")))


def in_tools() -> Undo:
    """Record tools that are run."""
    from crewai.tools.base_tool import BaseTool, Tool

    run = recorded(tools.open_tool)
    return replace_all(*((owner, name, run) for owner in (BaseTool, Tool) for name in ("run", "arun")))


def in_structured_tools() -> Undo:
    """Record tools in the form that agents get."""
    from crewai.tools.structured_tool import CrewStructuredTool

    run = recorded(tools.open_structured_tool)
    return replace_all(*((CrewStructuredTool, name, run) for name in ("invoke", "ainvoke")))


def in_agent_tools() -> Undo:
    """Record work that agents hand to each other."""
    from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool

    return replace_all((BaseAgentTool, "_execute", crews.handing_off))


def in_rate_limits() -> Undo:
    """Record waits for `max_rpm`."""
    from crewai.utilities.rpm_controller import RPMController

    return replace_all((RPMController, "check_or_wait", recorded(waits.open_rate_limit)))


def in_human_input() -> Undo:
    """Record waits for feedback on a task."""
    from crewai.core.providers.human_input import SyncHumanInputProvider

    ask = recorded(waits.open_feedback)
    return replace_all(*((SyncHumanInputProvider, name, ask) for name in ("_prompt_input", "_prompt_input_async")))


def in_memory() -> Undo:
    """Record searches of the memory."""
    from crewai.memory.unified_memory import Memory

    return replace_all((Memory, "recall", recorded(tools.open_recall)))


def in_knowledge() -> Undo:
    """Record searches of knowledge."""
    from crewai.knowledge.knowledge import Knowledge

    return replace_all(*((Knowledge, name, recorded(tools.open_query)) for name in ("query", "aquery")))


def in_bus() -> Undo:
    """Read what the event bus is told."""
    from crewai.events.event_bus import CrewAIEventsBus

    return replace(CrewAIEventsBus, "emit", _listening)


def _listening(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def emit(self: Any, *args: Any, **kwargs: Any) -> Any:
        event = argument(args, kwargs, 1, "event")
        listener = _FACTS.get(type(event).__name__)
        if listener is not None:
            with failures_counted("crewai.event"):
                listener(event)
        return original(self, *args, **kwargs)

    return emit
