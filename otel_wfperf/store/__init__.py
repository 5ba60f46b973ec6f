"""Results: executions, findings, and what is normal."""

from otel_wfperf.store.store import (
    AgentRow,
    Analysed,
    Position,
    Sample,
    Store,
    StoreDamagedError,
    StoreUnavailableError,
)

__all__ = ["AgentRow", "Analysed", "Position", "Sample", "Store", "StoreDamagedError", "StoreUnavailableError"]
