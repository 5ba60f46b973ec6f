"""What came out of the analysis of traces, for those who keep or drop them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from otel_wfperf.model import ExecutionStatus, Severity
from otel_wfperf.store.tables import EXECUTIONS, FINDINGS, TRACES


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is stored of the execution that a trace is part of.

    Attributes:
        status: How it ended.
        severity: That of its worst finding; None when it has none.
        compared: Whether detectors looked at it.
    """

    status: ExecutionStatus
    severity: Severity | None
    compared: bool = True


def verdicts(connection: Connection, trace_ids: Sequence[str]) -> dict[str, Verdict]:
    """Read the verdicts of some hundred traces at most; those of which nothing is stored are left out."""
    homes = dict.fromkeys(trace_ids, "")
    known = select(TRACES.c.trace_id, TRACES.c.execution_id).where(TRACES.c.trace_id.in_(trace_ids))
    homes.update((row.trace_id, row.execution_id) for row in connection.execute(known))
    execution_ids = {home or trace_id for trace_id, home in homes.items()}
    worst = (
        select(func.min(FINDINGS.c.severity_rank)).where(FINDINGS.c.trace_id == EXECUTIONS.c.trace_id).scalar_subquery()
    )
    # Documents of before say nothing about it.
    compared = EXECUTIONS.c.document["compared"].as_boolean()
    statement = select(EXECUTIONS.c.trace_id, EXECUTIONS.c.status, worst.label("worst"), compared.label("compared"))
    by_execution = {
        row.trace_id: Verdict(
            status=ExecutionStatus(row.status),
            severity=None if row.worst is None else tuple(Severity)[row.worst],
            compared=row.compared is not False,
        )
        for row in connection.execute(statement.where(EXECUTIONS.c.trace_id.in_(execution_ids)))
    }
    found = {trace_id: by_execution.get(home or trace_id) for trace_id, home in homes.items()}
    return {trace_id: verdict for trace_id, verdict in found.items() if verdict is not None}
