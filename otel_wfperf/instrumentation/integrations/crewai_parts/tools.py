"""Calls of tools.

A tool that an agent uses is recorded around CrewAI's handling of it, which knows the id of the call
and whether the result came from the cache; any other call of a tool around the tool itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, current_operation
from otel_wfperf.instrumentation.integrations.crewai_parts.models import requested_call
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import Run, current_run
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import Opened, argument
from otel_wfperf.instrumentation.operations import start_retrieval, start_tool

_TOOL_CALL: Final = otel_context.create_key("otel_wfperf.crewai.tool_call")


class ToolCall:
    """A tool call, and what the event bus says about it.

    Attributes:
        call: Its operation.
        outer: What was current before it.
        from_cache: Whether the result was that of an earlier call.
        failure: Kind of a failure that the tool reported instead of raising; None = there was none.
    """

    __slots__ = ("call", "failure", "from_cache", "outer")

    def __init__(self, call: Call, outer: Context) -> None:
        """Know nothing of the result yet."""
        self.call = call
        self.outer = outer
        self.from_cache = False
        self.failure: str | None = None


def open_requested_tool(executor: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a tool that a model asked for in the way of its provider."""
    run, wanted = current_run(), requested_call(argument(args, kwargs, 0, "tool_call"))
    if run is None or wanted is None:
        return None
    del executor
    call_id, name, given = wanted
    call = start_tool(name, agent=_agent(), call_id=call_id, turn=run.turns.pop(call_id, None))
    if isinstance(given, str):
        with suppress(ValueError):
            given = json.loads(given)
    return _tool(call, run, given)


def open_step_tool(tool_call: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Do the same in a step of a plan, where CrewAI has a function for it."""
    return open_requested_tool(None, (tool_call,), {})


def open_parsed_tool(usage: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a tool that a model asked for in its text."""
    run = current_run()
    if run is None:
        return None
    calling, attempt = argument(args, kwargs, 2, "calling"), getattr(usage, "_run_attempts", 1)
    name = tool_name(argument(args, kwargs, 1, "tool"))
    around = otel_context.get_value(_TOOL_CALL)
    # CrewAI tries again from inside of the failed attempt, which has ended: the next one starts beside it.
    is_retry = isinstance(around, ToolCall) and around.call.ended and current_operation() is around.call
    outer = around.outer if isinstance(around, ToolCall) and is_retry else otel_context.get_current()
    call = start_tool(name, agent=_agent(), attempt=attempt if attempt > 1 else None, context=outer)
    return _tool(call, run, getattr(calling, "arguments", None), outer=outer)


def open_tool(tool: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a tool that somebody runs: CrewAI in a way that the functions above do not cover, or the user's code."""
    name, around = tool_name(tool), otel_context.get_value(_TOOL_CALL)
    if isinstance(around, ToolCall) and around.call is current_operation() and around.call.name == name:
        return None
    run = current_run()
    if run is None:
        return None
    return _tool(start_tool(name, agent=_agent()), run, [args, kwargs])


def open_structured_tool(tool: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Do the same for the form in which CrewAI hands tools to its agents."""
    return open_tool(tool, (), {"input": argument(args, kwargs, 0, "input")})


def _tool(call: Call, run: Run, given: object, *, outer: Context | None = None) -> Opened:
    content, tool_call = run.content, ToolCall(call, otel_context.get_current() if outer is None else outer)
    if call.span.is_recording():
        call.span.set_attributes(content.input_attributes(given))

    def describe(result: Any) -> Mapping[str, Any]:
        said = _part(result, "result")
        is_read = call.span.is_recording()
        attributes = dict(content.output_attributes(result if said is None else said)) if is_read else {}
        if tool_call.from_cache or _part(result, "from_cache") is True:
            attributes[semconv.TOOL_CACHED] = True
        failure = tool_call.failure or _failure(_part(result, "tool_failure")) or _failure(result)
        if failure is not None:
            attributes[semconv.ERROR_TYPE] = failure
        return attributes

    return Opened(call, run, describe=describe).also(_TOOL_CALL, tool_call)


def _part(result: Any, name: str) -> Any:
    """Return a part of what the handling of a requested call returned; None = it is something else."""
    if isinstance(result, Mapping):
        return result.get(name) if "call_id" in result and "func_name" in result else None
    return getattr(result, name, None) if type(result).__name__ == "NativeToolCallResult" else None


def _failure(failure: Any) -> str | None:
    """Name a failure that a tool reported; None = it is something else."""
    if type(failure).__name__ != "ToolFailure":
        return None
    reason = getattr(failure, "reason", None)
    return str(getattr(reason, "value", reason) or "tool_error")


def on_finished(event: Any) -> None:
    """Take what the bus says about a result."""
    tool_call = _current_tool_call()
    if tool_call is not None:
        tool_call.from_cache = bool(event.from_cache)
        tool_call.failure = _failure(event.failure)


def on_error(event: Any) -> None:
    """End a tool that raised: CrewAI tells the model, or tries again, and goes on."""
    tool_call = _current_tool_call()
    if tool_call is None:
        return
    is_raised = isinstance(event.error, BaseException)
    tool_call.call.end(event.error if is_raised else None, error_type=None if is_raised else "tool_error")


def _current_tool_call() -> ToolCall | None:
    tool_call = otel_context.get_value(_TOOL_CALL)
    is_current = isinstance(tool_call, ToolCall) and current_operation() is tool_call.call
    return tool_call if is_current else None  # type: ignore[return-value]


def tool_name(tool: Any) -> str:
    """Name a tool as the model sees it."""
    from crewai.utilities.string_utils import sanitize_tool_name  # noqa: PLC0415 - imported already when this runs

    return str(sanitize_tool_name(str(getattr(tool, "name", None) or type(tool).__name__)))


def _agent() -> str | None:
    operation = current_operation()
    return operation.agent if operation is not None else None


def open_recall(_memory: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a search of the memory."""
    return _retrieval("memory", argument(args, kwargs, 0, "query"))


def open_query(_knowledge: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a search of knowledge."""
    return _retrieval("knowledge", argument(args, kwargs, 0, "query"))


def _retrieval(source: str, query: object) -> Opened | None:
    run = current_run()
    if run is None:
        return None
    call, content = start_retrieval(source), run.content
    if call.span.is_recording():
        call.span.set_attributes(content.input_attributes(query))
    return Opened(call, run, describe=content.output_attributes)
