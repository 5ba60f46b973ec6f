"""Crews, their tasks and their agents."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import Call, current_operation
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import Run, current_run
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import Opened, argument, attached
from otel_wfperf.instrumentation.operations import record_handoff, start_agent, start_phase, start_workflow

_PLAN: Final = otel_context.create_key("otel_wfperf.crewai.plan")
_PLANNING: Final = otel_context.create_key("otel_wfperf.crewai.planning")
_ATTEMPTS: Final = otel_context.create_key("otel_wfperf.crewai.attempts")
_AGENT: Final = otel_context.create_key("otel_wfperf.crewai.agent")


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """What a crew declares about a task.

    Attributes:
        name: Name of the phase.
        depends_on: Names of the tasks whose results it is given.
        group: Name of the tasks that run at the same time; None = it runs alone.
        width: Tasks in that group (count).
    """

    name: str
    depends_on: tuple[str, ...]
    group: str | None = None
    width: int | None = None


class AgentAttempt(NamedTuple):
    """An agent at work.

    Attributes:
        call: Its operation.
        outer: What was current before it.
    """

    call: Call
    outer: Context


def planned(tasks: Sequence[Any]) -> dict[str, PlannedTask]:
    """Read the order that a crew declares, by id of the task.

    Tasks with ``async_execution`` that follow each other run at the same time; the next one without it waits for all
    of them. A task without ``context`` is given the results of all before it, unless it is asynchronous: then it is
    given nothing (``Crew._execute_tasks`` of crewai 1.15.30).
    """
    names = {str(task.id): task_name(task) or f"task {number}" for number, task in enumerate(tasks, start=1)}
    plan: dict[str, PlannedTask] = {}
    for group, together in enumerate(_together(tasks), start=1):
        width = len(together)
        for task in together:
            key = str(task.id)
            plan[key] = PlannedTask(
                name=names[key],
                depends_on=_needs(task, tuple(plan), names),
                group=f"async {group}" if width > 1 else None,
                width=width if width > 1 else None,
            )
    return plan


def _together(tasks: Sequence[Any]) -> list[list[Any]]:
    """Split the tasks into those that run at the same time."""
    groups: list[list[Any]] = []
    for task in tasks:
        # A conditional task looks at the result of the one before it, and is never asynchronous.
        if groups and task.async_execution and groups[-1][-1].async_execution:
            groups[-1].append(task)
        else:
            groups.append([task])
    return groups


def _needs(task: Any, before: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    context, decides = task.context, before[-1:] if getattr(task, "condition", None) is not None else ()
    if isinstance(context, list | tuple):
        needed = [names.get(str(each.id)) or task_name(each) or "task" for each in context]
    elif not context or task.async_execution:
        needed = []
    else:
        return tuple(names[each] for each in before)
    needed += [names[each] for each in decides]
    return tuple(dict.fromkeys(needed))


def task_name(task: Any) -> str | None:
    """Name a task as its author did; its description is part of the prompt and is not recorded."""
    name = getattr(task, "name", None)
    return name if isinstance(name, str) and name else None


def role_of(agent: Any) -> str:
    """Name an agent; roles from YAML end in a line break."""
    return str(getattr(agent, "role", None) or "agent").strip()


def open_crew(crew: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the execution of a crew.

    One that streams, or is restored from a checkpoint, calls itself again when it really starts.
    """
    if getattr(crew, "stream", False) or restores(argument(args, kwargs, 2, "from_checkpoint")):
        return None
    run = current_run()
    if run is None:
        return None
    call = start_workflow(str(getattr(crew, "name", None) or "crew"))
    return Opened(call, run).also(_PLAN, planned(crew.tasks))


def restores(checkpoint: Any) -> bool:
    """Tell whether a kickoff goes on with another, restored object."""
    return getattr(checkpoint, "restore_from", None) is not None


