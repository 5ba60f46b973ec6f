"""Claude Code and the Claude Agent SDK: ``claude_code.*`` spans.

Source: Claude Code documentation, "Monitoring", section "Traces (beta)"; the mapping of mlflow-tracing 3.17.2
(``otel/translation/claude_code.py``). Not checked with a recording: the program is not open.
``span.type`` repeats the span's name, in some versions without its prefix.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import count, number, text, value_of
from otel_wfperf.conventions.fields import ContentFields, SpanFields, content_fields, kind_of_error, span_fields
from otel_wfperf.conventions.requests import may_ask_for_tools
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, TokenUsage

_PREFIX: Final = "claude_code."
_REDACTED: Final = "<REDACTED>"
_KINDS: Final[Mapping[str, OperationKind]] = {
    "interaction": OperationKind.AGENT,
    "llm_request": OperationKind.LLM,
    "tool": OperationKind.TOOL,
    "tool.blocked_on_user": OperationKind.WAIT,
}
_OTHERS: Final = frozenset({"tool.execution", "hook"})
_MAIN_AGENT: Final = "claude_code"
# Tools that run an agent of their own; its spans are below theirs.
_DELEGATES: Final = frozenset({"Agent", "Task"})
# What is recorded of input and result, where the user asked for it.
_CONTENT: Final[Mapping[OperationKind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    OperationKind.AGENT: (("user_prompt", "new_context"), ()),
    OperationKind.LLM: (("new_context",), ("response.model_output",)),
    OperationKind.TOOL: (("tool_input", "full_command", "file_path", "skill_name"), ("new_context",)),
}


class ClaudeCode:
    """Claude Code: ``span.type`` or span names that begin with ``claude_code.``."""

    name: ClassVar[str] = "claude_code"

    def recognises(self, span: Span) -> bool:
        """Tell whether Claude Code wrote the span."""
        if span.name.startswith(_PREFIX):
            return True
        written = span.attributes.get("span.type")
        return isinstance(written, str) and written.startswith(_PREFIX)

    def operation(self, span: Span) -> Operation:
        """Say what a span of Claude Code means."""
        attributes = span.attributes
        written = _written(span)
        kind = _operation_kind(attributes, written)
        name = _subject(span, kind, written)
        is_call = kind is OperationKind.LLM
        return Operation(
            **_fields(span, kind),
            **_content(attributes, kind),
            kind=kind,
            name=name,
            dialect=self.name,
            agent=name if kind is OperationKind.AGENT else _sub_agent(attributes),
            workflow=text(attributes, "workflow.name"),
            conversation=text(attributes, "session.id"),
            model=_model(attributes) if is_call else None,
            tokens=_tokens(attributes) if is_call else None,
            turn=_turn(span) if is_call else None,
            attempt=(count(attributes, "attempt") or None) if is_call else None,
            time_to_first_token_s=_seconds(attributes, "ttft_ms") if is_call else None,
            wait_kind="human" if kind is OperationKind.WAIT else None,
        )


def _written(span: Span) -> str:
    name = span.name if span.name.startswith(_PREFIX) else text(span.attributes, "span.type") or ""
    return name.removeprefix(_PREFIX)


def _operation_kind(attributes: Attributes, written: str) -> OperationKind:
    kind = _KINDS.get(written, OperationKind.OTHER)
    delegates = text(attributes, "subagent_type") is not None or text(attributes, "tool_name") in _DELEGATES
    return OperationKind.AGENT if kind is OperationKind.TOOL and delegates else kind


def _subject(span: Span, kind: OperationKind, written: str) -> str:
    attributes = span.attributes
    if kind is OperationKind.LLM:
        return _model(attributes) or span.name
    if written == "tool":
        return _shown(attributes, "subagent_type", "tool_name") or span.name
    if kind is OperationKind.AGENT:
        return _MAIN_AGENT
    return "permission" if kind is OperationKind.WAIT else span.name


def _shown(attributes: Attributes, *names: str) -> str | None:
    return next((value for name in names if (value := text(attributes, name)) not in (None, _REDACTED)), None)


def _model(attributes: Attributes) -> str | None:
    return text(attributes, "model") or genai.model_name(attributes)


def _sub_agent(attributes: Attributes) -> str | None:
    """Name the sub-agent that asks: its id is new in every run, so its kind stands for it."""
    if text(attributes, "agent_id") is None:
        return None
    return (_shown(attributes, "query_source") or "").rpartition(":")[2] or None


def _fields(span: Span, kind: OperationKind) -> SpanFields:
    fields = span_fields(span)
    attributes = span.attributes
    if attributes.get("success") is False and fields["error"] is None:
        error = _shown(attributes, "error") or str(count(attributes, "status_code") or "error")
        fields["error"] = kind_of_error(error.strip())
    if kind is OperationKind.LLM:
        fields["requested"] = attributes.get("response.has_tool_call") is True or fields["requested"]
    elif kind in (OperationKind.TOOL, OperationKind.AGENT):
        fields["requested"] = "tool_use_id" in attributes or fields["requested"]
    return fields


def _tokens(attributes: Attributes) -> TokenUsage | None:
    """Read the usage as the API gives it: what was cached is counted beside the input."""
    given, answered = count(attributes, "input_tokens"), count(attributes, "output_tokens")
    if given is None and answered is None:
        return genai.tokens(attributes, OperationKind.LLM)
    read = count(attributes, "cache_read_tokens") or 0
    written = count(attributes, "cache_creation_tokens") or 0
    return TokenUsage(input=(given or 0) + read + written, output=answered or 0, cache_read=read, cache_write=written)


def _turn(span: Span) -> str | None:
    attributes = span.attributes
    asks = attributes.get("response.has_tool_call")
    if not isinstance(asks, bool):
        reason = text(attributes, "stop_reason")
        asks = may_ask_for_tools((reason,) if reason else None)
    return span.span_id if asks else None


def _seconds(attributes: Attributes, name: str) -> float | None:
    milliseconds = number(attributes, name)
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000


def _content(attributes: Attributes, kind: OperationKind) -> ContentFields:
    given, result = _CONTENT.get(kind, ((), ()))
    return content_fields(_recorded(attributes, given), _recorded(attributes, result))


def _recorded(attributes: Attributes, names: tuple[str, ...]) -> object:
    return next((value for name in names if (value := value_of(attributes, name)) not in (None, _REDACTED)), None)
