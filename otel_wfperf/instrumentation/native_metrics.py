"""The promised metrics of spans that a framework or another instrumentation writes.

The span processor only puts spans into queues. What they mean is found out where the metrics of our own operations
are recorded: by the resource sampler's thread each second, and before a reader collects.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.metrics import METRICS, Finished
from otel_wfperf.instrumentation.open_spans import OpenSpan
from otel_wfperf.instrumentation.sdk_spans import attributes_of, understood
from otel_wfperf.model import Operation, OperationKind

# Chosen: some 10 MB of spans at a rate of 4,096 a second, which is ten times what a program of agents writes.
_MAX_WAITING: Final = 4096
# Of the instrumentation itself, and so none of the promised ones in semconv.
DROPPED_METRIC: Final = "wfperf.native_spans.dropped"
# What a metric is promised for, where another emitter may write it.
_MEASURED: Final = frozenset(
    {
        OperationKind.WORKFLOW,
        OperationKind.PHASE,
        OperationKind.AGENT,
        OperationKind.TOOL,
        OperationKind.LLM,
        OperationKind.WAIT,
        OperationKind.CONTEXT,
    }
)
# A framework and the client library below it both write these for one and the same call.
_WRITTEN_TWICE: Final = frozenset({OperationKind.LLM, OperationKind.TOOL})
# What is counted up when it begins, and down when it ends.
_COUNTED_IN: Final = frozenset({OperationKind.AGENT, OperationKind.WAIT})


class NativeMetrics:
    """Turns native spans into entries for :data:`METRICS`.

    Attributes:
        is_wanted: Whether anybody reads metrics.
        dropped: Spans for which there was no room (count); their metrics are missing. Exported as a counter, which is
            there once there is something to count.
    """

    def __init__(self) -> None:
        """Wait for the first span."""
        self.is_wanted = True
        self.dropped = 0
        self._started: deque[OpenSpan] = deque(maxlen=_MAX_WAITING)
        self._ended: deque[OpenSpan] = deque()
        # Names of the agents that were counted in while they ran: they may learn another one later.
        self._running: dict[OpenSpan, str] = {}
        self._exported = 0
        self._counter: tuple[Any, Any] = (None, None)

    def started(self, span: OpenSpan) -> None:
        """Note that a native span began; the oldest that nobody has looked at make room."""
        if self.is_wanted:
            self._started.append(span)

    def ended(self, span: OpenSpan, readable: Any) -> None:
        """Note that it ended."""
        if not self.is_wanted:
            return
        span.ended = readable
        # An agent that was counted in must be counted out.
        if len(self._ended) < _MAX_WAITING or span in self._running:
            self._ended.append(span)
        else:
            self.dropped += 1

    def hand_on(self) -> None:
        """Hand to :data:`METRICS` what was noted."""
        for _ in range(len(self._started)):
            with failures_counted("native_metrics"):
                self._begin(self._started.popleft())
        for _ in range(len(self._ended)):
            with failures_counted("native_metrics"):
                self._finish(self._ended.popleft())
        with failures_counted("native_metrics"):
            self._export_drops()

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it noted."""
        self._started.clear()
        self._ended.clear()
        self._running.clear()

    def _export_drops(self) -> None:
        """Add to the counter what was dropped since the last time."""
        more, meter = self.dropped - self._exported, METRICS._meter  # noqa: SLF001 - only we make another instrument
        if not more or meter is None:
            return
        if self._counter[0] is not meter:
            self._counter = (meter, meter.create_counter(DROPPED_METRIC, "{span}", "Native spans left out of metrics."))
        self._counter[1].add(more)
        self._exported += more

    def _begin(self, span: OpenSpan) -> None:
        """Count in an agent that runs now; one that has ended since is counted in with its end."""
        if span.ended is not None:
            return
        operation = _operation(span)
        if operation is not None and operation.kind is OperationKind.AGENT:
            METRICS.started("agent", operation.name, {})
            self._running[span] = operation.name

    def _finish(self, span: OpenSpan) -> None:
        name = self._running.pop(span, None)
        operation = span.operation = understood(span.ended)
        if operation is None:
            return
        if name is not None:
            operation = replace(operation, kind=OperationKind.AGENT, name=name)
        elif operation.kind not in _MEASURED or _is_seen_already(span, operation):
            return
        elif operation.kind in _COUNTED_IN:
            METRICS.started(operation.kind.value, operation.name, attributes_of(operation))
        METRICS.finished(_finished(span, operation))


def _is_seen_already(span: OpenSpan, operation: Operation) -> bool:
    """Tell whether the span right above is the same call, seen by the framework and by the client library below it."""
    if operation.kind not in _WRITTEN_TWICE or span.parent is None:
        return False
    above = _operation(span.parent)
    return above is not None and above.kind is operation.kind


def _operation(span: OpenSpan) -> Operation | None:
    """Say what was known of a span when it was first asked for; None when it is gone."""
    if span.operation is None:
        readable = span.ended or span.span()
        span.operation = None if readable is None else understood(readable)
    operation: Operation | None = span.operation
    return operation


def _finished(span: OpenSpan, operation: Operation) -> Finished:
    agent, workflow = operation.agent, operation.workflow
    for above in _operations_above(span):
        agent = agent or (above.name if above.kind is OperationKind.AGENT else above.agent)
        workflow = workflow or (above.name if above.kind is OperationKind.WORKFLOW else above.workflow)
        if agent and workflow:
            break
    is_agent = operation.kind is OperationKind.AGENT
    return Finished(
        kind=operation.kind.value,
        name=operation.name,
        workflow=workflow,
        agent=operation.name if is_agent else agent,
        duration_s=operation.duration_ns / 1e9,
        cpu_time_s=span.cpu_ns / 1e9 if span.cpu_ns else None,
        error_type=operation.error,
        start=attributes_of(operation),
        end=_model_attributes(span, operation),
        context=span.ended.context,
    )


def _operations_above(span: OpenSpan) -> Iterator[Operation]:
    above = span.parent
    while above is not None:
        operation = _operation(above)
        if operation is not None:
            yield operation
        above = above.parent


def _model_attributes(span: OpenSpan, operation: Operation) -> dict[str, Any]:
    if operation.kind is not OperationKind.LLM:
        return {}
    given = span.ended.attributes or {}
    tokens = operation.tokens
    known = {
        semconv.OPERATION_NAME: given.get(semconv.OPERATION_NAME, semconv.CHAT),
        semconv.PROVIDER_NAME: given.get(semconv.PROVIDER_NAME),
        semconv.INPUT_TOKENS: tokens and tokens.input,
        semconv.OUTPUT_TOKENS: tokens and tokens.output,
        semconv.CONTEXT_TOKENS: tokens and tokens.input,
    }
    return {name: value for name, value in known.items() if value is not None}


NATIVE_METRICS: Final = NativeMetrics()
METRICS.sources.append(NATIVE_METRICS.hand_on)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NATIVE_METRICS.after_fork_in_child)