def open_planning(_crew: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the planning of a crew: a phase of its own, before the tasks."""
    run = current_run()
    return None if run is None else Opened(start_phase("planning", depends_on=()), run).also(_PLANNING, True)  # noqa: FBT003 - a value


def open_task(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a task; only what a crew schedules is one, not what an agent delegates to another."""
    run = current_run()
    if run is None:
        return None
    plan = otel_context.get_value(_PLAN)
    known = plan.get(str(task.id)) if isinstance(plan, dict) else None
    if known is None and otel_context.get_value(_PLANNING):
        return None
    if known is None:
        call = start_phase(task_name(task) or "task")
    else:
        call = start_phase(known.name, depends_on=known.depends_on, group=known.group, width=known.width)
    content = run.content
    if call.span.is_recording():
        given = [task.description, argument(args, kwargs, 1, "context")]
        call.span.set_attributes(content.input_attributes(given))

    def describe(result: Any) -> Mapping[str, Any]:
        return content.output_attributes(result.raw) if call.span.is_recording() else {}

    return Opened(call, run, describe=describe).also(_ATTEMPTS, Counter[str]())


def open_agent(agent: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start an agent on a task; what a guardrail or an error sends back to it is another attempt."""
    run = current_run()
    if run is None:
        return None
    task = argument(args, kwargs, 0, "task")
    call = start_agent(role_of(agent), model=model_of(agent))
    attempts = otel_context.get_value(_ATTEMPTS)
    if isinstance(attempts, Counter):
        key = str(task.id)
        attempts[key] += 1
        if attempts[key] > 1:
            call.record_attempt(attempts[key])
    return _agent(call, run, [task.description, argument(args, kwargs, 1, "context")])


def open_standalone_agent(agent: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start an agent that works without a crew; its kickoff in an event loop only makes the coroutine that does."""
    if restores(argument(args, kwargs, 3, "from_checkpoint")) or in_event_loop():
        return None
    return open_standalone_agent_async(agent, args, kwargs)


def open_standalone_agent_async(agent: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Do the same for the coroutine."""
    if restores(argument(args, kwargs, 3, "from_checkpoint")):
        return None
    run = current_run()
    if run is None:
        return None
    return _agent(start_agent(role_of(agent), model=model_of(agent)), run, argument(args, kwargs, 0, "messages"))


def _agent(call: Call, run: Run, given: object) -> Opened:
    content = run.content
    if call.span.is_recording():
        call.span.set_attributes(content.input_attributes(given))

    def describe(result: Any) -> Mapping[str, Any]:
        return content.output_attributes(getattr(result, "raw", result)) if call.span.is_recording() else {}

    opened = Opened(call, run, describe=describe)
    return opened.also(_AGENT, AgentAttempt(call, opened.outer))


def model_of(agent: Any) -> str | None:
    """Name the model of an agent."""
    model = getattr(getattr(agent, "llm", None), "model", None)
    return model if isinstance(model, str) else None


def in_event_loop() -> bool:
    """Tell whether the caller runs in an event loop."""
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - documented for frameworks


def retrying(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``Agent._handle_execution_error``, which tries again from inside of the failed attempt.

    The failed attempt ends here, and the next one starts beside it.
    """

    @wraps(original)
    def handle(self: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _end_attempt(error)
        with attached(outer):
            return original(self, error, *args, **kwargs)

    return handle


def retrying_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for ``_handle_execution_error_async``."""

    @wraps(original)
    async def handle(self: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _end_attempt(error)
        with attached(outer):
            return await original(self, error, *args, **kwargs)

    return handle


def _end_attempt(error: BaseException) -> Context:
    attempt = otel_context.get_value(_AGENT)
    if not isinstance(attempt, AgentAttempt):
        return otel_context.get_current()
    attempt.call.end(error)
    return attempt.outer


def handing_off(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``BaseAgentTool._execute``, by which one agent gives work to another."""

    @wraps(original)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        with failures_counted("crewai.handoff"):
            _record_handoff(self, argument(args, kwargs, 0, "agent_name"))
        return original(self, *args, **kwargs)

    return execute


def _record_handoff(tool: Any, agent_name: str | None) -> None:
    if current_run() is None:
        return
    wanted = tool.sanitize_agent_name(agent_name or "")
    found = next((agent for agent in tool.agents if tool.sanitize_agent_name(agent.role) == wanted), None)
    operation = current_operation()
    if found is not None:
        record_handoff((operation.agent if operation is not None else None) or "", role_of(found))
