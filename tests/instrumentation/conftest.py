"""A provider in memory, and one way to look at whole spans."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_wfperf.instrumentation.failures import failure_counts


@dataclass(frozen=True)
class Tree:
    """A span with what is below it, earliest first; printed when a comparison fails."""

    name: str
    children: tuple["Tree", ...] = ()

    def __repr__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> list[str]:
        return [f"{indent}{self.name}", *(line for child in self.children for line in child._lines(indent + "  "))]


class Recorded:
    """What was exported."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span

    def all(self, name: str) -> list[ReadableSpan]:
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time or 0)

    def attributes(self, name: str) -> dict[str, Any]:
        return dict(self.one(name).attributes or {})

    def parent_of(self, name: str) -> str | None:
        parent = self.one(name).parent
        if parent is None:
            return None
        [found] = [span.name for span in self.spans if span.context and span.context.span_id == parent.span_id]
        return found

    def trees(self) -> list[Tree]:
        """All traces, as trees of names; siblings that started together are ordered by name."""
        below: dict[int | None, list[ReadableSpan]] = {}
        for span in self.spans:
            below.setdefault(span.parent.span_id if span.parent else None, []).append(span)

        def tree(span: ReadableSpan) -> Tree:
            children = below.get(span.context.span_id if span.context else 0, [])
            return Tree(span.name, tuple(map(tree, sorted(children, key=lambda each: each.start_time or 0))))

        return [tree(span) for span in sorted(below.get(None, []), key=lambda each: each.start_time or 0)]

    def __contains__(self, text: str) -> bool:
        """Whether some text is anywhere in what was exported."""
        return any(text in span.to_json() for span in self.spans)


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """The global provider of this test process: OpenTelemetry takes one only."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
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
