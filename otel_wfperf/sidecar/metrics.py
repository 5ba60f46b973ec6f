"""Metrics of the sidecar, in Prometheus' names, with a bounded number of series.

prometheus-client and not the OpenTelemetry Prometheus exporter: the latter writes no exemplars (1.45).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from otel_wfperf.log import Signal
from otel_wfperf.model import Execution, Finding
from otel_wfperf.otlp.protobuf import IS_COMPILED

OVERFLOW: Final = "overflow"
# Chosen: model calls of 0.1 s to batch runs of half an hour, with the alert threshold of 300 s as a boundary.
_DURATION_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800)
# Chosen: 80 workflows x 17 series of the histogram and 3 of the outcomes leave 400 of 2 000 series for everything else.
_MAX_WORKFLOWS: Final = 80
# Chosen: longer than any name that a person gave; a series repeats it, a histogram 17 times.
_MAX_LABEL_CHARACTERS: Final = 128


class BoundedLabel:
    """Lets the first values through and turns the others into ``overflow``, which is counted."""

    def __init__(self, label: str, limit: int, overflowed: Counter) -> None:
        """Allow ``limit`` values of a label."""
        self._limit = limit
        self._seen: set[str] = set()
        self._overflowed = overflowed.labels(label)

    def __call__(self, value: str) -> str:
        """Return the value, cut when it is long, or ``overflow`` when there are too many."""
        value = value[:_MAX_LABEL_CHARACTERS]
        if value in self._seen:
            return value
        if len(self._seen) < self._limit:
            self._seen.add(value)
            return value
        self._overflowed.inc()
        return OVERFLOW


class _WithoutCreated(Collector):
    """All metrics without the moments at which their series began, of which nobody makes use: half as many lines."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            if not family.name.endswith("_created"):
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
                yield family


