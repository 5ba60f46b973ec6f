"""Results: executions, findings, and what is normal."""

from otel_wfperf.store.analysed import AgentRow, Analysed, Position, Sample
from otel_wfperf.store.endings import Ending
from otel_wfperf.store.retention import Limits
from otel_wfperf.store.store import Store, StoreDamagedError, StoreUnavailableError
from otel_wfperf.store.verdicts import Verdict

__all__ = [
    "AgentRow",
    "Analysed",
    "Ending",
    "Limits",
    "Position",
    "Sample",
    "Store",
    "StoreDamagedError",
    "StoreUnavailableError",
    "Verdict",
]
