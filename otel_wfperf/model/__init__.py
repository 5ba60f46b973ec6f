"""Values that flow through the program; all frozen, none does input or output."""

from otel_wfperf.model.change import Change, Move, Parallelise, Remove, Replace, Scale, Shorten
from otel_wfperf.model.execution import Adjustment, Execution, ExecutionStatus
from otel_wfperf.model.feedback import Advice
from otel_wfperf.model.finding import Confidence, Finding, Saving, Severity, Subject, SubjectKind
from otel_wfperf.model.operation import CALLS, ContextSize, Operation, OperationKind, ResourceUse, TokenUsage
from otel_wfperf.model.span import Attributes, AttributeValue, Event, Link, Span, SpanKind, StatusCode

__all__ = [
    "CALLS",
    "Adjustment",
    "Advice",
    "AttributeValue",
    "Attributes",
    "Change",
    "Confidence",
    "ContextSize",
    "Event",
    "Execution",
    "ExecutionStatus",
    "Finding",
    "Link",
    "Move",
    "Operation",
    "OperationKind",
    "Parallelise",
    "Remove",
    "Replace",
    "ResourceUse",
    "Saving",
    "Scale",
    "Severity",
    "Shorten",
    "Span",
    "SpanKind",
    "StatusCode",
    "Subject",
    "SubjectKind",
    "TokenUsage",
]
