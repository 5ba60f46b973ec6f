"""Runs and steps of agents, and calls of tools."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any

from otel_wfperf.instrumentation.call import Call, attach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.smolagents_parts.steps import OTHERS, Run, Step, current_step, within
from otel_wfperf.instrumentation.operations import start_agent, start_phase, start_tool
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.wrapping import in_context

Start = Callable[[], Call | None]


def running(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record runs of agents; one that streams begins when somebody reads it."""

    @wraps(original)
    def run(self: Any, task: str, stream: bool = False, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - as the original
        def start() -> Call | None:
            return _start_run(self)

        if stream:
            return _generate(start, original(self, task, stream, *args, **kwargs))
        return _call(start, lambda: original(self, task, stream, *args, **kwargs))

    return run


def planning(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record steps that make a plan."""

    @wraps(original)
    def generate_planning_step(self: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        result = yield from _generate(lambda: _start_step("plan", self), original(self, *args, **kwargs))
        return result

    return generate_planning_step


def acting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record steps that act."""

    @wraps(original)
    def step_stream(self: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        result = yield from _generate(lambda: _start_step("act", self), original(self, *args, **kwargs))
        return result

    return step_stream


def calling(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record calls of tools within a step of an agent."""

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        step = current_step()
        if step is None:
            return original(self, *args, **kwargs)
        given = {key: value for key, value in kwargs.items() if key != "sanitize_inputs_outputs"}
        tool = _started(lambda: _start_tool(step, str(self.name), [args, given]))
        return _finish(tool, step, lambda: original(self, *args, **kwargs))

    return call


def _start_run(agent: Any) -> Call | None:
    outer = current_step()
    if outer is None and is_recorded_elsewhere("smolagents", *OTHERS):
        return None
    step = Step(outer.run if outer is not None else Run())
    return start_agent(getattr(agent, "name", None) or type(agent).__name__, context=within(step))


def _start_step(name: str, agent: Any) -> Call | None:
    outer = current_step()
    # A class may call the one that it was made from.
    if outer is None or outer.is_of(name, agent):
        return None
    # A plan is made before the step of the same number, and steps of one number would count as parallel.
    number = getattr(agent, "step_number", None) if name == "act" else None
    step = Step(outer.run, name, agent)
    return start_phase(name, step=number if isinstance(number, int) else None, context=within(step))


def _start_tool(step: Step, name: str, given: object) -> Call:
    call = start_tool(name, call_id=step.call_id(name), turn=step.turn)
    if call.span.is_recording():
        call.span.set_attributes(step.run.content.input_attributes(given))
    return call


def _finish(tool: Call | None, step: Step, function: Callable[[], Any]) -> Any:
    if tool is None:
        return function()
    try:
        with attach(tool):
            result = function()
    except BaseException as error:
        tool.end(error)
        raise
    attributes = step.run.content.output_attributes(result) if tool.span.is_recording() else {}
    tool.end(attributes=attributes)
    return result


def _started(start: Start) -> Call | None:
    with failures_counted("smolagents.start"):
        return start()
    return None


def _call(start: Start, function: Callable[[], Any]) -> Any:
    call = _started(start)
    if call is None:
        return function()
    try:
        with attach(call):
            result = function()
    except BaseException as error:
        call.end(error)
        raise
    call.end()
    return result


def _generate(start: Start, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    call = _started(start)
    if call is None:
        result = yield from generator
        return result
    try:
        result = yield from in_context(call, generator)
    except BaseException as error:
        call.end(error)
        raise
    call.end()
    return result
