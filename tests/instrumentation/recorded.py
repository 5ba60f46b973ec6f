"""One way to look at whole spans."""

from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass(frozen=True)
class Tree:
    """A span with what is below it, earliest first; printed when a comparison fails."""

    name: str
    children: tuple["Tree", ...] = ()

    def __repr__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> list[str]:
        return [f"{indent}{self.name}", *(line for child in self.children for line in child._lines(indent + "  "))]


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """The attributes, for comparisons that the type checker cannot follow."""
    return dict(span.attributes or {})


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
        return attributes_of(self.one(name))

    def parent_of(self, name: str) -> str | None:
        return self.parent_name(self.one(name))

    def parent_name(self, span: ReadableSpan) -> str | None:
        if span.parent is None:
            return None
        parent_id = span.parent.span_id
        [found] = [each.name for each in self.spans if each.context and each.context.span_id == parent_id]
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
