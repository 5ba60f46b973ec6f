"""The parts of an operation that no dialect writes in its own way."""

import re
from collections.abc import Mapping
from typing import Final, TypedDict

from otel_wfperf import semconv
from otel_wfperf.analysis.fragments import produced
from otel_wfperf.conventions.attributes import count, text
from otel_wfperf.conventions.connections import connection
from otel_wfperf.conventions.content import content_hash, fragments_of, size_bytes
from otel_wfperf.conventions.messages import Said, said
from otel_wfperf.conventions.requests import shows_request
from otel_wfperf.model import Attributes, Link, Span, SpanKind, StatusCode

MAX_ERROR_CHARS: Final = 200
# Source: opentelemetry-proto trace.proto, SpanFlags: CONTEXT_HAS_IS_REMOTE and CONTEXT_IS_REMOTE.
_PARENT_IS_REMOTE: Final = 0x300
_INSTRUCTORS: Final = ("system", "developer")
# What an exception begins with when it is written as text, its type, before its message or alone; or a status code.
_TYPE_OF_ERROR: Final = re.compile(r"([A-Za-z_][\w.]*|\d{3})(?=[:(\n]|$)")
_LOOKED_AT_CHARS: Final = 500
_KINDS_OF_ERROR: Final = (
    ("timed out", "timeout"),
    ("timeout", "timeout"),
    ("cancel", "cancelled"),
    ("rate limit", "rate_limit"),
    ("429", "rate_limit"),
)
# A consumer that stops reading a stream early closes the generator: LangChain reports that as a failure.
_NO_ERRORS: Final = ("GeneratorExit",)
# Our own, and what people write by hand: the conventions and the vendors' instrumentations have no such flag. Those of
# a provider's prompt cache, such as ``pydantic_ai.cache.hit_ratio``, say nothing about the result.
_CACHED: Final = frozenset({semconv.TOOL_CACHED, "cache_hit", "cache.hit", "gen_ai.cache.hit", "llm.cache_hit"})


class SpanFields(TypedDict):
    """What is read from the span itself."""

    trace_id: str
    span_id: str
    parent_id: str | None
    span_name: str
    span_kind: SpanKind
    service: str
    host: str
    start_ns: int
    end_ns: int
    ended: bool
    error: str | None
    links: tuple[Link, ...]
    parent_is_remote: bool
    requested: bool
    service_version: str
    connection_wait_s: float | None
    connection_setup_s: float | None
    cached: bool


class ContentFields(TypedDict, total=False):
    """What is read from captured content."""

    input_hash: str | None
    output_hash: str | None
    input_bytes: int | None
    output_bytes: int | None
    input_fragments: frozenset[int]
    output_fragments: frozenset[int]
    prefix_hash: str | None


def span_fields(span: Span) -> SpanFields:
    """Read what every span has."""
    resource = span.resource
    service = text(resource, semconv.SERVICE_NAME) or ""
    spent = connection(span)
    # A literal: calling the type takes three times as long, for each span.
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "span_name": span.name,
        "span_kind": span.kind,
        "service": service,
        "host": _host(resource, service),
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "ended": span.end_ns > 0,
        "error": _error(span),
        "links": span.links,
        "parent_is_remote": span.flags & _PARENT_IS_REMOTE == _PARENT_IS_REMOTE,
        "requested": shows_request(span.attributes),
        "service_version": text(resource, semconv.SERVICE_VERSION) or "",
        "connection_wait_s": spent.wait_s,
        "connection_setup_s": spent.setup_s,
        "cached": not _CACHED.isdisjoint(span.attributes)
        and any(span.attributes.get(name) is True for name in _CACHED),
    }


def content_fields(given: object, result: object) -> ContentFields:
    """Measure, hash and sample the input and the result of an operation; None = not captured."""
    fields = ContentFields()
    sample: frozenset[int] = frozenset()
    if (heard := _heard(given)) is not None:
        sample = fragments_of(heard.texts, searched=True)
        fields["input_hash"] = content_hash(heard.canonical)
        fields["input_bytes"] = _size(given, heard)
        fields["input_fragments"] = sample
        if heard.messages and (instructions := _instructions(heard.canonical)):
            fields["prefix_hash"] = content_hash(instructions)
    if (answered := _heard(result)) is not None:
        fields["output_hash"] = content_hash(answered.canonical)
        fields["output_bytes"] = _size(result, answered)
        fields["output_fragments"] = produced(fragments_of(answered.texts, searched=False), sample)
    return fields


def _instructions(canonical: object) -> list[object]:
    """Return the messages of the system that a prompt starts with: what stays the same from call to call."""
    found: list[object] = []
    for each in canonical if isinstance(canonical, list) else ():
        inner = _instructions(each) if isinstance(each, list) else []
        if isinstance(each, Mapping) and each.get("role") in _INSTRUCTORS:
            inner = [each]
        if not inner:
            break
        found += inner
    return found


def _heard(value: object) -> Said | None:
    if value is None:
        return None
    heard = said(value)
    # Emitters that do not capture content still list the messages: an empty shell tells nothing.
    return None if heard.messages and not heard.texts else heard


def _size(value: object, heard: Said) -> int:
    """Return the length of the text; of messages that of what they say, as each emitter wraps them in its own way."""
    if isinstance(value, str) and not heard.messages:
        return size_bytes(value)
    return sum(map(size_bytes, heard.texts))


def _host(resource: Attributes, service: str) -> str:
    """Name the clock: ``machine/process``; of an unknown machine each process, else each service, has its own."""
    machine = text(resource, semconv.HOST_NAME, "host.id", "host.ip") or ""
    instance = text(resource, semconv.SERVICE_INSTANCE_ID)
    if instance is None:
        process = count(resource, "process.pid")
        instance = "" if process is None else str(process)
    return f"{machine}/{instance}" if machine or instance else service


def _error(span: Span) -> str | None:
    """Return the type of the error, as far as it is told; None when the span did not fail."""
    error_type = text(span.attributes, semconv.ERROR_TYPE)
    if span.status is not StatusCode.ERROR and (span.status is StatusCode.OK or error_type is None):
        return None
    for event in reversed(span.events):
        error_type = error_type or text(event.attributes, "exception.type")
    message = span.status_message.strip()
    if (error_type or message).startswith(_NO_ERRORS):
        return None
    return error_type[:MAX_ERROR_CHARS] if error_type else kind_of_error(message)


def kind_of_error(message: str) -> str:
    """Read what kind of error a message is about, and nothing else of it: messages quote prompts and arguments."""
    named = _TYPE_OF_ERROR.match(message)
    if named is not None:
        return named[1][:MAX_ERROR_CHARS]
    lower = message[:_LOOKED_AT_CHARS].lower()
    return next((kind for word, kind in _KINDS_OF_ERROR if word in lower), "error")