class _Kept(Collector):
    """A counter that something else keeps."""

    def __init__(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._description = (name, text, None, (label,))
        self._values = values

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(*self._description)
        for value, count in self._values().items():
            family.add_metric([value], count)
        return [family]


class Metrics:
    """All metrics of one sidecar, in a registry of its own."""

    def __init__(self) -> None:
        """Register everything."""
        self._registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        build = Info("wfperf_build", "Whether the hot path is compiled.", registry=registry)
        build.info({"compiled": str(IS_COMPILED).lower()})
        self._accepted_requests = counter(
            "wfperf_receiver_accepted_requests", "OTLP requests that are in the log.", "signal", "protocol"
        )
        self._accepted_items = counter(
            "wfperf_receiver_accepted_items", "Spans, data points and log records in the log.", "signal", "protocol"
        )
        self._refused = counter(
            "wfperf_receiver_refused_requests", "OTLP requests that were refused.", "signal", "protocol", "reason"
        )
        self._refused_connections = counter(
            "wfperf_http_refused_connections", "Connections over the limit of a port.", "port"
        )
        self._refused_on_page = counter(
            "wfperf_page_refused_requests", "Requests to page, API and metrics that were refused.", "reason"
        )
        self._rejected = counter("wfperf_receiver_rejected_spans", "Spans left out of accepted requests.", "reason")
        self._expired = counter(
            "wfperf_log_expired_items", "Items that were too old before a consumer had them.", "consumer"
        )
        self._sent = counter("wfperf_exporter_sent_items", "Items that a back end took.", "exporter", "signal")
        self._failed = counter(
            "wfperf_exporter_failed_items", "Items that a back end will never take.", "exporter", "signal", "reason"
        )
        self._retried = counter(
            "wfperf_exporter_retried_requests", "Requests that have to be sent again.", "exporter", "reason"
        )
        self._dead_letters = counter(
            "wfperf_exporter_dead_letter_items",
            "Items that a back end will never take and that were put aside, or could not be.",
            "exporter",
            "signal",
            "kept",
        )
        self._evicted_letters = counter(
            "wfperf_exporter_evicted_dead_letters", "Dead letters that went to make room.", "exporter"
        )
        self._left_out = counter(
            "wfperf_exporter_left_out_spans", "Spans of traces that are not worth forwarding.", "exporter"
        )
        self._undecided = counter(
            "wfperf_exporter_undecided_spans", "Spans that were forwarded before their trace was analysed.", "exporter"
        )
        self._dropped = counter("wfperf_analyzer_dropped_items", "Items that were not analysed.", "reason")
        self._store_failures = counter("wfperf_store_failures", "Tries to use the store that failed.")
        self._pruned = counter("wfperf_store_pruned_executions", "Executions that were too old, too many or too large.")
        self._executions = counter("wfperf_executions", "Analysed executions.", "workflow", "status")
        self._findings = counter("wfperf_findings", "Findings of analysed executions.", "detector", "severity")
        self._duration = Histogram(
            "wfperf_workflow_duration_seconds",
            "Duration of workflow executions.",
            ("workflow",),
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self._alerts = Gauge(
            "wfperf_alerts",
            "Alerts; those that are silenced do not count as firing.",
            ("alertname", "state"),
            registry=registry,
        )
        self._notified = counter(
            "wfperf_alert_notifications",
            "Messages about alerts: sent, or why they were not taken.",
            "notifier",
            "result",
        )
        self._not_notified = counter(
            "wfperf_alert_suppressed_notifications",
            "Alerts that a notifier was not told of, or only later.",
            "notifier",
            "reason",
        )
        overflowed = counter("wfperf_label_overflow", "Values of a label beyond its limit.", "label")
        self._workflow = BoundedLabel("workflow", _MAX_WORKFLOWS, overflowed)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Register a gauge that is read when it is scraped."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def gauges(self, name: str, text: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Register a gauge for each value of a label."""
        gauge = Gauge(name, text, (label,), registry=self._registry)
        for label_value, read in values.items():
            gauge.labels(label_value).set_function(read)

    def counters(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """Register a counter that something else keeps: its values by those of a label, read when it is scraped."""
        self._registry.register(_Kept(name, text, label, values))

    def accepted(self, signal: Signal, protocol: str, items: int) -> None:
        """Count a request that is in the log."""
        self._accepted_requests.labels(signal.value, protocol).inc()
        self._accepted_items.labels(signal.value, protocol).inc(items)

    def refused(self, signal: Signal, protocol: str, reason: str) -> None:
        """Count a request that was refused as a whole."""
        self._refused.labels(signal.value, protocol, reason).inc()

    def connection_refused(self, port: str) -> None:
        """Count a connection over the limit of a port, such as ``http`` or ``page``."""
        self._refused_connections.labels(port).inc()

    def page_refused(self, reason: str) -> None:
        """Count a request that the guard of the page port refused."""
        self._refused_on_page.labels(reason).inc()

    def rejected_spans(self, reason: str, spans: int) -> None:
        """Count spans left out of an accepted request."""
        self._rejected.labels(reason).inc(spans)

    def expired(self, items: Mapping[str, int]) -> None:
        """Count what consumers lost because it was too old."""
        for consumer, count in items.items():
            self._expired.labels(consumer).inc(count)

    def sent(self, exporter: str, signal: Signal, items: int) -> None:
        """Count what a back end took."""
        self._sent.labels(exporter, signal.value).inc(items)

    def failed(self, exporter: str, signal: Signal, *, reason: str, items: int) -> None:
        """Count what a back end will never take."""
        self._failed.labels(exporter, signal.value, reason).inc(items)

    def retried(self, exporter: str, reason: str) -> None:
        """Count a request that has to be sent again."""
        self._retried.labels(exporter, reason).inc()

    def dead_letter(self, exporter: str, signal: Signal, *, kept: bool, items: int) -> None:
        """Count what was put aside, or should have been."""
        self._dead_letters.labels(exporter, signal.value, str(kept).lower()).inc(items)

    def dead_letters_evicted(self, exporter: str, requests: int) -> None:
        """Count requests that were put aside and had to make room for newer ones."""
        if requests:
            self._evicted_letters.labels(exporter).inc(requests)

    def left_out(self, exporter: str, spans: int) -> None:
        """Count spans of traces that a back end is not to have."""
        self._left_out.labels(exporter).inc(spans)

    def undecided(self, exporter: str, spans: int) -> None:
        """Count spans that a back end got because there was no room to wait for the analysis."""
        self._undecided.labels(exporter).inc(spans)

    def dropped(self, reason: str, items: int) -> None:
        """Count what was not analysed."""
        self._dropped.labels(reason).inc(items)

    def pruned(self, executions: int) -> None:
        """Count results that were deleted to keep the store within its limits."""
        self._pruned.inc(executions)

    def store_failed(self) -> None:
        """Count a try to use the store that failed."""
        self._store_failures.inc()

    def analysed(self, execution: Execution, findings: Iterable[Finding]) -> None:
        """Count one execution and its findings; its trace id becomes the exemplar."""
        workflow = self._workflow(execution.workflow)
        self._executions.labels(workflow, execution.status.value).inc()
        exemplar = {"trace_id": execution.trace_id}
        self._duration.labels(workflow).observe(execution.duration_ns / 1e9, exemplar)
        for finding in findings:
            self._findings.labels(finding.detector, finding.severity.value).inc()

    def alerts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show how many alerts there are, by name and state."""
        for (name, state), count in counts.items():
            self._alerts.labels(name, state).set(count)

    def notified(self, notifier: str, result: str) -> None:
        """Count a message about alerts: ``sent``, or why it was not taken."""
        self._notified.labels(notifier, result).inc()

    def notification_suppressed(self, notifier: str, reason: str, alerts: int) -> None:
        """Count alerts that a notifier was not told of, or only later."""
        self._not_notified.labels(notifier, reason).inc(alerts)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the body of /metrics and its content type; OpenMetrics, with exemplars, when asked for."""
        encode, content_type = choose_encoder(accept)
        shown = CollectorRegistry()
        shown.register(_WithoutCreated(self._registry))
        return encode(shown), content_type
