"""Which dialect a span is written in."""

from typing import Final

from otel_wfperf.conventions.convention import Convention
from otel_wfperf.conventions.genai import GenAI
from otel_wfperf.conventions.generic import Generic
from otel_wfperf.conventions.openinference import OpenInference
from otel_wfperf.conventions.openllmetry import OpenLLMetry
from otel_wfperf.conventions.span_names import SpanNames
from otel_wfperf.conventions.wfperf import Wfperf
from otel_wfperf.model import Operation, Span
from otel_wfperf.semconv import ANNOTATION_SCOPE

# The first that recognises a span reads it. A vendor's own kind comes before gen_ai.operation.name, because
# OpenLLMetry writes gen_ai.operation.name=invoke_agent on CrewAI's crew, task and agent spans alike.
# Generic recognises everything and stays last.
CONVENTIONS: Final[tuple[Convention, ...]] = (
    Wfperf(),
    OpenLLMetry(),
    OpenInference(),
    GenAI(),
    SpanNames(),
    Generic(),
)


def normalize(span: Span) -> Operation | None:
    """Say what a span means; None for spans that are not to be analysed.

    Those are the annotations that this project wrote itself, and Logfire's placeholders for spans that have
    started (logfire/_internal/constants.py), which would count everything twice.
    """
    if span.scope == ANNOTATION_SCOPE or span.attributes.get("logfire.span_type") == "pending_span":
        return None
    for convention in CONVENTIONS:
        if convention.recognises(span):
            return convention.operation(span)
    raise AssertionError("the generic convention recognises every span")
