"""The golden set: spans of the real SDK in which each two features of OTLP meet, and a form to compare them in.

Source: opentelemetry-collector, internal/coreinternal/goldendataset (pairwise combinations).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from benchmarks.reliability.load import SpanKey
from otel_wfperf import semconv

Combination = Mapping[str, int]

_START_NS: Final = 1_700_000_000_123_456_789
_EVERYTHING: Final[Mapping[str, Any]] = {
    "text": "value",
    "true": True,
    "int": -(2**63),
    "double": 0.1,
    "bytes": b"\x00\xff",
    "array": [1, "two", [3.0, None]],
    "map": {"inner": {"deep": [True]}},
    "nothing": None,
}
_ATTRIBUTES: Final[Sequence[Mapping[str, Any]]] = (
    {},
    {"text": "value", "empty": "", "unicode": "žluťoučký 🎯\n\t\0", "long": "x" * 10_000},
    {"true": True, "false": False},
    {"zero": 0, "largest": 2**63 - 1, "least": -(2**63)},
    {"small": 5e-324, "large": 1.7e308, "negative zero": -0.0, "third": 1 / 3, "infinite": float("inf")},
    {"bytes": b"\x00\x01\xff", "none": b""},
    {"texts": ["a", ""], "ints": [1, 2], "doubles": [0.5], "bools": [True, False], "empty": []},
    {"mixed": [1, "two", 3.0, True, None, [], {"a": 1}]},
    {"map": {"a": 1, "b": {"c": ["d", {}]}}, "empty": {}},
    {"nothing": None},
    _EVERYTHING,
    {f"key.{number}": number for number in range(100)},
)
_EVENTS: Final[Sequence[Sequence[Mapping[str, Any]]]] = (
    (),
    ({},),
    (_EVERYTHING, {"exception.message": "no"}, {}),
)
_LINKS: Final[Sequence[Sequence[Mapping[str, Any]]]] = ((), ({},), (_EVERYTHING, {}))
_STATUSES: Final = (
    Status(StatusCode.UNSET),
    Status(StatusCode.OK),
    Status(StatusCode.ERROR),
    Status(StatusCode.ERROR, "it failed: ünïcode"),
)
_TRACE_STATES: Final = (None, TraceState([("vendor", "1")]), TraceState([("a", "1"), ("tenant@vendor", "x;y:1")]))
_RESOURCES: Final[Sequence[Mapping[str, Any]]] = (
    {},
    {"service.name": "golden"},
    {"service.name": "all", **_EVERYTHING},
)
_SCOPES: Final[Sequence[Mapping[str, Any]]] = (
    {"instrumenting_module_name": "plain"},
    {"instrumenting_module_name": "versioned", "instrumenting_library_version": "1.2.3"},
    {"instrumenting_module_name": "with schema", "schema_url": "https://opentelemetry.io/schemas/1.30.0"},
    {"instrumenting_module_name": "with attributes", "attributes": {"short": True, "build": 7}},
)
_LIMITS: Final = (SpanLimits(), SpanLimits(max_span_attributes=2, max_events=1, max_links=1, max_attribute_length=5))
_DURATIONS_NS: Final = (0, 1, 1_500_000_000, 86_400_000_000_000)
FEATURES: Final[Mapping[str, Sequence[Any]]] = {
    "name": ("op", "", "jméno s mezerami / 🎯", "x" * 1000),
    "kind": tuple(SpanKind),
    "attributes": _ATTRIBUTES,
    "events": _EVENTS,
    "links": _LINKS,
    "status": _STATUSES,
    "parent": ("none", "local", "remote"),
    "trace_state": _TRACE_STATES,
    "resource": _RESOURCES,
    "scope": _SCOPES,
    "limits": _LIMITS,
    "duration": _DURATIONS_NS,
}


def pairwise(random: Random) -> list[Combination]:
    """Make combinations (index of the value by feature) that hold each two values of different features once at least.

    Greedy: each combination starts with a pair that is missing and takes the values that add most of what is missing.
    """
    sizes = {name: len(values) for name, values in FEATURES.items()}
    missing = {
        frozenset({(a, i), (b, j)}) for a, b in combinations(sizes, 2) for i in range(sizes[a]) for j in range(sizes[b])
    }
    found: list[Combination] = []
    while missing:
        chosen = dict(min(missing, key=sorted))
        for name in random.sample(list(sizes), len(sizes)):
            if name not in chosen:
                gains = [
                    (sum(frozenset({(name, at), pair}) in missing for pair in chosen.items()), random.random(), at)
                    for at in range(sizes[name])
                ]
                chosen[name] = max(gains)[2]
        missing -= {frozenset(pair) for pair in combinations(chosen.items(), 2)}
        found.append(chosen)
    return found


def golden_spans(count: int, random: Random) -> list[ReadableSpan]:
    """Record so many spans at least, in whole pairwise suites, with the real SDK."""
    memory = InMemorySpanExporter()
    providers = {
        (resource, limits): _provider(_RESOURCES[resource], _LIMITS[limits], memory)
        for resource in range(len(_RESOURCES))
        for limits in range(len(_LIMITS))
    }
    # The SDK warns of each attribute that is over a limit, which is what is wanted here.
    logging.disable(logging.WARNING)
    try:
        while len(memory.get_finished_spans()) < count:
            for combination in pairwise(random):
                _record(combination, providers[combination["resource"], combination["limits"]], random)
    finally:
        logging.disable(logging.NOTSET)
    return list(memory.get_finished_spans())


def _provider(resource: Mapping[str, Any], limits: SpanLimits, memory: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(resource=Resource(resource, "https://schema/1" if resource else None), span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return provider


def _record(combination: Combination, provider: TracerProvider, random: Random) -> None:
    value = {name: FEATURES[name][at] for name, at in combination.items()}
    tracer = provider.get_tracer(**value["scope"])
    state = value["trace_state"]
    parent: Span | None = None
    if value["parent"] == "remote" or (state is not None and value["parent"] == "none"):
        parent = NonRecordingSpan(_context(random, state, remote=value["parent"] == "remote"))
    elif value["parent"] == "local":
        above = set_span_in_context(NonRecordingSpan(_context(random, state, remote=True))) if state else None
        parent = tracer.start_span("parent", context=above, start_time=_START_NS)
    span = tracer.start_span(
        value["name"],
        context=set_span_in_context(parent) if parent is not None else None,
        kind=value["kind"],
        attributes=value["attributes"],
        links=[Link(_context(random, state, remote=True), attributes) for attributes in value["links"]],
        start_time=_START_NS,
    )
    for number, attributes in enumerate(value["events"]):
        span.add_event(f"event {number}" if attributes else "", attributes, _START_NS + number)
    span.set_status(value["status"])
    span.end(_START_NS + value["duration"])
    if value["parent"] == "local" and parent is not None:
        parent.end(_START_NS + value["duration"])


def _context(random: Random, state: TraceState | None, *, remote: bool) -> SpanContext:
    return SpanContext(
        random.getrandbits(128) | 1, random.getrandbits(64) | 1, remote, TraceFlags(TraceFlags.SAMPLED), state
    )


def encoded(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """Encode as the SDK's own exporter does."""
    return ExportTraceServiceRequest.FromString(encode_spans(spans).SerializeToString())


def fields(request: ExportTraceServiceRequest) -> dict[SpanKey, dict[str, Any]]:
    """List all fields of each span, with its resource and scope; the order of attributes means nothing."""
    found: dict[SpanKey, dict[str, Any]] = {}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            if scope.scope.name == semconv.ANNOTATION_SCOPE:
                continue
            for span in scope.spans:
                found[span.trace_id.hex(), span.span_id.hex()] = {
                    "resource": _sorted(MessageToDict(resource.resource)),
                    "resource_schema": resource.schema_url,
                    "scope": _sorted(MessageToDict(scope.scope)),
                    "scope_schema": scope.schema_url,
                    "span": _sorted(MessageToDict(span)),
                }
    return found


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        inner = [_sorted(each) for each in value]
        is_map = all(isinstance(each, dict) and "key" in each for each in inner)
        return sorted(inner, key=lambda each: each["key"]) if is_map else inner
    return value
