"""Executions built from the spans of the reference cases."""

from collections.abc import Iterable, Mapping
from typing import Any

from otel_wfperf.model import Execution, Operation, SpanKind

KINDS = {
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


def operation(span: Mapping[str, Any], *, scale: int = 1000) -> Operation:
    """Turn one span of a case (microseconds) into an operation."""
    return Operation(
        trace_id="case",
        span_id=span["id"],
        parent_id=span["parent"],
        name=span["op"],
        span_kind=KINDS.get(span.get("span_kind") or "", SpanKind.INTERNAL),
        service=span["service"],
        host=span["service"],
        start_ns=span["start"] * scale,
        end_ns=span["end"] * scale,
    )


def tree(operations: Iterable[Operation], root_id: str) -> Execution:
    """Keep what hangs below one root."""
    children: dict[str | None, list[Operation]] = {}
    for each in operations:
        children.setdefault(each.parent_id, []).append(each)
    known = {each.span_id: each for found in children.values() for each in found}
    kept, queue = [], [known[root_id]]
    while queue:
        each = queue.pop()
        kept.append(each)
        queue.extend(children.get(each.span_id, []))
    kept.sort(key=lambda each: (each.start_ns, -each.end_ns, each.span_id))
    return Execution(trace_id="case", workflow="case", root_id=root_id, operations=tuple(kept))
