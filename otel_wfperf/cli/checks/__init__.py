"""The checks of ``wfperf doctor``, one module for each area."""

from otel_wfperf.cli.checks.check import Check, Health

__all__ = ["Check", "Health"]
