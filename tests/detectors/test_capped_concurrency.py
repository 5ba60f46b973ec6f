from random import Random
from typing import Any

import pytest

from otel_wfperf.detectors.capped_concurrency import CappedConcurrency
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity
from tests.detectors.builders import Run, population
from tests.detectors.fan_out_simulation import Simulation, Spans, Work, drawn_work


def found(*executions: Execution) -> list[Finding]:
    return list(CappedConcurrency().detect(population(*executions)))


def drawn(branches: int, places: int, *, count: int = 5, spread: float = 0.4, **fields: Any) -> list[Execution]:
    return [
        Simulation(drawn_work(Random(f"{number}/{branches}"), branches, spread=spread), places, **fields).build(number)
        for number in range(count)
    ]


def test_says_what_happens_what_it_costs_and_what_to_do() -> None:
    work = tuple(Work(name, ((2.0, 1000.0),)) for name in "abcdef")

    [finding] = found(*(Simulation(work, places=2).build(number) for number in range(5)))

    assert (finding.subject.kind.value, finding.subject.name) == (
        "phase",
        "a, b, c, d and 2 others",
    )
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.OBSERVED)
    assert finding.summary == ("Of 6 branches (a, b, c, d and 2 others) at most 2 work at once; the last one waits 2 s")
    assert finding.recommendation == (
        "Raise what lets only 2 of a, b, c, d and 2 others work at once (a semaphore, a pool, a number of workers) to "
        "4, if what is behind it can take more."
    )
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.0, abs=0.01)
    assert set(finding.changes) == set(finding.trace_ids)
    assert finding.evidence == {
        "parent": "gather",
        "places": ("gather",),
        "members": ("a", "b", "c", "d", "e", "f"),
        "branches": 6,
        "capacity": 2,
        "proposed_capacity": 4,
        "effective_parallelism": 2.0,
        "group_s": 3.002,
        "last_wait_s": 2.002,
        "scheduling": ("overlap",),
        "cause": "unknown",
        "runs": 5,
        "runs_affected": 5,
    }


@pytest.mark.parametrize("places", [2, 3])
@pytest.mark.parametrize("branches", [8, 12, 20])
@pytest.mark.parametrize("spread", [0.4, 0.7, 1.0])
def test_finds_limits_at_any_width_and_usual_spread(places: int, branches: int, spread: float) -> None:
    [finding] = found(*drawn(branches, places, spread=spread))

    assert finding.evidence["capacity"] == places


@pytest.mark.parametrize(("spans", "fields"), [(Spans.TOGETHER, {}), (Spans.LATE, {"parallel_group": "g"})])
def test_enough_places_are_no_limit(spans: Spans, fields: dict[str, Any]) -> None:
    assert not found(*drawn(8, 8, spread=1.0, spans=spans, fields=fields))


def test_one_place_is_false_parallelism() -> None:
    assert not found(*drawn(8, 1))


def test_one_branch_that_waits_may_depend_on_another() -> None:
    assert found(*drawn(9, 3, spans=Spans.LATE, fields={"parallel_group": "g"}))
    assert not found(*drawn(4, 3, spans=Spans.LATE, fields={"parallel_group": "g"}))


def test_a_declared_group_is_proof_where_spans_start_late() -> None:
    [finding] = found(*drawn(9, 3, count=1, spans=Spans.LATE, fields={"parallel_group": "g"}))

    assert finding.confidence is Confidence.PROVEN
    assert finding.severity.rank < Severity.LOW.rank


def test_overlap_in_few_runs_is_medium_at_most() -> None:
    [finding] = found(*drawn(12, 2, count=2))

    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.ASSUMED)


def test_calls_of_one_turn_are_proof_and_calls_of_one_name_are_a_guess() -> None:
    def runs(**fields: Any) -> list[Execution]:
        return [
            Simulation(
                drawn_work(Random(f"{number}"), 8, spread=0.4, name="fetch"),
                places=2,
                spans=Spans.LATE,
                kind=OperationKind.TOOL,
                fields=fields,
            ).build(number)
            for number in range(5)
        ]

    [proven] = found(*runs(turn="t"))
    [guessed] = found(*runs())

    assert (proven.confidence, proven.severity.rank < Severity.LOW.rank) == (Confidence.PROVEN, True)
    assert (guessed.confidence, guessed.severity) == (Confidence.ASSUMED, Severity.LOW)


def test_two_chains_are_not_two_places() -> None:
    runs = []
    for number in range(6):
        run, random = Run(number), Random(number)
        for lane in "ab":
            at_ms = 0.0
            for step in range(4):
                length_ms = random.uniform(500, 1500)
                run.phase(f"{lane}_{step}", at_ms, length_ms)
                at_ms += length_ms + 3
        runs.append(run.build())

    assert not found(*runs)


def test_batches_that_wait_for_their_slowest_leave_places_empty() -> None:
    runs = []
    for number in range(6):
        run, random, start_ms = Run(number), Random(number), 0.0
        for batch in range(3):
            ends = []
            for at in range(3):
                length_ms = random.uniform(400, 2000)
                run.phase(f"item_{batch}_{at}", start_ms, length_ms, parallel_group="g")
                ends.append(start_ms + length_ms)
            start_ms = max(ends) + 2
        runs.append(run.build())

    assert not found(*runs)


@pytest.mark.parametrize(
    ("kind", "fields", "is_information"),
    [
        ("lock", {}, False),
        ("concurrency", {}, False),
        ("concurrency", {"concurrency_limit": 3}, True),
        ("rate_limit", {}, True),
    ],
)
def test_recorded_waits_name_the_cause_and_a_chosen_limit_is_for_information(
    kind: str, fields: dict[str, Any], *, is_information: bool
) -> None:
    [finding] = found(*drawn(12, 3, waits=kind, wait_fields=fields))

    assert finding.evidence["wait_kind"] == kind
    assert (finding.severity is Severity.INFO) is is_information


def test_waits_beside_the_branches_count_too() -> None:
    fields = {"parallel_group": "g"}
    [finding] = found(*drawn(12, 3, spans=Spans.LATE, waits="concurrency", fields=fields))

    assert finding.evidence["cause"] == "concurrency"
    assert finding.recommendation.startswith("Raise the limit of 3 that ")
