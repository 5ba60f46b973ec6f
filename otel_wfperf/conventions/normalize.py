"""Which dialect a span is written in."""

from typing import Final

from otel_wfperf.conventions.adk import Adk
from otel_wfperf.conventions.agent_framework import AgentFramework
from otel_wfperf.conventions.autogen import AutoGen
from otel_wfperf.conventions.claude_code import ClaudeCode
from otel_wfperf.conventions.convention import Convention
from otel_wfperf.conventions.figures import with_figures
from otel_wfperf.conventions.genai import GenAI
from otel_wfperf.conventions.generic import Generic
from otel_wfperf.conventions.haystack import Haystack
from otel_wfperf.conventions.langfuse import Langfuse
from otel_wfperf.conventions.langsmith import LangSmith
from otel_wfperf.conventions.leaves import Leaves
from otel_wfperf.conventions.logfire import Logfire, is_placeholder, opened
from otel_wfperf.conventions.mcp import Mcp
from otel_wfperf.conventions.mlflow import MLflow
from otel_wfperf.conventions.openinference import OpenInference
from otel_wfperf.conventions.openllmetry import OpenLLMetry
from otel_wfperf.conventions.pydantic_ai import PydanticAI
from otel_wfperf.conventions.span_names import SpanNames
from otel_wfperf.conventions.strands import Strands
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Operation, Span
from otel_wfperf.semconv import ANNOTATION_SCOPE

# The first that recognises a span reads it.
# * Our own kind comes before everything.
# * Frameworks that write their own spans are known by their scopes. They come before the vendors whose processors put
#   a kind on such spans: what the framework wrote stays, and says more.
# * A vendor's kind comes before gen_ai.operation.name: OpenLLMetry writes invoke_agent on CrewAI's crew, task and agent
#   spans alike, LangSmith calls retrievers embeddings. MCP's tool calls have both.
# * Names come after attributes; leaves after everything that is about agents, as those may be HTTP requests too.
# * Generic recognises everything and stays last.
CONVENTIONS: Final[tuple[Convention, ...]] = (
    Wfperf(),
    Adk(),
    AgentFramework(),
    AutoGen(),
    PydanticAI(),
    Strands(),
    Haystack(),
    OpenLLMetry(),
    OpenInference(),
    LangSmith(),
    Langfuse(),
    MLflow(),
    ClaudeCode(),
    Logfire(),
    Mcp(),
    GenAI(),
    SpanNames(),
    Leaves(),
    Generic(),
)


def normalize(span: Span) -> Operation | None:
    """Say what a span means; None for spans that are not to be analysed.

    Those are the annotations that this project wrote itself. Logfire's placeholders are read as the spans that have
    started, without an end: the live view shows those, and they count once, as the real span has the same id.
    """
    if span.scope == ANNOTATION_SCOPE:
        return None
    if is_placeholder(span):
        real = opened(span)
        return None if real is None else normalize(real)
    for convention in CONVENTIONS:
        if convention.recognises(span):
            return with_figures(convention.operation(span), span.attributes)
    raise AssertionError("the generic convention recognises every span")
