"""The trace processor that turns the SDK's traces and spans into operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agents.tracing.processor_interface import TracingProcessor

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, start_call
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.openai_agents_parts.answers import answer_of, prompt_of, usage_of
from otel_wfperf.instrumentation.integrations.openai_agents_parts.runs import Execution, Executions, Node
from otel_wfperf.instrumentation.operations import (
    record_handoff,
    start_agent,
    start_llm,
    start_phase,
    start_tool,
    start_workflow,
)

# What the SDK calls a run that the user gave no name (agents.run_config.DEFAULT_WORKFLOW_NAME).
DEFAULT_NAME: Final = "Agent workflow"
_ASKED_FOR_TOOLS: Final = ("tool_calls",)


class WorkflowProcessor(TracingProcessor):
    """Records workflows, phases, agents, tools and model calls.

    * A trace is a workflow; within an operation of somebody else, one that the SDK began by itself is nothing.
    * A run of an agent (``task``) directly below a workflow is a phase, named as the user named the run, else like
      its first agent; a run that is all of its trace is nothing of its own.
    * A turn is nothing of its own: it binds tools to the answer that asked for them, and attempts to each other.
    """

    def __init__(self, is_recorded_elsewhere: Callable[[], bool]) -> None:
        """Record nothing yet.

        Args:
            is_recorded_elsewhere: Asked at each start of a trace; True = leave it to another instrumentation.
        """
        self.executions = Executions()
        self._is_recorded_elsewhere = is_recorded_elsewhere
        self._is_stopped = False

    @never_raises("openai_agents.on_trace_start")
    def on_trace_start(self, trace: Any) -> None:
        """Start a workflow."""
        if not self._is_stopped:
            self.start(trace.trace_id, str(trace.name), getattr(trace, "group_id", None))

    @never_raises("openai_agents.on_trace_end")
    def on_trace_end(self, trace: Any) -> None:
        """End a workflow."""
        self.end(trace.trace_id)

    @never_raises("openai_agents.on_span_start")
    def on_span_start(self, span: Any) -> None:
        """Start what the span is, if it is an operation."""
        if self._is_stopped:
            return
        execution = self.executions.find(span.trace_id) or self._start_unannounced(span)
        if execution.is_ignored:
            # Remembered all the same: a trace that was not announced lasts as long as its spans.
            self.executions.add_span(span.span_id, Node(span.span_data.type, execution, None))
            return
        node = Node(span.span_data.type, execution, execution.spans.get(span.parent_id))
        self.executions.add_span(span.span_id, node)
        start = _STARTS.get(node.type)
        if start is not None:
            start(node, span.span_data)

    @never_raises("openai_agents.on_span_end")
    def on_span_end(self, span: Any) -> None:
        """End what the span is."""
        execution = self.executions.find(span.trace_id)
        node = None if execution is None else execution.spans.pop(span.span_id, None)
        if execution is None or node is None:
            return
        try:
            if not execution.is_ignored:
                self._end(node, span)
        finally:
            self.executions.settle(execution)

    def start(self, trace_id: str, name: str, group: str | None, *, was_announced: bool = True) -> Execution:
        """Start a trace."""
        execution = self.executions.add(Execution(trace_id, name, group))
        execution.was_announced = was_announced
        execution.is_ignored = self._is_recorded_elsewhere()
        if not execution.is_ignored and (execution.anchor is None or name != DEFAULT_NAME):
            execution.own(start_workflow(name, conversation=group))
        return execution

    def end(self, trace_id: str) -> None:
        """End a trace."""
        execution = self.executions.find(trace_id)
        if execution is None:
            return
        execution.has_ended = True
        if execution.call is not None:
            execution.call.end(error_type=execution.raised.type_at_end(failed=False, otherwise=""))
        self.executions.settle(execution)

    def node_of(self, span: Any) -> Node | None:
        """Return what is known of an open span; None also for spans that the SDK does not record."""
        execution = self.executions.find(span.trace_id)
        return None if execution is None or execution.is_ignored else execution.spans.get(span.span_id)

    def stop(self) -> None:
        """Record nothing any more."""
        self._is_stopped = True
        self.executions.clear()

    def shutdown(self, timeout: float | None = None) -> None:
        """Do nothing: spans are exported by OpenTelemetry."""

    def force_flush(self) -> None:
        """Do nothing, as above."""

    def _start_unannounced(self, span: Any) -> Execution:
        """Start a trace that the SDK never announced: it ended already, or is attached to again."""
        execution = Execution(span.trace_id, DEFAULT_NAME, None)
        if execution.anchor is not None:
            execution.was_announced = False
            execution.is_ignored = self._is_recorded_elsewhere()
            return self.executions.add(execution)
        return self.start(span.trace_id, DEFAULT_NAME, None, was_announced=False)

    def _end(self, node: Node, span: Any) -> None:
        error_type = node.raised.type_at_end(failed=span.error is not None, otherwise=f"{node.type}_error")
        attributes: dict[str, Any] = {}
        end = _ENDS.get(node.type)
        if end is not None:
            # Whatever an unusual answer does to the reading of it, the operation has ended.
            with failures_counted(f"openai_agents.{node.type}"):
                attributes = end(node, span.span_data, error_type)
        if node.call is not None:
            node.call.end(error_type=error_type, attributes=attributes)


def _start_task(node: Node, data: Any) -> None:
    execution = node.execution
    if node.anchor is None or node.anchor.kind != "workflow":
        return
    is_first, execution.has_run = not execution.has_run, True
    if execution.call is not None and data.name == execution.name and is_first:
        return
    if data.name in (DEFAULT_NAME, execution.name):
        node.is_phase_to_be = True
    else:
        node.own(start_phase(data.name, context=node.context))


def _start_agent(node: Node, data: Any) -> None:
    run = node.parent
    if run is not None and run.is_phase_to_be:
        run.is_phase_to_be = False
        run.own(start_phase(data.name, context=run.context, start_ns=run.start_ns))
        node.anchor, node.context = run.anchor, run.context
    node.own(start_agent(data.name, conversation=node.execution.group, context=node.context))


def _start_generation(node: Node, data: Any) -> None:
    model, provider = _next_model(node)
    settings: Mapping[str, Any] = data.model_config or {}
    _start_model(node, data.model or model, provider, settings.get("temperature"))


def _start_response(node: Node, _: Any) -> None:
    model, provider = _next_model(node)
    _start_model(node, model, provider or "openai", None)


def _start_model(node: Node, model: str | None, provider: str | None, temperature: float | None) -> None:
    above = node.parent
    agent = node.anchor.agent if node.anchor is not None else None
    call = start_llm(
        model or "unknown",
        provider=provider,
        agent=agent,
        temperature=temperature,
        context=node.context,
    )
    if above is not None:
        above.llm = node
        if above.failures:
            call.record_attempt(above.failures + 1)
    node.own(call)


def _next_model(node: Node) -> tuple[str | None, str | None]:
    above = node.parent
    while above is not None:
        if above.model is not None:
            return above.model
        above = above.parent
    return None, None


def _start_function(node: Node, data: Any) -> None:
    agent = node.anchor.agent if node.anchor is not None else None
    turn = node.parent.turn if node.parent is not None else None
    node.own(start_tool(data.name, agent=agent, turn=turn, context=node.context))


def _start_guardrail(node: Node, data: Any) -> None:
    node.own(start_phase(data.name, context=node.context))


def _start_custom(node: Node, data: Any) -> None:
    is_step = node.anchor is not None and node.anchor.kind in ("workflow", "phase")
    if is_step and not data.name.startswith("sandbox."):
        node.own(start_phase(data.name, context=node.context))
    else:
        node.own(_start_other(node, data.name))


def _start_listing(node: Node, data: Any) -> None:
    node.own(_start_other(node, f"tools/list {data.server or ''}".strip()))


def _start_other(node: Node, name: str) -> Call:
    return start_call("other", name, span_name=name, attributes={}, context=node.context)


def _start_voice(node: Node, data: Any) -> None:
    node.own(start_llm(data.model or "unknown", operation=node.type, context=node.context))


def _end_model(node: Node, data: Any, error_type: str | None) -> dict[str, Any]:
    above, execution = node.parent, node.execution
    attributes: dict[str, Any] = usage_of(data)
    if node.call is not None and node.call.span.is_recording():
        messages = prompt_of(data)
        if messages:
            attributes |= execution.prompts.attributes(node.anchor.agent or "" if node.anchor else "", messages)
        attributes |= answer_of(data, execution.reader)
        if node.first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (node.first_token_ns - node.start_ns) / 1e9
        turn = str(attributes.get(semconv.RESPONSE_ID) or f"{node.call.span.get_span_context().span_id:016x}")
        if above is not None:
            above.failures = 0 if error_type is None else above.failures + 1
            above.turn = turn
        if attributes.get(semconv.FINISH_REASONS) == _ASKED_FOR_TOOLS:
            attributes[semconv.TURN_ID] = turn
        _rename(node.call, attributes)
    return attributes


def _rename(call: Call, attributes: dict[str, Any]) -> None:
    """Give a model call whose model was not known the name of the one that answered."""
    model = attributes.get(semconv.RESPONSE_MODEL)
    if model is not None and call.name == "unknown":
        call.name = model
        call.span.update_name(f"{semconv.CHAT} {model}")
        attributes[semconv.REQUEST_MODEL] = model


def _end_function(node: Node, data: Any, _: str | None) -> dict[str, Any]:
    if node.call is None or not node.call.span.is_recording():
        return {}
    if node.is_put_off:
        return _put_off(node.call, data.name)
    attributes: dict[str, Any] = {}
    reader = node.execution.reader
    if data.input is not None:
        attributes |= reader.input_attributes(data.input)
    if data.output is not None:
        attributes |= reader.output_attributes(data.output)
    return attributes


def _put_off(call: Call, tool: str) -> dict[str, Any]:
    """Make a tool that waits for a person no call of it: the SDK begins it again once it may run."""
    call.kind, call.name = "other", f"approval {tool}"
    call.span.update_name(call.name)
    return {semconv.SPAN_KIND: call.kind, semconv.OPERATION_NAME: "request_approval"}


def _end_handoff(node: Node, data: Any, _: str | None) -> dict[str, Any]:
    if data.from_agent and data.to_agent:
        record_handoff(data.from_agent, data.to_agent, context=node.context, start_ns=node.start_ns)
    return {}


_STARTS: Final[Mapping[str, Callable[[Node, Any], None]]] = {
    "task": _start_task,
    "agent": _start_agent,
    "generation": _start_generation,
    "response": _start_response,
    "function": _start_function,
    "guardrail": _start_guardrail,
    "custom": _start_custom,
    "mcp_tools": _start_listing,
    "transcription": _start_voice,
    "speech": _start_voice,
}
_ENDS: Final[Mapping[str, Callable[[Node, Any, str | None], dict[str, Any]]]] = {
    "generation": _end_model,
    "response": _end_model,
    "function": _end_function,
    "handoff": _end_handoff,
}
