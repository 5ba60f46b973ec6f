from typing import Any

import pytest

from otel_wfperf.analysis.what_if import replay
from otel_wfperf.detectors.retry_storm import RetryStorm
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity
from tests.detectors.builders import ROOT, Run, population


def tried(
    *outcomes: str | None,
    number: int = 0,
    pauses_ms: tuple[float, ...] = (),
    each_ms: float = 400,
    kind: OperationKind = OperationKind.TOOL,
    before_ms: float = 1000,
    **fields: Any,
) -> Execution:
    """Build a run of tries of one thing; an outcome is its error, None = success."""
    run = Run(number)
    run.llm(0, before_ms)
    at_ms = before_ms
    for at, error in enumerate(outcomes):
        given = {"input_hash": "same"} | fields
        run.add(kind, "fetch", at_ms, each_ms, error=error, **given)
        at_ms += each_ms + (pauses_ms[at] if at < len(pauses_ms) else 100)
    run.llm(at_ms, 1000)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(RetryStorm().detect(population(*executions)))


@pytest.mark.parametrize("failures", [3, 4, 9])
def test_reports_a_call_that_fails_several_times_before_it_succeeds(failures: int) -> None:
    [finding] = found(tried(*["Reset"] * failures, None))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "fetch")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.severity.rank <= Severity.MEDIUM.rank
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.5 * failures)
    assert finding.evidence["attempts"] == failures + 1
    assert finding.evidence["requests_made_good"] == 1
    assert f"tried {failures + 1} times before it succeeds" in finding.summary


def test_two_failures_are_worth_a_note() -> None:
    [finding] = found(tried("Reset", "Reset", None))

    assert finding.severity is Severity.LOW


def test_one_failure_is_no_storm() -> None:
    assert not found(tried("Reset", None, each_ms=4000))


def test_one_failure_in_every_request_is_one_when_there_are_twenty() -> None:
    often = [tried("Reset", None, number=number) for number in range(20)]

    [finding] = found(*often)
    assert (finding.evidence["attempts_per_request"], finding.severity) == (2.0, Severity.LOW)
    assert not found(*often[:19])
    half = [*often[:9], *(tried(None, number=number) for number in range(9, 20))]
    assert not found(*half)


def test_what_fails_for_good_is_kept_once() -> None:
    [finding] = found(tried("Reset", "Reset", "Reset", "Reset"))

    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.5)
    assert "and fails all the same" in finding.summary


def test_the_same_task_proves_that_steps_are_tries() -> None:
    storm = tried(*["Reset"] * 4, None, kind=OperationKind.PHASE, task="fetch:1", input_hash=None)

    [finding] = found(storm)
    assert (finding.confidence, finding.subject.kind.value) == (Confidence.PROVEN, "phase")


def test_without_inputs_it_is_assumed() -> None:
    [finding] = found(tried(*["Reset"] * 4, None, input_hash=None))

    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.MEDIUM)


def test_pauses_that_were_recorded_are_saved_too() -> None:
    run = Run()
    for at in range(4):
        run.tool("fetch", 1000 * at, 400, input_hash="same", error="Reset" if at < 3 else None)
        if at < 3:
            run.wait("retry_backoff", 1000 * at + 400, 600)
    run.llm(3400, 1000)

    [finding] = found(run.build())
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3.0)


def test_storms_in_one_phase_are_replayed_one_after_another() -> None:
    run = Run()
    for at in range(8):
        run.tool("fetch", 500 * at, 400, input_hash=f"item {at // 4}", error="Reset" if at % 4 < 3 else None)
    execution = run.build()

    [finding] = found(execution)
    assert replay(execution, finding.changes[execution.trace_id]).duration_ns == 900_000_000


def test_inputs_that_change_are_self_correction() -> None:
    run = Run()
    for at in range(5):
        run.tool("query", 500 * at, 400, input_hash=f"try {at}", error="SyntaxError" if at < 4 else None)

    assert not found(run.build())


def test_a_model_that_asks_again_is_no_retry() -> None:
    run = Run()
    for at in range(5):
        run.llm(1000 * at, 500)
        run.tool("query", 1000 * at + 500, 400, input_hash="same", error="SyntaxError" if at < 4 else None)

    assert not found(run.build())


@pytest.mark.parametrize("error", ["CancelledError", "context canceled", "GraphInterrupt"])
def test_cancelled_and_interrupted_calls_did_not_fail(error: str) -> None:
    assert not found(tried(*[error] * 4, None))


