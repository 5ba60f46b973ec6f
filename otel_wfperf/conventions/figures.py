"""What the span processor of this project adds to spans of every dialect: CPU time, event-loop blocking, counts."""

from typing import Final

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import count, number
from otel_wfperf.model import Attributes, Operation, ResourceUse
from otel_wfperf.model.construction import changed

_ADDED: Final = (semconv.CPU_TIME, semconv.LOOP_BLOCKED, semconv.SPANS_STARTED)


def with_figures(operation: Operation, attributes: Attributes) -> Operation:
    """Add what our processor wrote to a span that somebody else began; our own dialect has read it already."""
    if operation.dialect == "wfperf" or not any(name in attributes for name in _ADDED):
        return operation
    return changed(
        operation,
        resources=operation.resources or resources(attributes),
        spans_started=count(attributes, semconv.SPANS_STARTED),
        spans_dropped=count(attributes, semconv.SPANS_DROPPED),
    )


def resources(attributes: Attributes) -> ResourceUse | None:
    """Read what was measured of process and machine; None when nothing was."""
    use = ResourceUse(
        cpu_time_s=number(attributes, semconv.CPU_TIME),
        cpu_ratio=number(attributes, semconv.CPU_RATIO),
        memory_bytes=count(attributes, semconv.MEMORY_RSS),
        memory_ratio=number(attributes, semconv.MEMORY_RATIO),
        loop_lag_s=number(attributes, semconv.LOOP_LAG),
        loop_blocked_s=number(attributes, semconv.LOOP_BLOCKED),
        loop_blocked_longest_s=number(attributes, semconv.LOOP_BLOCKED_LONGEST),
        cpu_pressure_ratio=number(attributes, semconv.CPU_PRESSURE),
        memory_pressure_ratio=number(attributes, semconv.MEMORY_PRESSURE),
        steal_ratio=number(attributes, semconv.CPU_STEAL),
    )
    return None if use == ResourceUse() else use
