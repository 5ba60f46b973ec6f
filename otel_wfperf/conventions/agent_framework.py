"""Microsoft Agent Framework's own spans: GenAI attributes for agents, models and tools, its own for workflows.

Read with agent-framework-core 1.23.0. A workflow goes in supersteps: ``executor.process`` is one executor handling one
message, and links to each ``message.send`` that it was given; ``edge_group.process`` finds out where a message goes.
``workflow.build`` is a trace of its own, and no run. Attributes of ours on these spans are read as on our own.
"""

from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import text
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Operation, OperationKind, Span, SpanKind
from otel_wfperf.model.construction import changed

SCOPE: Final = "agent_framework"
_WFPERF: Final = Wfperf()
_UNKNOWN: Final = "unknown"
_NAMELESS: Final = "agent"
_WORKFLOW: Final = "workflow.run"
_BUILD: Final = "workflow.build"
_EXECUTOR: Final = "executor.process"
_EDGES: Final = "edge_group.process"
_SENT: Final = "message.send"


class AgentFramework:
    """Spans that agent-framework-core writes, those of the MCP protocol excepted."""

    name: ClassVar[str] = "agent_framework"

    def recognises(self, span: Span) -> bool:
        """Tell whether Agent Framework wrote the span."""
        return span.scope == SCOPE and text(span.attributes, "mcp.method.name") is None

    def operation(self, span: Span) -> Operation:
        """Say what a span of Agent Framework means."""
        operation = changed(_WFPERF.operation(span), dialect=self.name)
        if text(span.attributes, semconv.OPERATION_NAME) is not None:
            return _without_unknown(operation, span)
        step = span.name.partition(" ")[0]
        if step == _WORKFLOW:
            name = text(span.attributes, "workflow.name") or "workflow"
            return changed(operation, kind=OperationKind.WORKFLOW, name=name, workflow=name)
        if step == _EXECUTOR:
            name = text(span.attributes, "executor.id") or span.name.removeprefix(_EXECUTOR).strip() or _EXECUTOR
            return changed(operation, kind=OperationKind.PHASE, name=name)
        if step == _EDGES:
            # Its span says internal, but it is a step of a message's way like the sending of it.
            return changed(operation, kind=OperationKind.OTHER, name=span.name, span_kind=SpanKind.CONSUMER)
        kind = OperationKind.OTHER
        name = f"{step} {text(span.attributes, 'message.type') or ''}".strip() if step == _SENT else span.name
        return changed(operation, kind=kind, name=name, setup=step == _BUILD)


def _without_unknown(operation: Operation, span: Span) -> Operation:
    """Leave out what stands for nothing: "unknown" for the id of a tool call or for a model, an id for a name."""
    attributes = span.attributes
    if text(attributes, semconv.TOOL_CALL_ID) == _UNKNOWN:
        operation = changed(operation, requested=False)
    if operation.model == _UNKNOWN:
        answered = text(attributes, semconv.RESPONSE_MODEL)
        operation = changed(operation, model=answered)
        if operation.kind is OperationKind.LLM:
            operation = changed(operation, name=answered or span.name)
    if operation.agent is not None and operation.agent == text(attributes, "gen_ai.agent.id"):
        # Agents without a name are given a new id each time that they are made.
        operation = changed(operation, agent=None)
        if operation.kind is OperationKind.AGENT:
            operation = changed(operation, name=_NAMELESS, agent=_NAMELESS)
    return operation
