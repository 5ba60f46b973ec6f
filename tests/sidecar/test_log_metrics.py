from pathlib import Path

import pytest

from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Signal
from otel_wfperf.sidecar.log_metrics import expose_log
from otel_wfperf.sidecar.metrics import Metrics
from tests.log.opening import opened
from tests.sidecar.receiving import samples


async def test_metrics_say_what_the_log_holds_and_what_it_refused(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, "analyzer", "exporter/b", max_size_bytes=10_000) as log:
        metrics = Metrics()
        expose_log(log, metrics)
        assert samples(metrics, "wfperf_log_refused_appends_total") == {}

        await log.append(Signal.TRACES, bytes(5_000), items=1)
        await log.commit("analyzer", 1)
        with pytest.raises(LogFullError):
            await log.append(Signal.TRACES, bytes(5_000), items=1)

        assert samples(metrics, "wfperf_log_records") == {(): 1}
        assert samples(metrics, "wfperf_log_size_bytes") == {(): log.size_bytes}
        assert samples(metrics, "wfperf_log_limit_bytes") == {(): 10_000}
        assert samples(metrics, "wfperf_log_lag_records") == {
            ("analyzer",): 0,
            ("exporter/b",): 1,
        }
        assert samples(metrics, "wfperf_log_refused_appends_total") == {("size",): 1}
        assert samples(metrics, "wfperf_log_damaged_records_total") == {}
