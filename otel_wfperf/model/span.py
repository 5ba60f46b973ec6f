"""A span as it came over the wire, in no particular dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from otel_wfperf.model.construction import quickly_made

AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | tuple[AttributeValue, ...] | Mapping[str, AttributeValue] | None"
)
Attributes: TypeAlias = Mapping[str, AttributeValue]


class SpanKind(IntEnum):
    """OTLP's span kinds. Source: opentelemetry-proto trace.proto, Span.SpanKind."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """OTLP's status codes. Source: opentelemetry-proto trace.proto, Status.StatusCode."""

    UNSET = 0
    OK = 1
    ERROR = 2


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at one moment of a span.

    Attributes:
        time_ns: Moment (nanoseconds since the Unix epoch).
    """

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A reference to a span that is not the parent; ids are lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span.

    Attributes:
        trace_id: 32 lower-case hex digits.
        span_id: 16 lower-case hex digits.
        parent_id: 16 lower-case hex digits; None for a root.
        start_ns: Start (nanoseconds since the Unix epoch).
        end_ns: End (nanoseconds since the Unix epoch); 0 when the span never ended.
        scope: Name of the instrumentation scope that wrote it.
        resource: Attributes of the process that wrote it; shared between its spans.
        dropped: Attributes, events and links that the SDK dropped (count).
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    name: str = ""
    kind: SpanKind = SpanKind.UNSPECIFIED
    start_ns: int
    end_ns: int = 0
    attributes: Attributes = field(default_factory=dict)
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    scope: str = ""
    scope_version: str = ""
    resource: Attributes = field(default_factory=dict)
    trace_state: str = ""
    flags: int = 0
    dropped: int = 0
