"""What an execution records, and the way of its spans through encoder, decoder and assembly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Tracer

from otel_wfperf import semconv
from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.instrumentation.encoding import SpanEncoder
from otel_wfperf.instrumentation.spans import lean_tracer
from otel_wfperf.instrumentation.tracing import package_version
from otel_wfperf.model import Execution
from otel_wfperf.otlp import protobuf

SERVICE: Final = "benchmark"


class SeededIds(IdGenerator):
    """Ids that are the same each time."""

    def __init__(self, seed: str) -> None:
        """Draw from a seed."""
        self._random = Random(seed)

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero."""
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero."""
        return self._random.getrandbits(128) or 1


@dataclass(frozen=True, slots=True)
class Content:
    """What a call was given and answered, for dialects that write it down; our own hashes it."""

    given: object = None
    result: object = None


@dataclass
class Recorded:
    """The spans of all runs of one case.

    Attributes:
        spans: As they ended.
        contents: What was said, by span id.
        trace_ids: Trace id of each run (hexadecimal), by its number.
    """

    spans: list[ReadableSpan] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)
    trace_ids: dict[int, str] = field(default_factory=dict)


class _Keep(SpanProcessor):
    def __init__(self, spans: list[ReadableSpan]) -> None:
        self._spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the program that is observed.

    Attributes:
        ours: Writes the spans of our instrumentation.
        http: Writes those of the instrumentation of an HTTP client.
    """

    ours: Tracer
    http: Tracer


def process(recorded: Recorded, ids: IdGenerator, *, host: str, version: str) -> Process:
    """Set up tracing as ``otel_wfperf.configure`` does, with the queue replaced by a list."""
    names = {
        semconv.SERVICE_NAME: SERVICE,
        "service.version": version,
        semconv.HOST_NAME: host,
        semconv.SERVICE_INSTANCE_ID: f"{host}-{version}",
    }
    provider = TracerProvider(resource=Resource(names), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(_Keep(recorded.spans))
    ours = lean_tracer(provider, semconv.INSTRUMENTATION_SCOPE, package_version())
    return Process(ours, provider.get_tracer("opentelemetry.instrumentation.httpx", "0.66b1"))


class Dialect(Protocol):
    """Somebody's way to write the same operations.

    Attributes:
        name: As in reports.
        carries: Kinds of evidence that it can tell.
    """

    name: str
    carries: frozenset[str]

    def write(self, recorded: Recorded) -> Iterable[ReadableSpan]:
        """Write what was recorded in this dialect."""
        ...


def executions_of(spans: Iterable[ReadableSpan]) -> Sequence[Execution]:
    """Take spans the way they take in the sidecar: encoded, decoded, understood, assembled."""
    encoder = SpanEncoder()
    request = encoder.request(encoded for span in spans if (encoded := encoder.encoded(span)) is not None)
    batch = protobuf.decode_traces(request)
    if batch.rejected:
        raise ValueError(f"the benchmark wrote spans that cannot be read: {dict(batch.rejected)}")
    return assemble(each for span in batch.spans if (each := normalize(span)) is not None)
