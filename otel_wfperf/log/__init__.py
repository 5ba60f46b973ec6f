"""The durable log between the receivers and everything that consumes."""

from otel_wfperf.log.damage import put_aside
from otel_wfperf.log.log import Expired, Log, LogStatus, Record, Signal
from otel_wfperf.log.sqlite import SqliteLog

__all__ = ["Expired", "Log", "LogStatus", "Record", "Signal", "SqliteLog", "put_aside"]
