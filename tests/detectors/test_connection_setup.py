from collections.abc import Sequence
from typing import Any

import pytest

from otel_wfperf.detectors.connection_setup import ConnectionSetup
from otel_wfperf.model import Confidence, Execution, Finding, Remove, Severity, Shorten
from tests.detectors.builders import Run, population

PEER = "stock.example.com"


def requests(
    run: Run,
    setups_ms: Sequence[float | None],
    *,
    gap_ms: float = 100,
    work_ms: float = 300,
    start_ms: float = 0,
    **fields: Any,
) -> None:
    """Call a service once for each set-up time, one call after another."""
    at_ms = start_ms
    for setup_ms in setups_ms:
        given = {"outside": True, "peer": PEER, "connection_setup_s": None if setup_ms is None else setup_ms / 1000}
        run.add_other(f"GET {PEER}", at_ms, (setup_ms or 0) + work_ms, **(given | fields))
        at_ms += (setup_ms or 0) + work_ms + gap_ms


def calls(*setups_ms: float | None, number: int = 0, host: str = "host-1", **fields: Any) -> Execution:
    run = Run(number, host=host)
    requests(run, setups_ms, **fields)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(ConnectionSetup().detect(population(*executions)))


def test_reports_a_service_that_is_connected_to_anew_for_each_call() -> None:
    execution = calls(*[200.0] * 6)

    [finding] = found(execution)

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", PEER)
    assert (finding.confidence, finding.severity) == (Confidence.PROVEN, Severity.HIGH)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.0)  # the first of the six has to connect
    assert finding.summary == f"5 of 5 calls of '{PEER}' that could reuse a connection set up a new one, 0.2 s each"
    assert finding.evidence == {
        "calls": 5,
        "calls_with_setup": 5,
        "setup_s": 0.2,
        "setup_share_ratio": 0.4,
        "places": (),
        "runs": 1,
        "runs_affected": 1,
    }
    assert list(finding.changes) == [execution.trace_id]
    assert all(isinstance(each, Shorten) for each in finding.changes[execution.trace_id])


def test_four_calls_that_could_reuse_are_too_few() -> None:
    assert not found(calls(*[400.0] * 5))
    assert found(calls(*[400.0] * 6))


def test_a_pool_that_renews_its_connections_now_and_then_is_left_alone() -> None:
    rarely = [0.0, *[400.0, 0.0, 0.0, 0.0] * 3]
    often = [0.0, *[400.0, 0.0, 0.0] * 4]

    assert not found(calls(*rarely))
    assert found(calls(*often))


def test_set_up_has_to_cost_something() -> None:
    assert not found(calls(*[99.0] * 9, work_ms=400))  # neither 100 ms nor a fifth of the call
    assert found(calls(*[101.0] * 9, work_ms=500))
    assert found(calls(*[99.0] * 9, work_ms=300))


def test_without_attributes_it_is_silent() -> None:
    assert not found(calls(*[None] * 12))
    assert not found(calls(*[0.0] * 12))


def test_the_first_call_of_a_process_has_to_connect() -> None:
    assert not found(*(calls(800, number=number) for number in range(12)))


def test_processes_that_are_known_keep_their_connections_between_runs() -> None:
    def run(number: int, host: str) -> Execution:
        one = Run(number, host=host, start_ms=number * 3000)
        requests(one, [800])
        return one.build()

    assert found(*(run(number, "web-1/7") for number in range(12)))
    assert not found(*(run(number, f"web-1/{number}") for number in range(12)))
    assert not found(*(run(number, "web-1/") for number in range(12)))


def test_after_a_pause_the_service_may_have_hung_up() -> None:
    assert not found(calls(*[400.0] * 9, gap_ms=12_001))
    assert found(calls(*[400.0] * 9, gap_ms=2_000))


def test_calls_at_once_need_a_connection_each() -> None:
    run = Run()
    for _ in range(12):
        requests(run, [400], work_ms=600)

    assert not found(run.build())


def test_a_second_burst_should_find_the_connections_of_the_first() -> None:
    run = Run()
    for start_ms in (0, 1500):
        for _ in range(6):
            requests(run, [400], work_ms=600, start_ms=start_ms)

    [finding] = found(run.build())

    assert finding.evidence["calls"] == 6


def test_what_is_below_a_call_begins_earlier() -> None:
    run = Run()
    for at in range(6):
        call = run.add_other(
            f"POST {PEER}", at * 1100, 1000, outside=True, peer=PEER, connection_setup_s=0.5, connection_wait_s=0.0
        )
        run.add_other("POST /orders", at * 1100 + 520, 460, parent=call, outside=True)

    [finding] = found(run.build())

    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(2.5)


def test_a_span_about_the_connection_alone_belongs_to_the_call_around_it() -> None:
    run = Run()
    for at in range(6):
        call = run.add_other(f"POST {PEER}", at * 1100, 1000, outside=True, peer=PEER)
        run.add_other("http.getconn", at * 1100, 150, parent=call, outside=True, connection_setup_s=0.15)

    [finding] = found(run.build())

    assert finding.subject.name == PEER
    assert finding.evidence["setup_share_ratio"] == 0.15
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.75)
    assert all(isinstance(each, Remove) for changes in finding.changes.values() for each in changes)


def pool(count: int, *, wait_ms: float) -> Execution:
    run = Run()
    for _ in range(count):
        requests(run, [0], work_ms=wait_ms + 400, connection_wait_s=wait_ms / 1000)
    return run.build()


def test_reports_calls_that_wait_for_a_free_connection() -> None:
    [finding] = found(pool(6, wait_ms=800))

    assert (finding.subject.kind.value, finding.subject.name) == ("resource", f"connections to {PEER}")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.summary == f"6 calls of '{PEER}' wait 0.8 s each for a free connection"
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.8)


def test_few_or_short_waits_are_left_alone() -> None:
    assert not found(pool(5, wait_ms=800))
    assert not found(pool(6, wait_ms=500))


def test_calls_one_after_another_do_not_wait_for_each_other() -> None:
    assert not found(calls(*[0.0] * 8, work_ms=1200, connection_wait_s=0.8))
