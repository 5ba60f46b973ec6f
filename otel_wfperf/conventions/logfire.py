"""Logfire: what its SDK writes about models, agents and graphs in a way of its own.

Read with logfire 5.4.0 and pydantic-graph 2.68.0:

* a streamed answer is two spans: the request, which ends with the first piece and knows no tokens, and a log
  ``streaming response from ...`` beside it, which ends with the last piece and knows how long it took. The log is the
  model call;
* the OpenAI Agents SDK is written in messages (``Agent run: {name!r}``) with the SDK's own field names;
* pydantic-graph: ``run graph X``, ``run node X``.

The user's own spans (scope ``logfire``) are left to the fallback, as any other. For each span that starts, of whatever
scope, Logfire can send a placeholder: see :func:`opened`.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import number, text, value_of
from otel_wfperf.conventions.encoded import json_map
from otel_wfperf.conventions.fields import ContentFields, SpanFields, content_fields, span_fields
from otel_wfperf.conventions.requests import asks_for_tools
from otel_wfperf.conventions.usage import usage_in
from otel_wfperf.model import Operation, OperationKind, Span, SpanKind, StatusCode, TokenUsage
from otel_wfperf.model.construction import changed

_TYPE: Final = "logfire.span_type"
_PENDING: Final = "pending_span"
_REAL_PARENT: Final = "logfire.pending_parent_id"
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TEMPLATE: Final = "logfire.msg_template"
_SCOPE: Final = "logfire"
_GRAPH_SCOPE: Final = "pydantic-graph"
_RUN_GRAPH: Final = "run graph "
_RUN_NODE: Final = "run node "
# The beginnings of the messages, and what is named in them.
_AGENTS_SDK: Final[Mapping[str, tuple[OperationKind, tuple[str, ...]]]] = {
    "OpenAI Agents trace": (OperationKind.WORKFLOW, ("name",)),
    "Agent run": (OperationKind.AGENT, ("name",)),
    "Function": (OperationKind.TOOL, ("name",)),
    "Chat completion with {gen_ai.request.model!r}": (OperationKind.LLM, ()),
    "Responses API": (OperationKind.LLM, ()),
    "Responses API with {gen_ai.request.model!r}": (OperationKind.LLM, ()),
    "Handoff": (OperationKind.HANDOFF, ("to_agent",)),
}
_AGENTS_SCOPE: Final = "logfire.openai_agents"


class Logfire:
    """Logfire's instrumentations of model clients, agents and graphs, and its logs."""

    name: ClassVar[str] = "logfire"

    def recognises(self, span: Span) -> bool:
        """Tell whether Logfire wrote the span in its own way."""
        scope = span.scope
        if scope in (_GRAPH_SCOPE, _AGENTS_SCOPE):
            return True
        if not scope.startswith(_SCOPE):
            return False
        return semconv.OPERATION_NAME in span.attributes or span.attributes.get(_TYPE) == "log"

    def operation(self, span: Span) -> Operation:
        """Say what a span of Logfire means."""
        attributes = span.attributes
        kind, name = _read(span)
        is_call = kind is OperationKind.LLM
        is_workflow = kind is OperationKind.WORKFLOW
        return Operation(
            **_fields(span, kind),
            **_content(span, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=name if kind is OperationKind.AGENT else text(attributes, "agent_name", semconv.AGENT_NAME),
            workflow=name if is_workflow else None,
            conversation=genai.conversation(attributes) or text(attributes, "group_id"),
            model=genai.model_name(attributes) if is_call or kind is OperationKind.EMBEDDING else None,
            tokens=_tokens(span, kind),
            turn=genai.turn(span, kind),
            temperature=number(attributes, semconv.REQUEST_TEMPERATURE),
            time_to_first_token_s=genai.first_token_s(span),
            handoff_from=text(attributes, "from_agent") if kind is OperationKind.HANDOFF else None,
        )


def is_placeholder(span: Span) -> bool:
    """Tell whether the span stands for one that has just started. Source: logfire/_internal/constants.py."""
    return span.attributes.get(_TYPE) == _PENDING


def opened(placeholder: Span) -> Span | None:
    """Return the span that a placeholder stands for, without an end; None when the placeholder does not say which.

    A placeholder has an id of its own, the real span as its parent, and the real parent as an attribute, which is
    all zeros for a root.
    """
    if placeholder.parent_id is None:
        return None
    parent = text(placeholder.attributes, _REAL_PARENT) or ""
    return changed(
        placeholder,
        span_id=placeholder.parent_id,
        parent_id=parent if _SPAN_ID.fullmatch(parent) else None,
        end_ns=0,
        attributes={name: value for name, value in placeholder.attributes.items() if name not in (_TYPE, _REAL_PARENT)},
    )


def _read(span: Span) -> tuple[OperationKind, str]:
    """Tell kind and subject."""
    attributes = span.attributes
    if span.scope == _GRAPH_SCOPE:
        if span.name.startswith(_RUN_NODE):
            return OperationKind.PHASE, text(attributes, "node_id") or span.name.removeprefix(_RUN_NODE)
        if span.name.startswith(_RUN_GRAPH):
            return OperationKind.WORKFLOW, span.name.removeprefix(_RUN_GRAPH)
        return OperationKind.OTHER, span.name
    if span.scope == _AGENTS_SCOPE:
        return _read_agents_sdk(span)
    if _is_start_of_stream(span):
        return OperationKind.OTHER, span.name
    kind = genai.operation_kind(attributes)
    return kind, genai.subject(span, kind)


def _read_agents_sdk(span: Span) -> tuple[OperationKind, str]:
    attributes = span.attributes
    template = text(attributes, _TEMPLATE) or span.name
    known = _AGENTS_SDK.get(template) or _AGENTS_SDK.get(template.partition(":")[0])
    if known is None:
        return OperationKind.OTHER, span.name
    kind, names = known
    return kind, text(attributes, *names) or genai.subject(span, kind)


def _is_start_of_stream(span: Span) -> bool:
    """Tell whether the span is the request of a streamed answer, whose log tells the rest."""
    attributes = span.attributes
    if span.kind is not SpanKind.CLIENT or span.status is StatusCode.ERROR or attributes.get(_TYPE) != "span":
        return False
    answered = semconv.RESPONSE_ID in attributes or semconv.OUTPUT_TOKENS in attributes or "response_data" in attributes
    return not answered and genai.operation_kind(attributes) is OperationKind.LLM


def _fields(span: Span, kind: OperationKind) -> SpanFields:
    fields = span_fields(span)
    attributes = span.attributes
    if kind is OperationKind.LLM:
        took_s = number(attributes, "duration") if attributes.get(_TYPE) == "log" else None
        if took_s is not None and 0 < took_s * 1e9 < span.end_ns:
            fields["start_ns"] = span.end_ns - int(took_s * 1e9)
        fields["requested"] = fields["requested"] or asks_for_tools(attributes.get("output"))
    return fields


def _tokens(span: Span, kind: OperationKind) -> TokenUsage | None:
    """Read the usage; the provider's own map has the parts that Logfire's attributes leave out."""
    plain = genai.tokens(span.attributes, kind)
    if kind is not OperationKind.LLM:
        return plain
    whole = usage_in(json_map(span.attributes, "gen_ai.usage.raw", "usage"))
    if plain is None or whole is None:
        return plain or whole
    return changed(
        plain,
        cache_read=plain.cache_read or min(whole.cache_read, plain.input),
        reasoning=plain.reasoning or min(whole.reasoning, plain.output),
    )


def _content(span: Span, kind: OperationKind) -> ContentFields:
    if span.scope == _AGENTS_SCOPE and kind in (OperationKind.LLM, OperationKind.TOOL):
        return content_fields(value_of(span.attributes, "input"), value_of(span.attributes, "output"))
    return genai.genai_content(span.attributes, kind)
