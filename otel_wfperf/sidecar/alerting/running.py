"""What runs now, for the rules."""

from __future__ import annotations

from collections.abc import Iterable

from otel_wfperf.alerts import Running
from otel_wfperf.assembly import OpenTrace


def running(announced: Iterable[Running], gathered: Iterable[OpenTrace]) -> tuple[Running, ...]:
    """Join what processes say that runs with the traces that are not complete.

    The start of what is announced is by our clock. Of a trace that is only gathered nobody knows when it began: its
    spans may be old, and of another clock. It counts from when it was first heard of, so that no alert is false.
    """
    found = {each.trace_id: each for each in announced}
    for trace in gathered:
        if trace.root_ended:
            found.pop(trace.trace_id, None)
        elif (known := found.get(trace.trace_id)) is None:
            found[trace.trace_id] = Running(
                trace_id=trace.trace_id, workflow=trace.workflow, start_ns=trace.first_seen_ns
            )
        elif known.workflow is None and trace.workflow is not None:
            found[trace.trace_id] = Running(trace_id=trace.trace_id, workflow=trace.workflow, start_ns=known.start_ns)
    return tuple(found.values())
