"""What the ADK's spans of tools and agents lack: sizes and hashes, hand-offs, and which agents run side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from opentelemetry import trace

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.google_adk_parts.executions import current_execution

_TRANSFER: Final = "transfer_to_agent"
_PARALLEL: Final = "ParallelAgent"


def describing_tools(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``trace_tool_call``, which describes a tool's span just before its end."""

    @wraps(original)
    def trace_tool_call(
        tool: Any, args: Any, function_response_event: Any, error: Any = None, span: Any = None, **kwargs: Any
    ) -> None:
        original(tool, args, function_response_event, error, span, **kwargs)
        _describe_tool(span or trace.get_current_span(), tool, args, function_response_event, error)

    return trace_tool_call


def describing_agents(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``trace_agent_invocation``, which each agent's span passes at its start."""

    @wraps(original)
    def trace_agent_invocation(span: Any, agent: Any, *args: Any, **kwargs: Any) -> None:
        original(span, agent, *args, **kwargs)
        _describe_agent(span, agent)

    return trace_agent_invocation


@never_raises("google_adk.tool")
def _describe_tool(span: Any, tool: Any, args: Mapping[str, Any], event: Any, error: Any) -> None:
    execution = current_execution()
    if execution is None or not span.is_recording():
        return
    attributes = execution.content.input_attributes(args)
    response = _response(event)
    if response is not None:
        attributes.update(execution.content.output_attributes(response))
    target = args.get("agent_name") if tool.name == _TRANSFER and error is None else None
    agent = (span.attributes or {}).get(semconv.AGENT_NAME)
    if isinstance(target, str) and agent:
        attributes[semconv.HANDOFF_FROM], attributes[semconv.HANDOFF_TO] = agent, target
    span.set_attributes(attributes)


def _response(event: Any) -> Any:
    parts = event.content.parts if event is not None and event.content is not None else None
    answer = parts[0].function_response if parts else None
    return answer.response if answer is not None else None


@never_raises("google_adk.agent")
def _describe_agent(span: Any, agent: Any) -> None:
    parent = getattr(agent, "parent_agent", None)
    if parent is not None and _runs_at_once(parent) and current_execution() is not None:
        width = len(parent.sub_agents)
        span.set_attributes({semconv.PARALLEL_GROUP: parent.name, semconv.PARALLEL_WIDTH: width})


def _runs_at_once(agent: Any) -> bool:
    return any(each.__name__ == _PARALLEL for each in type(agent).__mro__)
