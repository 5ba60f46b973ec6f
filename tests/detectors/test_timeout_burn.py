from collections.abc import Sequence
from typing import Any

import pytest

from otel_wfperf.detectors.timeout_burn import TimeoutBurn
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind
from tests.detectors.builders import Run, population

OK = (300.0, 350.0, 400.0, 420.0, 500.0, 380.0, 330.0, 360.0)


def calls(
    failed_ms: Sequence[float], *, ok_ms: Sequence[float] = OK, error: str | None = "ReadTimeout", **fields: Any
) -> list[Execution]:
    """Build a run for each call: those that fail after some time, and those that succeed."""
    found = []
    for number, duration_ms in enumerate([*failed_ms, *ok_ms]):
        run = Run(number)
        run.llm(0, 500)
        failed = error if number < len(failed_ms) else None
        run.tool("load_quotes", 500, duration_ms, error=failed, input_hash=f"{number}", **fields)
        run.llm(600 + duration_ms, 500)
        found.append(run.build())
    return found


def found(*executions: Execution) -> list[Finding]:
    return list(TimeoutBurn().detect(population(*executions)))


@pytest.mark.parametrize("limit_ms", [1000, 5000, 30_000, 7300])
@pytest.mark.parametrize("count", [3, 8])
def test_reports_calls_that_are_given_up_after_the_same_long_time(limit_ms: float, count: int) -> None:
    [finding] = found(*calls([limit_ms + 3 * at for at in range(count)]))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "load_quotes")
    assert finding.confidence is Confidence.OBSERVED
    assert (finding.evidence["timeouts"], finding.evidence["success_p99_s"]) == (count, 0.5)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx((limit_ms - 500) / 1000, abs=0.05)
    assert "Shorten the timeout of 'load_quotes' to about 0.5 s" in finding.recommendation


def test_two_timeouts_are_chance() -> None:
    assert not found(*calls([10_000, 10_000]))


def test_failures_of_varied_length_are_no_limit() -> None:
    assert not found(*calls([10_000, 10_500, 11_200, 12_000, 13_100]))


def test_a_few_alike_among_many_are_chance() -> None:
    assert not found(*calls([5000, 5010, 5020, *(1000 * 1.3**at for at in range(1, 9))], error="BadGateway"))


def test_quick_failures_are_all_alike() -> None:
    assert found(*calls([900, 900, 900]))
    assert not found(*calls([890, 890, 890]))


def test_another_error_needs_a_round_number_of_seconds() -> None:
    assert found(*calls([10_050, 10_000, 10_100], error="ConnectError"))
    assert not found(*calls([7300, 7310, 7320], error="ConnectError"))


def test_a_time_that_successes_exceed_is_no_limit() -> None:
    assert not found(*calls([10_000, 10_000, 10_000], ok_ms=(*OK, 14_000)))


def test_a_limit_just_above_what_successes_take_is_right() -> None:
    assert not found(*calls([10_000] * 3, ok_ms=[9_000, 9_500, 9_700, 9_900, 9_850]))


def test_cancelled_calls_and_missing_things_are_no_timeouts() -> None:
    assert not found(*calls([10_000] * 4, error="CancelledError"))
    assert not found(*calls([10_000] * 4, error="404", status_code=404))


def test_where_it_hardly_ever_succeeds_the_first_timeout_says_enough() -> None:
    run = Run()
    for at in range(4):
        run.tool("load_quotes", 10_100 * at, 10_000, error="ReadTimeout", input_hash=f"{at}")

    [finding] = found(run.build())
    assert finding.confidence is Confidence.INDICATIVE
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(30)
    assert finding.recommendation.startswith("Stop calling 'load_quotes'")


def test_many_tries_of_one_request_are_left_to_retry_storm() -> None:
    run = Run()
    for at in range(4):
        run.tool("load_quotes", 10_100 * at, 10_000, error="ReadTimeout" if at < 3 else None, input_hash="same")

    assert not found(run.build())


def test_a_timeout_that_is_passed_on_counts_where_it_began() -> None:
    executions = []
    for number in range(8):
        run = Run(number)
        took_ms, error = (10_000, "TimeoutError") if number < 3 else (400, None)
        phase = run.phase("fetch", 0, took_ms + 20, error=error)
        tool = run.tool("load_quotes", 5, took_ms + 10, parent=phase, error=error)
        run.add(OperationKind.OTHER, "GET api", 8, took_ms, parent=tool, outside=True, peer="api", error=error)
        run.llm(took_ms + 100, 500)
        executions.append(run.build())

    [finding] = found(*executions)
    assert (finding.subject.name, finding.evidence["members"]) == ("load_quotes", ("GET api",))
    assert finding.evidence["places"] == ("fetch",)
