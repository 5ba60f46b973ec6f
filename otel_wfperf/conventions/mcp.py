"""Model Context Protocol: ``mcp.method.name``.

Read with the SDK's own spans (mcp 2): ``MCP send tools/call X`` of the client round ``tools/call X`` of the server.
Calling a tool is a tool call: where the agent's instrumentation has a span for it too, they are one by kind and name,
and the assembler keeps the outer. Source: semantic-conventions-genai, model/mcp/spans.yaml.
"""

from typing import ClassVar, Final

from otel_wfperf import semconv
from otel_wfperf.conventions import genai
from otel_wfperf.conventions.attributes import text
from otel_wfperf.conventions.fields import span_fields
from otel_wfperf.model import Attributes, Operation, OperationKind, Span

_METHOD: Final = "mcp.method.name"
_CALL_TOOL: Final = "tools/call"


class Mcp:
    """Requests and notifications of the Model Context Protocol."""

    name: ClassVar[str] = "mcp"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span is an MCP message."""
        return _METHOD in span.attributes

    def operation(self, span: Span) -> Operation:
        """Say what an MCP message means."""
        attributes = span.attributes
        method = text(attributes, _METHOD) or ""
        kind = OperationKind.TOOL if method == _CALL_TOOL else OperationKind.OTHER
        tool = _target(span, method)
        return Operation(
            **span_fields(span),
            **genai.genai_content(attributes, kind),
            kind=kind,
            name=tool if kind is OperationKind.TOOL and tool else f"mcp {method} {tool}".strip(),
            dialect=self.name,
            agent=text(attributes, semconv.AGENT_NAME),
            conversation=genai.conversation(attributes),
        )


def _target(span: Span, method: str) -> str:
    """Name the tool, prompt or resource; a span's name reads ``{method} {target}``, with or without words before."""
    named = _named(span.attributes)
    return named or span.name.partition(f"{method} ")[2] if method else named


def _named(attributes: Attributes) -> str:
    return text(attributes, semconv.TOOL_NAME, "gen_ai.prompt.name", "mcp.tool.name") or ""
