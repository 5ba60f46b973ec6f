"""Agents and tools: what their native spans do not say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from opentelemetry.trace import Span

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.agent_framework_parts.runs import (
    Run,
    current_run,
    native_span,
    run_or_own,
    within,
)
from otel_wfperf.instrumentation.payload import ContentReader


def recorded_agent(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``AgentTelemetryLayer._trace_agent_invocation``, which calls ``execute`` with the native span open."""

    @wraps(original)
    def trace_agent_invocation(agent: Any, *, execute: Callable[[], Any], **kwargs: Any) -> Any:
        own = _executing(agent, execute, kwargs.get("messages"))
        return original(agent, execute=own or execute, **kwargs)

    return trace_agent_invocation


@never_raises("agent_framework.agent")
def _executing(agent: Any, execute: Callable[[], Any], messages: Any) -> Callable[[], Any] | None:
    run = run_or_own()
    if run is None:
        return None
    name = str(getattr(agent, "name", None) or getattr(agent, "id", "unknown"))

    def execute_in_run() -> Any:
        span = _described(run, messages)
        with within(run, name):
            result = execute()
        if hasattr(result, "with_pull_context_manager"):
            return result.with_pull_context_manager(lambda: within(run, name))
        return _answered(run, name, span, result)

    return execute_in_run


@never_raises("agent_framework.agent_input")
def _described(run: Run, messages: Any) -> Span | None:
    span = native_span(semconv.INVOKE_AGENT)
    if span is not None:
        given = messages if isinstance(messages, list | tuple) else [messages]
        said = [each if isinstance(each, str) else getattr(each, "text", None) for each in given]
        span.set_attributes(run.reader.input_attributes(said, hashed=False))
    return span


async def _answered(run: Run, name: str, span: Span | None, result: Awaitable[Any]) -> Any:
    with within(run, name):
        response = await result
    if span is not None:
        with failures_counted("agent_framework.agent_output"):
            span.set_attributes(run.reader.output_attributes(getattr(response, "text", None)))
    return response


def tool_span(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``get_function_span``: say which model response asked."""

    @wraps(original)
    def get_function_span(attributes: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return original(_with_turn(attributes) or attributes, *args, **kwargs)

    return get_function_span


@never_raises("agent_framework.tool")
def _with_turn(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    run = current_run()
    turn = None if run is None else run.turn_of(attributes.get(semconv.TOOL_CALL_ID))
    return None if turn is None else {**attributes, semconv.TURN_ID: turn}


def recorded_tool(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``FunctionTool._invoke_function``, which runs in the native span."""

    @wraps(original)
    async def invoke_function(tool: Any, call_kwargs: Any, *args: Any, **kwargs: Any) -> Any:
        span = native_span(semconv.EXECUTE_TOOL)
        if span is None:
            return await original(tool, call_kwargs, *args, **kwargs)
        with failures_counted("agent_framework.tool_input"):
            hidden = getattr(tool, "_context_parameter_name", None)
            given = {name: value for name, value in call_kwargs.items() if name != hidden}
            span.set_attributes(_reader().input_attributes(given))
        result = await original(tool, call_kwargs, *args, **kwargs)
        with failures_counted("agent_framework.tool_output"):
            span.set_attributes(_reader().output_attributes(result))
        return result

    return invoke_function


def _reader() -> ContentReader:
    run = current_run()
    return ContentReader() if run is None else run.reader
