"""The metrics that the product promises, recorded from finished operations.

Recording a histogram costs more than ending a span, so the measured code only appends a
value to a queue. The resource sampler's thread empties it every second, and so does a
reader that collects. Without either, each operation past the 4096th records two others.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
from opentelemetry.trace import SpanContext

from otel_wfperf import semconv
from otel_wfperf.instrumentation.active_agents import ActiveAgents
from otel_wfperf.instrumentation.failures import count_failure, failures_counted
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.tracing import package_version

# Chosen: the entries hold about 2 MB then.
_MAX_WAITING: Final = 4096
_Observe: TypeAlias = Callable[[CallbackOptions], Iterable[Observation]]
# Totals by metric and attributes.
_Sums: TypeAlias = "Counter[tuple[str, tuple[tuple[str, Any], ...]]]"
# Values of histograms, by metric and attributes.
_Values: TypeAlias = "dict[tuple[str, tuple[tuple[str, Any], ...]], _Series]"
_TASKS: Final = frozenset({"phase", "agent", "tool"})
_NOWHERE: Final = Context()


class Finished(NamedTuple):
    """An operation that ended.

    Attributes:
        kind: See :class:`otel_wfperf.instrumentation.call.Call`, as for the other names.
        duration_s: Length (seconds); equals the span's.
        cpu_time_s: CPU time of its own code, without that of operations below it (seconds); None = not known.
        error_type: None when it did not fail.
        start: Attributes given at the start.
        end: Attributes given at the end.
        context: The span, or what holds it, for exemplars.
    """

    kind: str
    name: str
    workflow: str | None
    agent: str | None
    duration_s: float
    cpu_time_s: float | None
    error_type: str | None
    start: Mapping[str, Any]
    end: Mapping[str, Any]
    context: Context | SpanContext

    def attribute(self, name: str) -> Any:
        """Look up a span attribute; None = not given."""
        return self.end.get(name, self.start.get(name))


class WorkflowMetrics:
    """Turns operations into the promised metrics.

    Attributes:
        agent_capacity: How many agents may run at once (count); None = no limit is configured.
        sources: Called before anything is recorded: who has noted something elsewhere hands it on now.
    """

    def __init__(self) -> None:
        """Wait for the first operation; instruments are made then."""
        self.agent_capacity: int | None = None
        self.sources: list[Callable[[], None]] = []
        self._waiting: deque[Finished | tuple[semconv.MetricName, Mapping[str, Any]]] = deque()
        self._recording = Lock()
        self._meter: Meter | None = None
        self._instruments: Mapping[str, Any] = {}
        self._agents = ActiveAgents()

    def use_meter_provider(self, provider: MeterProvider | None = None) -> None:
        """Create the instruments on this provider; None = the global one."""
        meter = (provider or metrics.get_meter_provider()).get_meter(semconv.INSTRUMENTATION_SCOPE, package_version())
        self._meter = meter
        self._instruments = _instruments(meter)
        self._observe(meter)

    def started(self, kind: str, name: str, attributes: Mapping[str, Any]) -> None:
        """Note that an operation began."""
        if kind == "agent":
            self._agents.change(1)
            self._waiting.append((semconv.ACTIVE_AGENTS, {semconv.AGENT_NAME: name}))
        elif kind == "wait":
            self._waiting.append((semconv.QUEUE_DEPTH_METRIC, _wait_attributes(attributes)))

    def finished(self, operation: Finished) -> None:
        """Note that an operation ended; records the two oldest when too many wait."""
        if operation.kind == "agent":
            self._agents.change(-1)
        self._waiting.append(operation)
        if len(self._waiting) > _MAX_WAITING:
            self.record_waiting(limit=2)

    def record_waiting(self, limit: int | None = None) -> None:
        """Record what was noted, oldest first; does nothing while another thread does so.

        Args:
            limit: Most entries to record (count); None = all.
        """
        if not self._recording.acquire(blocking=False):
            return
        try:
            if limit is None:
                for hand_on in self.sources:
                    hand_on()
            self._record_waiting(len(self._waiting) if limit is None else limit)
        except Exception:  # noqa: BLE001 - a meter provider that raises is not the user's problem
            count_failure("metrics.record")
        finally:
            self._recording.release()

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it noted; a lock that one of its threads held would never be free again."""
        self._waiting.clear()
        self._recording = Lock()
        self._agents = ActiveAgents()

    def _record_waiting(self, limit: int) -> None:
        if not self._instruments:
            self.use_meter_provider()
        # Counters are summed here first: adding to an instrument costs more than all the rest.
        sums: _Sums = Counter()
        values: _Values = {}
        for _ in range(min(limit, len(self._waiting))):
            entry = self._waiting.popleft()
            try:
                _sort(entry, sums, values)
            except Exception:  # noqa: BLE001 - a label that no meter takes must not cost the other entries
                count_failure("metrics.record")
        for (name, labels), series in values.items():
            series.record(self._instruments[name], dict(labels))
        for (name, labels), total in sums.items():
            with failures_counted("metrics.record"):
                self._instruments[name].add(total, dict(labels))

    def _observe(self, meter: Meter) -> None:
        observed: dict[semconv.MetricName, _Observe] = {
            semconv.PROCESS_MEMORY: self._memory,
            semconv.PROCESS_CPU_UTILISATION: _cpu_utilisation,
            semconv.PROCESS_MEMORY_UTILISATION: _memory_utilisation,
            semconv.AGENT_CAPACITY: self._capacity,
            semconv.AGENT_UTILISATION: self._utilisation,
        }

        def unless_replaced(callback: _Observe) -> _Observe:
            return lambda options: callback(options) if self._meter is meter else ()

        for metric, callback in observed.items():
            meter.create_observable_gauge(metric.name, [unless_replaced(callback)], metric.unit, metric.description)
        network = semconv.NETWORK_IO
        callbacks = [unless_replaced(_network)]
        meter.create_observable_counter(network.name, callbacks, network.unit, network.description)

    def _memory(self, _options: CallbackOptions) -> Iterable[Observation]:
        # The SDK calls the observable instruments before it reads the others, so whatever
        # ended until now is in this collection. Checked with opentelemetry-sdk 1.45.2.
        self.record_waiting()
        sample = SAMPLER.latest
        if sample is not None and sample.memory_bytes is not None:
            yield Observation(sample.memory_bytes)

    def _capacity(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self.agent_capacity is not None:
            yield Observation(self.agent_capacity)

    def _utilisation(self, _options: CallbackOptions) -> Iterable[Observation]:
        ratio = self._agents.take_utilisation(self.agent_capacity)
        if ratio is not None:
            yield Observation(ratio)


def _sort(entry: Finished | tuple[semconv.MetricName, Mapping[str, Any]], sums: _Sums, values: _Values) -> None:
    """Add what an entry contributes to the totals and to the values for histograms."""
    if not isinstance(entry, Finished):
        sums[entry[0].name, tuple(entry[1].items())] += 1
        return
    for metric, value, attributes in _measurements(entry):
        if entry.error_type is not None and semconv.ERROR_TYPE in metric.attributes:
            attributes[semconv.ERROR_TYPE] = entry.error_type
        labels = tuple(attributes.items())
        if metric.instrument == "histogram":
            series = values.get((metric.name, labels))
            if series is None:
                series = values[metric.name, labels] = _Series(metric.buckets)
            series.add(value, entry.context)
        else:
            sums[metric.name, labels] += value  # type: ignore[assignment]  # seconds, too


class _Series:
    """Values of one histogram and one set of labels.

    A histogram keeps one exemplar for each bucket, the last one. The others are recorded without their span, which
    halves the cost.
    """

    __slots__ = ("_buckets", "_last", "_values")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = buckets
        self._values: list[float] = []
        # By bucket: which value it was, and its span.
        self._last: dict[int, tuple[int, Context | SpanContext]] = {}

    def add(self, value: float, span: Context | SpanContext) -> None:
        self._last[bisect_left(self._buckets, value)] = len(self._values), span
        self._values.append(value)

    def record(self, histogram: Any, labels: dict[str, Any]) -> None:
        spans = dict(self._last.values())
        for number, value in enumerate(self._values):
            try:
                histogram.record(value, labels, _context(spans[number]) if number in spans else _NOWHERE)
            except Exception:  # noqa: BLE001 - the other values may be taken
                count_failure("metrics.record")


def _instruments(meter: Meter) -> dict[str, Any]:
    """Make an instrument for each entry of ``semconv.METRICS`` that is not observed."""
    made: dict[str, Any] = {}
    for metric in semconv.METRICS:
        name, unit, description = metric.name, metric.unit, metric.description
        if metric.instrument == "histogram":
            buckets = metric.buckets
            made[name] = meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)
        elif metric.instrument == "counter":
            made[name] = meter.create_counter(name, unit, description)
        elif metric.instrument == "up_down_counter":
            made[name] = meter.create_up_down_counter(name, unit, description)
    return made


