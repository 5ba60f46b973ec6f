"""A provider in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_wfperf.instrumentation.failures import failure_counts
from tests.instrumentation.recorded import Recorded


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """What the global provider of this test process exports to; OpenTelemetry takes one provider only."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def recorded(exporter: InMemorySpanExporter) -> Iterator[Recorded]:
    """What the test exports; no failure of ours may hide behind a passing test."""
    exporter.clear()
    before = failure_counts()
    yield Recorded(exporter)
    exporter.clear()
    assert failure_counts() == before


@pytest.fixture
def user_span() -> Callable[[str], Any]:
    """Open a span as a user's own code does."""
    return trace.get_tracer("user").start_as_current_span
