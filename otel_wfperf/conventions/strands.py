"""Strands: GenAI semantic conventions with words of its own, and what our instrumentation adds to the spans.

Read with strands-agents 1.62.0, in the older spelling, which is the default, and in the latest. Its own: the delay of
the first token in milliseconds; content and finish reasons in events; usage of an agent that adds up over all runs of
the same object, which therefore says nothing about one run; the text of a failed tool as the status.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, texts
from otel_wfperf.conventions.fields import ContentFields, content_fields
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.conventions.requests import may_ask_for_tools
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Attributes, AttributeValue, Operation, OperationKind, Span
from otel_wfperf.model.construction import changed

_SCOPE: Final = "strands.telemetry.tracer"
_RUNS: Final[Mapping[str, str]] = {"invoke_graph": "graph", "invoke_swarm": "swarm"}
_FIRST_TOKEN_MS: Final = "gen_ai.server.time_to_first_token"
_CHOICE: Final = "gen_ai.choice"
_DETAILS: Final = "gen_ai.client.inference.operation.details"
_SPEAKERS: Final[Mapping[str, str]] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_REDACTED: Final = "[REDACTED]"
_TALKING: Final = frozenset({OperationKind.LLM, OperationKind.TOOL, OperationKind.AGENT, OperationKind.WORKFLOW})
_SHARED: Final = Wfperf()


class Strands:
    """Strands: scope ``strands.telemetry.tracer``."""

    name: ClassVar[str] = "strands"

    def recognises(self, span: Span) -> bool:
        """Tell whether Strands wrote the span."""
        return span.scope == _SCOPE

    def operation(self, span: Span) -> Operation:
        """Say what a span of Strands means."""
        span = _without_redacted(span)
        attributes = span.attributes
        shared = _SHARED.operation(span)
        kind = shared.kind if text(attributes, semconv.HANDOFF_TO) is None else OperationKind.HANDOFF
        name = _name(span, kind, shared.name)
        is_workflow = kind is OperationKind.WORKFLOW
        is_captured = shared.input_hash is not None or shared.output_hash is not None
        return changed(
            shared,
            **ContentFields() if is_captured else _content(span, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=None if is_workflow else shared.agent,
            workflow=name if is_workflow else None,
            tokens=shared.tokens if kind is OperationKind.LLM else None,
            turn=_turn(span, kind),
            time_to_first_token_s=_first_token_s(attributes),
            handoff_from=text(attributes, semconv.HANDOFF_FROM),
            error=_error(span, shared),
        )


def _without_redacted(span: Span) -> Span:
    """Leave out what Strands, asked for it, wrote in the place of content: it is equal everywhere."""
    if _REDACTED not in span.attributes.values():
        return span
    return changed(span, attributes={name: value for name, value in span.attributes.items() if value != _REDACTED})


def _name(span: Span, kind: OperationKind, shared: str) -> str:
    if kind is OperationKind.HANDOFF:
        return text(span.attributes, semconv.HANDOFF_TO) or shared
    if kind is OperationKind.WORKFLOW:
        return text(span.attributes, semconv.WORKFLOW_NAME) or _RUNS.get(span.name, shared)
    return shared


def _turn(span: Span, kind: OperationKind) -> str | None:
    if kind is not OperationKind.LLM:
        return None
    reasons = texts(span.attributes, semconv.FINISH_REASONS)
    if reasons is None:
        told = (text(event.attributes, "finish_reason") for event in span.events if event.name == _CHOICE)
        reasons = tuple(reason for reason in told if reason is not None)
    return span.span_id if may_ask_for_tools(reasons) else None


def _first_token_s(attributes: Attributes) -> float | None:
    delay_ms = number(attributes, _FIRST_TOKEN_MS)
    return number(attributes, semconv.TIME_TO_FIRST_CHUNK) if delay_ms is None else delay_ms / 1000


def _error(span: Span, shared: Operation) -> str | None:
    """Name the kind of the failure; the status of a failed tool is what the tool said."""
    types = (text(event.attributes, "exception.type") for event in span.events)
    is_named = text(span.attributes, semconv.ERROR_TYPE) is not None or any(types)
    return (
        "tool_error"
        if shared.error is not None and shared.kind is OperationKind.TOOL and not is_named
        else shared.error
    )


def _content(span: Span, kind: OperationKind) -> ContentFields:
    """Read the content in the span's events, where the user asked Strands to capture it."""
    if kind not in _TALKING:
        return ContentFields()
    details: dict[str, AttributeValue] = {}
    given: list[object] = []
    result: object = None
    for event in span.events:
        if event.name == _DETAILS:
            details.update((name, value) for name, value in event.attributes.items() if value != _REDACTED)
        elif event.name in _SPEAKERS and (content := _said(event.attributes, "content")) is not None:
            given.append({"role": _SPEAKERS[event.name], "content": content})
        elif event.name == _CHOICE:
            result = _said(event.attributes, "message")
    if details:
        return genai.genai_content(details, kind)
    return content_fields(tuple(given) or None, result)


def _said(attributes: Attributes, name: str) -> object:
    value = text(attributes, name)
    return None if value is None or value == _REDACTED else parsed(value)
