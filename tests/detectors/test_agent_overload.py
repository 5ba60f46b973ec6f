import math
from collections.abc import Sequence
from random import Random
from statistics import median

import pytest

from otel_wfperf.analysis.queue_replay import waits_ns
from otel_wfperf.analysis.timeline import in_flight_at_arrival
from otel_wfperf.detectors.agent_overload import AgentOverload
from otel_wfperf.detectors.queueing import wait_ratio_with_one_more
from otel_wfperf.model import Confidence, Execution, Finding, Severity
from tests.detectors.builders import MS, Run, population
from tests.detectors.faults import Job, queue, queued_runs


def found(*executions: Execution) -> list[Finding]:
    return list(AgentOverload().detect(population(*executions)))


def with_waits(*waits_ms: float, service_ms: float = 1000, kind: str = "queue") -> list[Execution]:
    runs = []
    for number, wait_ms in enumerate(waits_ms):
        run = Run(number)
        agent = run.agent("solver", 0, wait_ms + service_ms)
        run.wait(kind, 0, wait_ms, parent=agent)
        run.llm(wait_ms, service_ms, parent=agent)
        runs.append(run.build())
    return runs


def test_recorded_waits_are_evidence_as_they_stand() -> None:
    [finding] = found(*with_waits(*[600] * 30))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "solver")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.evidence["wait_share_ratio"] == pytest.approx(0.375)
    assert finding.evidence["mean_wait_s"] == pytest.approx(0.6)
    assert finding.saving is not None
    assert 0 < finding.saving.median_s <= 0.6
    assert finding.advice is not None
    assert (finding.advice.optimizer, finding.advice.value) == ("capacity_scaler", 2)


def test_waits_of_just_under_a_third_are_usual() -> None:
    assert found(*with_waits(*[430] * 30))
    assert not found(*with_waits(*[425] * 30))


@pytest.mark.parametrize(("waits", "severity"), [(5, Severity.MEDIUM), (4, Severity.LOW), (3, Severity.LOW)])
def test_few_waits_are_indicative(waits: int, severity: Severity) -> None:
    [finding] = found(*with_waits(*[900] * waits))

    assert (finding.confidence, finding.severity) == (Confidence.INDICATIVE, severity)


def test_two_waits_are_chance() -> None:
    assert not found(*with_waits(*[900] * 2))


@pytest.mark.parametrize("kind", ["human", "retry_backoff"])
def test_people_and_back_off_are_not_capacity(kind: str) -> None:
    assert not found(*with_waits(*[9000] * 30, kind=kind))


def test_a_rate_limit_is_met_by_sending_less_at_once() -> None:
    [finding] = found(*with_waits(*[900] * 30, kind="rate_limit"))

    assert finding.advice is not None
    assert finding.advice.optimizer == "concurrency_limiter"


@pytest.mark.parametrize("seed", range(10))
def test_a_queue_nobody_recorded_shows_in_the_durations(seed: int) -> None:
    [finding] = found(*queued_runs(queue(Random(seed), jobs=120, servers=1, load=0.95), waits=False))

    assert finding.subject.name == "solver"
    assert "looks like a queue" in finding.summary


@pytest.mark.parametrize("seed", range(10))
def test_servers_without_limit_have_no_queue(seed: int) -> None:
    assert not found(*queued_runs(queue(Random(seed), jobs=200, servers=60, load=0.1), waits=False))


def test_nineteen_calls_are_too_few_to_see_a_queue() -> None:
    jobs = queue(Random(1), jobs=120, servers=1, load=0.95)

    assert not found(*queued_runs(jobs[:19], waits=False))


@pytest.mark.parametrize("seed", range(40))
def test_few_calls_to_servers_without_limit_have_no_queue(seed: int) -> None:
    assert not found(*queued_runs(queue(Random(seed), jobs=25, servers=60, load=0.1), waits=False))


@pytest.mark.parametrize("seed", range(5))
def test_big_jobs_that_come_together_are_no_queue(seed: int) -> None:
    random, runs, at_ms = Random(seed), [], 0.0
    for number in range(90):
        rush = number // 10 % 3 == 2
        at_ms += random.expovariate(1 / (300 if rush else 6000))
        tokens_out = random.randrange(400, 700) if rush else random.randrange(30, 60)
        duration_ms = (250 + 12 * tokens_out) * math.exp(random.gauss(0, 0.2))
        run = Run(number, start_ms=round(at_ms))
        agent = run.agent("solver", 0, duration_ms)
        run.llm(0, duration_ms, parent=agent, tokens=(300, tokens_out))
        runs.append(run.build())

    assert not found(*runs)


def test_counts_the_others_that_run_when_a_call_arrives() -> None:
    run = Run()
    for start_ms, duration_ms in [(0, 100), (50, 100), (60, 10), (100, 10), (150, 10)]:
        run.tool("work", start_ms, duration_ms)

    assert in_flight_at_arrival(run.operations) == [0, 1, 2, 1, 0]


def test_one_more_server_helps_the_more_the_busier_the_first() -> None:
    assert wait_ratio_with_one_more(1, 0.95) < wait_ratio_with_one_more(1, 0.5) < 0.3


def burst(number: int, calls: int, *, servers: int) -> Execution:
    """Calls of one agent that come together, and of which only some can be served at once."""
    run = Run(number)
    for call in range(calls):
        run.agent("ocr", call, 1000 * (1 + call // servers))
    return run.build()


def test_a_clear_queue_shows_in_twenty_calls_and_is_medium() -> None:
    [finding] = found(*(burst(number, 7, servers=1) for number in range(3)))

    assert (finding.subject.name, finding.severity) == ("ocr", Severity.MEDIUM)
    assert finding.confidence is Confidence.INDICATIVE
    assert not found(*(burst(number, 7, servers=7) for number in range(3)))
    assert not found(*(burst(number, 6, servers=1) for number in range(3)))


def shifted_by_one_more_server_ns(jobs: Sequence[Job], servers: int, *, queued_only: bool) -> float:
    """Return the median of what one more server takes off the time of a call."""
    arrivals = [round(job.arrival_ms * MS) for job in jobs]
    services = [round((job.end_ms - job.start_ms) * MS) for job in jobs]
    now, then = (waits_ns(arrivals, services, count) for count in (servers, servers + 1))
    return median(before - after for before, after in zip(now, then, strict=True) if before or not queued_only)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(("servers", "load"), [(1, 0.95), (2, 0.95), (3, 1.3)])
@pytest.mark.parametrize("seed", range(4))
def test_the_saving_is_that_of_a_rerun_with_one_more_server(
    seed: int, servers: int, load: float, *, waits: bool
) -> None:
    jobs = queue(Random(seed), jobs=80, servers=servers, load=load)

    [finding] = found(*queued_runs(jobs, waits=waits))

    assert finding.saving is not None
    expected_ns = shifted_by_one_more_server_ns(jobs, servers, queued_only=waits)
    assert finding.saving.median_s * 1e9 == pytest.approx(expected_ns, rel=0.02)
    assert finding.advice is not None
    assert finding.advice.value == servers + 1
    assert finding.changes.keys() == set(finding.trace_ids)
