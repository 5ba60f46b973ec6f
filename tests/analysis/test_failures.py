import dataclasses

import pytest

from otel_wfperf.analysis.failures import failures, has_failed, may_succeed_later, says_timeout
from otel_wfperf.model import Operation
from tests.detectors.builders import ROOT, Run

PLAIN = Operation(trace_id="t", span_id="s", start_ns=0, end_ns=1)


def operation(error: str | None = None, status: int | None = None) -> Operation:
    return dataclasses.replace(PLAIN, error=error, status_code=status)


@pytest.mark.parametrize(
    ("error", "status", "failed"),
    [
        (None, None, False),
        (None, 200, False),
        (None, 304, False),
        ("ValueError", None, True),
        ("503", 503, True),
        (None, 500, True),
        (None, 429, True),
        ("404", 404, False),
        ("404", None, False),
        (None, 410, False),
        (None, 499, False),
        ("asyncio.exceptions.CancelledError", None, False),
        ("rpc error: code = Canceled", None, False),
        ("langgraph.errors.GraphInterrupt", None, False),
        ("TimeoutError", None, True),
    ],
)
def test_cancellation_steering_and_absence_are_no_failures(
    error: str | None, status: int | None, *, failed: bool
) -> None:
    assert has_failed(operation(error, status)) is failed


def test_clients_try_again_what_the_server_could_not_do() -> None:
    assert [
        status for status in (None, 400, 401, 408, 422, 429, 500, 503) if may_succeed_later(operation("x", status))
    ] == [
        None,
        408,
        429,
        500,
        503,
    ]


@pytest.mark.parametrize("error", ["ReadTimeout", "TimeoutError", "context deadline exceeded", "Request timed out."])
def test_timeouts_go_by_many_names(error: str) -> None:
    assert says_timeout(operation(error))
    assert says_timeout(operation(None, 504))
    assert not says_timeout(operation("ConnectError", 500))


def test_a_failure_that_goes_up_to_the_root_ends_the_run_where_it_began() -> None:
    run = Run()
    phase = run.phase("report", 0, 1000, error="ReportError")
    run.tool("load", 0, 300, parent=phase, error="Reset")
    tool = run.tool("save", 500, 490, parent=phase, error="ReportError")
    run.add_other("GET api", 510, 470, parent=tool, outside=True, peer="api", status_code=500)

    found = failures(run.build(error="ReportError"))
    assert [(each.operation.name, each.step.name, each.ends_run) for each in found] == [
        ("load", "load", False),
        ("GET api", "save", True),
    ]


def test_work_that_goes_on_shows_that_a_failure_was_got_over() -> None:
    run = Run()
    agent = run.agent("assistant", 0, 9000, error="MaxTurnsExceeded")
    run.tool("search", 0, 1000, parent=agent, error="Reset")

    assert [each.step.name for each in failures(run.build())] == ["assistant", "search"]


def test_tries_that_were_made_good_are_left_out() -> None:
    run = Run()
    first = run.tool("search", 0, 1000, error="Reset")
    run.tool("search", 1000, 1000)

    assert not failures(run.build(), recovered=frozenset({first}))


def test_a_run_that_fails_by_itself_is_its_own_step() -> None:
    [found] = failures(Run().build(1000, error="ConfigError"))

    assert (found.step.span_id, found.ends_run) == (ROOT, True)