def test_calls_at_once_are_no_tries_of_each_other() -> None:
    run = Run()
    for at in range(6):
        run.tool("fetch", 10 * at, 900, input_hash="same", error="Reset")

    assert not found(run.build())


def test_tries_of_calls_at_once_are_kept_apart() -> None:
    run = Run()
    for worker in range(3):
        for at in range(2):
            run.tool("fetch", 1000 * at + 10 * worker, 900, input_hash="same", error=None if at else "Reset")

    assert not found(run.build())


def sent(*statuses: int, gap_ms: float = 100, parent: str = ROOT, run: Run | None = None, **fields: Any) -> Run:
    """Add requests to one host and route."""
    run = run or Run()
    for at, status in enumerate(statuses):
        run.add_other(
            "GET api",
            at * (400 + gap_ms),
            400,
            parent=parent,
            outside=True,
            peer="api",
            route="GET /items",
            status_code=status,
            **fields,
        )
    return run


def test_requests_of_one_host_and_route_are_tries_when_the_server_could_not() -> None:
    [finding] = found(sent(503, 503, 503, 503, 200).build())

    assert (finding.subject.name, finding.confidence) == ("GET api", Confidence.ASSUMED)
    assert finding.evidence["errors"] == ("HTTP 503",)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 499])
def test_requests_that_nobody_tries_again_are_requests_for_other_items(status: int) -> None:
    assert not found(sent(status, status, status, status, 200).build())


def test_a_server_that_asked_for_a_longer_pause_is_not_listened_to() -> None:
    [finding] = found(sent(429, 429, 200, retry_after_s=2.0).build())

    assert finding.evidence["retry_after_ignored"] == 1
    assert finding.severity is Severity.CRITICAL
    assert "(Retry-After)" in finding.recommendation
    [patient] = found(sent(429, 429, 200, gap_ms=2000, retry_after_s=2.0).build())
    assert patient.severity is Severity.LOW


def test_the_pause_that_a_server_asks_for_is_read_inside_of_the_try() -> None:
    run, waited_ms = Run(), 400
    for at in range(3):
        tool = run.tool("search", at * (500 + waited_ms), 500, input_hash="q", error="RateLimited" if at < 2 else None)
        status = {"status_code": 429, "retry_after_s": 5.0} if at < 2 else {"status_code": 200}
        run.add_other("GET api", at * (500 + waited_ms), 490, parent=tool, outside=True, peer="api", **status)

    [finding] = found(run.build())
    assert (finding.subject.name, finding.evidence["retry_after_ignored"]) == ("search", 1)


def test_layers_that_retry_inside_each_other_are_one_finding() -> None:
    run = Run()
    for at in range(2):
        tool = run.tool("search", 1000 * at, 950, input_hash="q", error="HTTP 503" if at == 0 else None)
        for inner in range(2):
            status = 200 if (at, inner) == (1, 1) else 503
            run.add_other(
                "GET api", 1000 * at + 450 * inner, 400, parent=tool, outside=True, peer="api", status_code=status
            )

    [finding] = found(run.build())
    assert (finding.subject.name, finding.evidence["layers"]) == ("search", 2)
    assert finding.evidence["tries_of_innermost_layer"] == 4
    assert finding.recommendation.startswith("Let one of the 2 layers")
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.45)


def test_pauses_that_do_not_grow_are_named() -> None:
    [fixed] = found(tried(*["Reset"] * 4, None, pauses_ms=(100, 100, 100, 100)))
    [growing] = found(tried(*["Reset"] * 4, None, pauses_ms=(100, 200, 400, 800)))

    assert (fixed.evidence["pause_growth_ratio"], growing.evidence["pause_growth_ratio"]) == (1.0, 2.0)
    assert "a growing pause" in fixed.recommendation
    assert "a growing pause" not in growing.recommendation


def test_quick_failures_beside_the_critical_path_cost_nothing() -> None:
    run = Run()
    run.phase("long", 0, 10_000)
    for at in range(5):
        run.tool("fetch", 500 * at, 400, input_hash="same", error="Reset" if at < 4 else None)

    assert not found(run.build())


def test_the_attempts_inside_a_model_call_belong_to_it() -> None:
    run = Run()
    call = run.llm(0, 4000)
    for at in range(3):
        run.llm(1000 * at, 900, parent=call, error="RateLimitError", attempt=at + 1)

    [finding] = found(run.build())
    assert (finding.evidence["attempts"], finding.evidence["requests_made_good"]) == (4, 1)
