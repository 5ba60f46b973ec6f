from otel_wfperf.log import Signal
from otel_wfperf.otlp.protobuf import IS_COMPILED
from otel_wfperf.sidecar.metrics import Metrics
from tests.sidecar.executions import execution, finding
from tests.sidecar.receiving import samples


def test_the_number_of_series_is_bounded_and_the_rest_is_counted() -> None:
    metrics = Metrics()
    for number in range(3000):
        metrics.analysed(execution(number, workflow=f"workflow {number}"), [])

    executions = samples(metrics, "wfperf_executions_total")
    assert len(executions) == 81
    assert executions["ok", "overflow"] == 2920
    assert samples(metrics, "wfperf_label_overflow_total") == {("workflow",): 2920}
    text, _ = metrics.exposition("")
    assert len([line for line in text.decode().splitlines() if not line.startswith("#")]) < 1800


def test_tells_whether_the_hot_path_is_compiled() -> None:
    assert samples(Metrics(), "wfperf_build_info") == {(str(IS_COMPILED).lower(),): 1}


def test_counts_executions_and_findings() -> None:
    metrics = Metrics()
    metrics.analysed(execution(1), [finding(1), finding(1, detector="other")])

    assert samples(metrics, "wfperf_executions_total") == {("ok", "research"): 1}
    assert samples(metrics, "wfperf_findings_total") == {("n_plus_one", "high"): 1, ("other", "high"): 1}
    assert samples(metrics, "wfperf_workflow_duration_seconds_sum") == {("research",): 2.0}


def test_counts_what_is_received_and_lost() -> None:
    metrics = Metrics()
    metrics.accepted(Signal.TRACES, "grpc", 7)
    metrics.refused(Signal.LOGS, "http", "malformed")
    metrics.dropped("undecodable", 3)
    metrics.expired({"exporter/a": 5})
    metrics.store_failed()

    assert samples(metrics, "wfperf_receiver_accepted_items_total") == {("grpc", "traces"): 7}
    assert samples(metrics, "wfperf_receiver_refused_requests_total") == {("http", "malformed", "logs"): 1}
    assert samples(metrics, "wfperf_analyzer_dropped_items_total") == {("undecodable",): 3}
    assert samples(metrics, "wfperf_log_expired_items_total") == {("exporter/a",): 5}
    assert samples(metrics, "wfperf_store_failures_total") == {(): 1}


def test_a_long_name_is_cut() -> None:
    """Each series repeats it: one of 2 MB made /metrics 40 MB long."""
    metrics = Metrics()
    metrics.analysed(execution(1, workflow="x" * 10**6), [])

    assert samples(metrics, "wfperf_executions_total") == {("ok", "x" * 128): 1}
