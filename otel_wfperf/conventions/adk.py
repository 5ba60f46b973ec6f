"""Google ADK: GenAI semantic conventions with words of its own, and what our instrumentation adds to the spans.

Read with google-adk 2.13.0, in both telemetry schemas. Its own words: ``invoke_node``, ``call_llm`` (a model call whose
child ``generate_content`` says the same again), ``execute_tool (merged)`` (a note about tools that ran at once, after
them) and ``compact_events``. Model calls finish with "stop" even when they ask for tools.
"""

from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import text
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Attributes, Operation, OperationKind, Span
from otel_wfperf.model.construction import changed

_SCOPE: Final = "gcp.vertex.agent"
_INVOCATION: Final = "invocation"
_CALL_LLM: Final = "call_llm"
_MERGED: Final = "(merged tools)"
_COMPACT: Final = "compact_events"
_SHARED: Final = Wfperf()


class Adk:
    """Google ADK: scope ``gcp.vertex.agent``."""

    name: ClassVar[str] = "adk"

    def recognises(self, span: Span) -> bool:
        """Tell whether the ADK wrote the span."""
        return span.scope == _SCOPE

    def operation(self, span: Span) -> Operation:
        """Say what a span of the ADK means."""
        attributes = span.attributes
        kind = _kind(span)
        name = _name(span, kind)
        is_workflow = kind is OperationKind.WORKFLOW
        return changed(
            _SHARED.operation(span),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=None if is_workflow else genai.agent_name(attributes),
            workflow=name if is_workflow else None,
            tokens=genai.tokens(attributes, kind),
            turn=span.span_id if kind is OperationKind.LLM else text(attributes, semconv.TURN_ID),
            handoff_from=text(attributes, semconv.HANDOFF_FROM),
            repeats=text(attributes, semconv.TOOL_NAME) == _MERGED,
        )


def _kind(span: Span) -> OperationKind:
    attributes = span.attributes
    operation = text(attributes, semconv.OPERATION_NAME)
    if operation is None:
        if span.name == _CALL_LLM:
            return OperationKind.LLM
        # Without the name that our instrumentation gives it, the run is better called what is in it.
        is_run = span.name == _INVOCATION and text(attributes, semconv.WORKFLOW_NAME) is not None
        return OperationKind.WORKFLOW if is_run else OperationKind.OTHER
    if operation == _COMPACT:
        return OperationKind.CONTEXT
    if text(attributes, semconv.HANDOFF_TO) is not None:
        return OperationKind.HANDOFF
    if text(attributes, semconv.TOOL_NAME) == _MERGED:
        return OperationKind.OTHER
    # A graph that is a node of another one is a step of it.
    return OperationKind.PHASE if _phase(attributes) is not None else genai.operation_kind(attributes)


def _name(span: Span, kind: OperationKind) -> str:
    match kind:
        case OperationKind.HANDOFF:
            return text(span.attributes, semconv.HANDOFF_TO) or span.name
        case OperationKind.CONTEXT:
            return "compact"
        case OperationKind.PHASE:
            return _phase(span.attributes) or genai.subject(span, kind)
        case _:
            return genai.subject(span, kind)


def _phase(attributes: Attributes) -> str | None:
    return text(attributes, semconv.PHASE_NAME)
