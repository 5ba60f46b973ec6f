"""What /metrics says of the log."""

from __future__ import annotations

from functools import partial

from otel_wfperf.log import SqliteLog
from otel_wfperf.sidecar.metrics import Metrics


def expose_log(log: SqliteLog, metrics: Metrics) -> None:
    """Register what the log knows of itself; it is read when it is scraped."""
    metrics.gauge("wfperf_log_size_bytes", "Data in the log.", lambda: log.size_bytes)
    metrics.gauge("wfperf_log_limit_bytes", "Size at which data is refused.", lambda: log.max_size_bytes)
    metrics.gauge("wfperf_log_records", "Requests in the log.", lambda: log.status.records)
    metrics.gauge("wfperf_log_oldest_age_seconds", "Age of the oldest request.", lambda: log.status.oldest_age_s)
    metrics.gauges(
        "wfperf_log_lag_records",
        "Requests that a consumer is not done with.",
        "consumer",
        {name: partial(_lag, log, name) for name in log.status.lag_records},
    )
    metrics.counters(
        "wfperf_log_damaged_records",
        "Requests that were left out because they were damaged.",
        "reason",
        lambda: log.status.damaged_records,
    )
    metrics.counters(
        "wfperf_log_refused_appends", "Appends that were refused.", "reason", lambda: log.status.refused_appends
    )


def _lag(log: SqliteLog, consumer: str) -> float:
    return log.status.lag_records[consumer]
