"""The span that brings the findings of an execution into its trace, where people look."""

import hashlib
from collections.abc import Iterable
from typing import Final

from otel_wfperf import semconv
from otel_wfperf.model import AttributeValue, Event, Execution, Finding, Span, SpanKind

NAME: Final = "wfperf findings"
SERVICE: Final = "otel-wfperf"


def annotation(execution: Execution, findings: Iterable[Finding]) -> Span:
    """Build the annotation span: a child of the root with one event for each finding.

    Its id follows from the trace id and the version, so analysing the same again writes the same span.
    """
    events = tuple(_event(finding, execution.root.end_ns) for finding in findings)
    return Span(
        trace_id=execution.trace_id,
        span_id=annotation_id(execution.trace_id, execution.version),
        parent_id=execution.root_id,
        name=NAME,
        kind=SpanKind.INTERNAL,
        start_ns=execution.root.start_ns,
        end_ns=execution.root.end_ns,
        attributes={semconv.FINDING_COUNT: len(events), semconv.WORKFLOW_NAME: execution.workflow},
        events=events,
        scope=semconv.ANNOTATION_SCOPE,
        resource={semconv.SERVICE_NAME: SERVICE},
    )


def annotation_id(trace_id: str, version: int) -> str:
    """Derive the span id (16 hex digits)."""
    return hashlib.sha256(f"{trace_id}/{version}".encode()).hexdigest()[:16]


def _event(finding: Finding, time_ns: int) -> Event:
    attributes: dict[str, AttributeValue] = {
        semconv.FINDING_DETECTOR: finding.detector,
        semconv.FINDING_SEVERITY: finding.severity.value,
        semconv.FINDING_CONFIDENCE: finding.confidence.value,
        semconv.FINDING_SUBJECT: f"{finding.subject.kind.value}:{finding.subject.name}",
        semconv.FINDING_SUMMARY: finding.summary,
        semconv.FINDING_RECOMMENDATION: finding.recommendation,
        semconv.FINDING_FINGERPRINT: finding.fingerprint,
    }
    if finding.saving is not None:
        attributes[semconv.FINDING_SAVING] = finding.saving.median_s
    return Event(name=semconv.FINDING_EVENT, time_ns=time_ns, attributes=attributes)
