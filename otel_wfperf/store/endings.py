"""How executions ended lately, for those who count them on after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from otel_wfperf.model import ExecutionStatus
from otel_wfperf.store.tables import EXECUTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is stored of the end of an execution.

    Attributes:
        stored_unix_ns: When that was stored (nanoseconds since the Unix epoch).
    """

    trace_id: str
    workflow: str
    status: ExecutionStatus
    duration_ns: int
    stored_unix_ns: int


def endings(connection: Connection, since_unix_ns: int) -> Iterator[Ending]:
    """Yield what was stored since a moment (nanoseconds since the Unix epoch), oldest first."""
    columns = (EXECUTIONS.c[name] for name in ("trace_id", "workflow", "status", "duration_ns", "stored_unix_ns"))
    recent = select(*columns).where(EXECUTIONS.c.stored_unix_ns >= since_unix_ns)
    for row in connection.execute(recent.order_by(EXECUTIONS.c.stored_unix_ns)):
        yield Ending(
            trace_id=row.trace_id,
            workflow=row.workflow,
            status=ExecutionStatus(row.status),
            duration_ns=row.duration_ns,
            stored_unix_ns=row.stored_unix_ns,
        )
