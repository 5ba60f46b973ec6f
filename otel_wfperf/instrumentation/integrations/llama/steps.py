"""Entering runs and steps of LlamaIndex workflows, and what their results say.

The steps of an agent are its own machinery: only its tool calls and, where several agents share a workflow, its turns
become operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from workflows.runtime.types.results import StepWorkerStateContextVar

from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.integrations.llama.runs import RunState, content_of, events_of
from otel_wfperf.instrumentation.operations import (
    record_handoff,
    start_agent,
    start_phase,
    start_tool,
    start_workflow,
)
from otel_wfperf.instrumentation.others import is_recorded_elsewhere

_OTHERS: Final = (
    "openinference.instrumentation.llama_index",
    "opentelemetry.instrumentation.llamaindex",
    "opentelemetry.instrumentation.genai.llama_index",
)
# Steps of llama-index-core's agents (agent/workflow/base_agent.py, multi_agent_workflow.py).
_TURN: Final = "run_agent_step"
_TOOL: Final = "call_tool"
_HANDOFF: Final = "handoff"


class Entered:
    """One span of the dispatcher.

    Attributes:
        run: The run that it is part of; None outside of workflows.
        call: Its operation; None = it has none of its own.
        token: Takes back what was attached for it.
        step: Name and number of the step that it is a call of.
        events: What the step was given.
        model: A model call that one of its events began.
        first_token_ns: When the first token came (nanoseconds since the Unix epoch); 0 = not yet.
        stream: Keeps an eye on the stream of the answer.
    """

    __slots__ = ("call", "events", "first_token_ns", "model", "model_start_ns", "run", "step", "stream", "token")

    def __init__(self, run: RunState | None) -> None:
        """Enter below a run."""
        self.run = run
        self.call: Call | None = None
        self.token: Token[Context] | None = None
        self.step: tuple[str, int] | None = None
        self.events: list[object] = []
        self.model: Call | None = None
        self.model_start_ns = 0
        self.first_token_ns = 0
        self.stream: object = None

    def attach(self, call: Call) -> None:
        """Make an operation current until the span is left."""
        if self.token is None:
            self.token = otel_context.attach(call.context)

    def leave(self) -> None:
        """Take back :meth:`attach`."""
        token, self.token = self.token, None
        if token is not None:
            detach(token)


def enter_run(workflow: Any) -> Entered:
    """Start a run: of an agent if the workflow is one, else of a workflow."""
    agent = _agent_name(workflow)
    run = RunState(workflow, agent, is_recording=is_recorded())
    entered = Entered(run)
    if not run.is_recording:
        return entered
    entered.call = start_workflow(_workflow_name(workflow)) if agent is None else start_agent(agent)
    entered.attach(entered.call)
    return entered


def enter_step(entered: Entered, parent: Entered, step: str, arguments: Mapping[str, object]) -> None:
    """Start a call of a step: a phase, or what an agent does in it."""
    run = entered.run
    if run is None:
        return
    entered.events = events_of(arguments)
    entered.step = step, run.started(step)
    if not _is_agents_machinery(run.workflow):
        _enter_phase(entered, run, step, parent)
    elif step == _TOOL:
        _enter_tool(entered, run, entered.events)
    elif step == _TURN and _agent_name(run.workflow) is None:
        run.agent = str(getattr(entered.events[0], "current_agent_name", "") or "agent") if entered.events else None
        entered.call = start_agent(run.agent or "agent")
    if entered.call is not None:
        entered.attach(entered.call)


def _enter_phase(entered: Entered, run: RunState, step: str, parent: Entered) -> None:
    worker = StepWorkerStateContextVar.get(None)
    attempt = worker.retry.retry_number + 1 if worker is not None else 1
    context = parent.call.context if parent.call is not None else otel_context.get_current()
    run.record_wait(step, entered.events, attempt=attempt, context=context)
    origins = run.origins(entered.events)
    groups = {origin.group for origin in origins or ()}
    entered.call = start_phase(
        step,
        depends_on=sorted({origin.step for origin in origins}) if origins else None,
        group=groups.pop() if len(groups) == 1 else None,
        attempt=attempt,
    )
    if entered.call.span.is_recording():
        given = [content_of(event) for event in entered.events]
        entered.call.span.set_attributes(run.content.input_attributes(given))


def _enter_tool(entered: Entered, run: RunState, events: list[object]) -> None:
    event: Any = events[0] if events else None
    name, call_id = str(getattr(event, "tool_name", "tool")), getattr(event, "tool_id", None)
    arguments = getattr(event, "tool_kwargs", None) or {}
    target = arguments.get("to_agent") if name == _HANDOFF and isinstance(arguments, Mapping) else None
    if target is not None:
        record_handoff(run.agent or "", str(target))
        return
    entered.call = start_tool(name, agent=run.agent, call_id=call_id, turn=run.turns.pop(str(call_id), None))
    if entered.call.span.is_recording():
        entered.call.span.set_attributes(run.content.input_attributes(arguments))


def result_attributes(entered: Entered, result: Any) -> dict[str, Any]:
    """Describe the result of a step or tool as span attributes."""
    if entered.call is None or entered.run is None or result is None or not entered.call.span.is_recording():
        return {}
    if entered.call.kind == "tool":
        return entered.run.content.output_attributes(getattr(getattr(result, "tool_output", None), "content", None))
    if entered.call.kind == "phase":
        events = result if isinstance(result, list) else [result]
        return entered.run.content.output_attributes([content_of(each) for each in events if hasattr(each, "__dict__")])
    return {}


def tool_error(result: Any) -> str | None:
    """Name the error of a tool that an agent turned into an answer for the model."""
    output = getattr(result, "tool_output", None)
    if getattr(output, "is_error", None) is not True:
        return None
    error = getattr(output, "exception", None)
    return type(error).__qualname__ if error is not None else "tool_error"


def is_recorded() -> bool:
    """Tell whether runs are recorded by us."""
    return not is_recorded_elsewhere("LlamaIndex", *_OTHERS)


def _workflow_name(workflow: object) -> str:
    """Return the name that the user gave, else that of the class, without its module."""
    kind, given = type(workflow), getattr(workflow, "workflow_name", None)
    is_default = not given or given == f"{kind.__module__}.{kind.__qualname__}"
    return kind.__name__ if is_default else str(given)


def step_name(span_id: str) -> str:
    """Read the step from ``{qualified name}-{UUID}``."""
    return span_id[:-37].rpartition(".")[2]


def _is_agents_machinery(workflow: object) -> bool:
    return any(each.__module__.startswith("llama_index.core.agent.workflow") for each in type(workflow).__mro__)


def _agent_name(workflow: object) -> str | None:
    """Name the agent that a workflow is; None = it is none, or has several."""
    is_agent = _is_agents_machinery(workflow) and hasattr(workflow, "take_step")
    return str(getattr(workflow, "name", None) or type(workflow).__name__) if is_agent else None