def _measurements(operation: Finished) -> Iterator[tuple[semconv.MetricName, float, dict[str, Any]]]:
    """Say what one operation contributes: metric, value and attributes without the error."""
    kind, duration_s = operation.kind, operation.duration_s
    if operation.cpu_time_s is not None and operation.agent is not None:
        # Of its own code each: what all operations of an agent used adds up.
        yield semconv.AGENT_CPU_TIME, operation.cpu_time_s, {semconv.AGENT_NAME: operation.agent}
    if kind in _TASKS:
        yield semconv.TASKS_COMPLETED, 1, {semconv.SPAN_KIND: kind}
    if kind == "workflow":
        attributes = {semconv.WORKFLOW_NAME: operation.name}
        yield semconv.WORKFLOW_DURATION, duration_s, attributes
        yield semconv.WORKFLOWS_COMPLETED, 1, attributes
    elif kind == "phase":
        attributes = _known({semconv.WORKFLOW_NAME: operation.workflow, semconv.PHASE_NAME: operation.name})
        yield semconv.PHASE_DURATION, duration_s, attributes
    elif kind == "agent":
        model = operation.attribute(semconv.REQUEST_MODEL)
        attributes = _known({semconv.AGENT_NAME: operation.name, semconv.REQUEST_MODEL: model})
        yield semconv.AGENT_DURATION, duration_s, attributes
        yield semconv.ACTIVE_AGENTS, -1, {semconv.AGENT_NAME: operation.name}
    elif kind == "tool":
        attributes = _known({semconv.TOOL_NAME: operation.name, semconv.AGENT_NAME: operation.agent})
        yield semconv.TOOL_DURATION, duration_s, attributes
    elif kind == "context":
        yield semconv.CONTEXT_DURATION, duration_s, {semconv.CONTEXT_OPERATION: operation.name}
    elif kind == "wait":
        yield semconv.QUEUE_WAIT, duration_s, _wait_attributes(operation.start)
        yield semconv.QUEUE_DEPTH_METRIC, -1, _wait_attributes(operation.start)
    elif kind == "llm":
        yield from _model_measurements(operation)


