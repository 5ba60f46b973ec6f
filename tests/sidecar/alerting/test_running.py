from __future__ import annotations

from otel_wfperf.alerts import Running
from otel_wfperf.assembly import OpenTrace
from otel_wfperf.sidecar.alerting.running import running


def gathered(trace_id: str, *, workflow: str | None = "research", root_ended: bool = False) -> OpenTrace:
    return OpenTrace(
        trace_id=trace_id,
        first_seen_ns=50,
        last_seen_ns=60,
        operations=1,
        root_ended=root_ended,
        workflow=workflow,
        start_ns=5,
    )


def test_joins_what_is_announced_with_what_is_gathered() -> None:
    announced = [
        Running(trace_id="both", workflow=None, start_ns=10),
        Running(trace_id="named", workflow="mine", start_ns=20),
        Running(trace_id="ended", workflow="mine", start_ns=30),
    ]
    traces = [gathered("both"), gathered("named"), gathered("ended", root_ended=True), gathered("alone", workflow=None)]

    assert running(announced, traces) == (
        Running(trace_id="both", workflow="research", start_ns=10),
        Running(trace_id="named", workflow="mine", start_ns=20),
        Running(trace_id="alone", workflow=None, start_ns=50),
    )
