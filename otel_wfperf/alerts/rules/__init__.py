"""The rules. Add a kind here, and in ``otel_wfperf.config.alerts`` what is configured of it."""

from typing import Final

from otel_wfperf.alerts.rules.burn_rate import BurnRate
from otel_wfperf.alerts.rules.error_rate import ErrorRate
from otel_wfperf.alerts.rules.execution_time import ExecutionTime
from otel_wfperf.alerts.rules.found import Found
from otel_wfperf.alerts.rules.metric_level import MetricLevel
from otel_wfperf.alerts.rules.rule import Rule

RULES: Final = (ExecutionTime, MetricLevel, ErrorRate, Found, BurnRate)

__all__ = ["RULES", "BurnRate", "ErrorRate", "ExecutionTime", "Found", "MetricLevel", "Rule"]