def _model_measurements(operation: Finished) -> Iterator[tuple[semconv.MetricName, float, dict[str, Any]]]:
    names = (semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.REQUEST_MODEL)
    attributes = _known({name: operation.attribute(name) for name in names})
    yield semconv.CLIENT_DURATION, operation.duration_s, attributes
    for kind, name in (("input", semconv.INPUT_TOKENS), ("output", semconv.OUTPUT_TOKENS)):
        tokens = operation.attribute(name)
        if tokens is not None:
            yield semconv.TOKEN_USAGE, tokens, {**attributes, semconv.TOKEN_TYPE: kind}
    context_tokens = operation.attribute(semconv.CONTEXT_TOKENS)
    if context_tokens is not None:
        model = operation.attribute(semconv.REQUEST_MODEL)
        yield (
            semconv.CONTEXT_TOKENS_METRIC,
            context_tokens,
            _known({semconv.AGENT_NAME: operation.agent, semconv.REQUEST_MODEL: model}),
        )


def _context(given: Context | SpanContext) -> Context:
    if isinstance(given, SpanContext):
        return trace.set_span_in_context(trace.NonRecordingSpan(given), _NOWHERE)
    return given


def _wait_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return _known({name: attributes.get(name) for name in (semconv.WAIT_KIND, semconv.WAIT_RESOURCE)})


def _cpu_utilisation(_options: CallbackOptions) -> Iterable[Observation]:
    sample = SAMPLER.latest
    if sample is not None and sample.cpu_ratio is not None:
        yield Observation(sample.cpu_ratio)


def _memory_utilisation(_options: CallbackOptions) -> Iterable[Observation]:
    sample = SAMPLER.latest
    if sample is not None and sample.memory_ratio is not None:
        yield Observation(sample.memory_ratio)


def _network(_options: CallbackOptions) -> Iterable[Observation]:
    sample = SAMPLER.latest
    if sample is not None and sample.sent_bytes is not None and sample.received_bytes is not None:
        yield Observation(sample.sent_bytes, {"network.io.direction": "transmit"})
        yield Observation(sample.received_bytes, {"network.io.direction": "receive"})


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


METRICS: Final = WorkflowMetrics()
SAMPLER.after_sample.append(METRICS.record_waiting)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=METRICS.after_fork_in_child)
