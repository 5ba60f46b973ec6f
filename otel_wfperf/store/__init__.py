"""Results: executions, findings, and what is normal."""

from otel_wfperf.store.analysed import AgentRow, Analysed, Position, Sample
from otel_wfperf.store.retention import Limits
from otel_wfperf.store.store import Store, StoreDamagedError, StoreUnavailableError

__all__ = [
    "AgentRow",
    "Analysed",
    "Limits",
    "Position",
    "Sample",
    "Store",
    "StoreDamagedError",
    "StoreUnavailableError",
]
