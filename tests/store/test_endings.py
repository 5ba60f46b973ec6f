from __future__ import annotations

from pathlib import Path

from otel_wfperf.model import ExecutionStatus
from otel_wfperf.report.document import execution_document
from otel_wfperf.store import Analysed, Ending, Position, Store
from tests.sidecar.executions import SECOND_NS, execution


def test_tells_how_executions_ended_that_were_stored_since_a_moment(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}", fsync=False)
    try:
        for trace in (1, 2, 3):
            one = execution(trace)
            row = Analysed(execution=one, last_offset=trace, document=execution_document(one))
            store.save(
                [row], consumer="analyzer", position=Position(log_id="log", offset=trace), now_unix_ns=trace * SECOND_NS
            )

        assert [each.trace_id for each in store.endings(2 * SECOND_NS)] == [f"{2:032x}", f"{3:032x}"]
        assert store.endings(3 * SECOND_NS) == [
            Ending(
                trace_id=f"{3:032x}",
                workflow="research",
                status=ExecutionStatus.OK,
                duration_ns=2 * SECOND_NS,
                stored_unix_ns=3 * SECOND_NS,
            )
        ]
    finally:
        store.close()
