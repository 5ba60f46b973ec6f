"""Haystack's own spans, as a tracer for OpenTelemetry writes them: ``haystack.pipeline.run`` and so on.

Read in haystack-ai 3.4.1. Tags that are not text, a number or a truth value are written as JSON.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from otel_wfperf.conventions.attributes import text, value_of
from otel_wfperf.conventions.fields import content_fields, span_fields
from otel_wfperf.conventions.genai import token_usage
from otel_wfperf.conventions.messages import parsed
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_KINDS: Final[Mapping[str, OperationKind]] = {
    "haystack.pipeline.run": OperationKind.WORKFLOW,
    "haystack.component.run": OperationKind.PHASE,
    "haystack.agent.run": OperationKind.AGENT,
    "haystack.agent.step": OperationKind.OTHER,
    "haystack.agent.step.llm": OperationKind.LLM,
    "haystack.agent.step.tool": OperationKind.TOOL,
    "haystack.chat_generator.run": OperationKind.LLM,
    "haystack.agent.hook": OperationKind.OTHER,
    "haystack.agent.hook.human_in_the_loop.strategy": OperationKind.WAIT,
}
_COMPONENT_TYPE: Final = "haystack.component.type"
_INPUTS: Final = ("haystack.component.input", "haystack.agent.step.llm.input", "haystack.agent.step.tool.input")
_OUTPUTS: Final = ("haystack.component.output", "haystack.agent.step.llm.output", "haystack.agent.step.tool.output")


class Haystack:
    """Spans named ``haystack.*``."""

    name: ClassVar[str] = "haystack"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span is one of Haystack's."""
        return span.name in _KINDS

    def operation(self, span: Span) -> Operation:
        """Say what a span of Haystack means."""
        attributes = span.attributes
        kind = _kind(span)
        reply = _reply(attributes)
        model = reply.get("model") if isinstance(reply.get("model"), str) else None
        name = _subject(span, kind, model)
        fields = span_fields(span)
        if kind is OperationKind.TOOL and str(attributes.get("haystack.tool.error")).lower() == "true":
            fields["error"] = fields["error"] or "tool_error"
        return Operation(
            **fields,
            **content_fields(value_of(attributes, *_INPUTS), value_of(attributes, *_OUTPUTS)),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=name if kind is OperationKind.AGENT else None,
            workflow=name if kind is OperationKind.WORKFLOW else None,
            model=model if kind is OperationKind.LLM else None,
            tokens=_tokens(reply) if kind is OperationKind.LLM else None,
            turn=span.span_id if kind is OperationKind.LLM else None,
            depends_on=_senders(attributes) if span.name == "haystack.component.run" else None,
            wait_kind="human" if kind is OperationKind.WAIT else None,
        )


def _kind(span: Span) -> OperationKind:
    """Look the name up; a component that asks a model or searches is that."""
    component = text(span.attributes, _COMPONENT_TYPE) or ""
    if span.name == "haystack.component.run":
        if component.endswith("Generator") and _has_replies(span.attributes):
            return OperationKind.LLM
        if "Retriever" in component:
            return OperationKind.RETRIEVAL
    return _KINDS.get(span.name, OperationKind.OTHER)


def _has_replies(attributes: Attributes) -> bool:
    """Tell whether a component returns replies, as those that ask a model do; assumed where nothing is said."""
    spec = parsed(attributes.get("haystack.component.output_spec"))
    return not isinstance(spec, Mapping) or "replies" in spec


def _subject(span: Span, kind: OperationKind, model: str | None) -> str:
    attributes = span.attributes
    match kind:
        case OperationKind.WORKFLOW:
            metadata = parsed(attributes.get("haystack.pipeline.metadata"))
            name = metadata.get("name") if isinstance(metadata, Mapping) else None
            return name if isinstance(name, str) and name else "pipeline"
        case OperationKind.TOOL | OperationKind.WAIT:
            return text(attributes, "haystack.tool.name") or span.name
        case OperationKind.LLM:
            return model or text(attributes, _COMPONENT_TYPE) or span.name
        case OperationKind.AGENT:
            return text(attributes, "haystack.agent.name") or "Agent"
        case _:
            return text(attributes, "haystack.component.name", "haystack.agent.hook.name") or span.name


def _reply(attributes: Attributes) -> Mapping[str, Any]:
    """Return the meta of the first reply, where content is recorded: model, usage, finish reason."""
    output = parsed(value_of(attributes, *_OUTPUTS))
    replies = output.get("replies") if isinstance(output, Mapping) else None
    first = replies[0] if isinstance(replies, list | tuple) and replies else None
    meta = first.get("meta", first.get("_meta")) if isinstance(first, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def _tokens(reply: Mapping[str, Any]) -> TokenUsage | None:
    usage = reply.get("usage")
    if not isinstance(usage, Mapping):
        return None
    given = _count(usage, "prompt_tokens", "input_tokens")
    answered = _count(usage, "completion_tokens", "output_tokens")
    if given is None and answered is None:
        return None
    return token_usage(
        given=given or 0,
        answered=answered or 0,
        read=_count(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        written=0,
        reasoning=_count(usage.get("completion_tokens_details"), "reasoning_tokens") or 0,
    )


def _count(usage: object, *names: str) -> int | None:
    found = (usage.get(name) for name in names) if isinstance(usage, Mapping) else ()
    return next((value for value in found if type(value) is int and value >= 0), None)


def _senders(attributes: Attributes) -> tuple[str, ...] | None:
    """Return the components that are connected before this one. What of them ran is not known from one span."""
    spec = parsed(attributes.get("haystack.component.input_spec"))
    if not isinstance(spec, Mapping):
        return None
    sockets = [socket for socket in spec.values() if isinstance(socket, Mapping)]
    senders = {str(each) for socket in sockets if isinstance(socket.get("senders"), list) for each in socket["senders"]}
    return tuple(sorted(senders))
