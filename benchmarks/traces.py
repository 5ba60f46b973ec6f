"""Load with many traces open at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.reliability.load import Batch, workflow_batches


def interleaved(spans: int, open_traces: int, trace_spans: int, *, batch_spans: int = 512) -> Iterator[Batch]:
    """Make batches in which the spans of so many traces come by turns, the traces' first spans first.

    Args:
        spans: How many in all (count).
        open_traces: Traces of which spans come by turns (count).
        trace_spans: Spans a trace (count).
        batch_spans: Spans a request (count).
    """
    first = time.time_ns() // 1_000_000
    group = open_traces * trace_spans
    for start in range(0, spans, group):
        count = min(group, spans - start)
        [whole] = workflow_batches(
            count, batch_spans=count, trace_spans=trace_spans, first=first + start, workflow="interleaved"
        )
        request = ExportTraceServiceRequest.FromString(whole.data)
        all_spans = list(request.resource_spans[0].scope_spans[0].spans)
        order = sorted(range(count), key=lambda at: (at % trace_spans, at // trace_spans))
        for begin in range(0, count, batch_spans):
            some = order[begin : begin + batch_spans]
            part = ExportTraceServiceRequest()
            part.resource_spans.add().resource.CopyFrom(request.resource_spans[0].resource)
            part.resource_spans[0].scope_spans.add().spans.extend(all_spans[at] for at in some)
            yield Batch(part.SerializeToString(), tuple(whole.spans[at] for at in some))
