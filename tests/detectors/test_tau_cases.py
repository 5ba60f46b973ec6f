"""Recorded tool calls of real agent runs (tau-bench, airline, GPT-4o) with exact labels of what is repeated.

The recordings have no times. Calls get drawn ones: of a tool 2 to 8 s, so that the rule for two long calls applies to
each pair; of the model as recorded calls of chat models take. Five inputs are read twice or more with one result:

* tau/109 thinks the same thought three times: a finding.
* tau/33 searches four routes twice. Between the two searches it cancelled a reservation, which may free seats: that
  the result was the same is known only because it was asked for again. So these are no findings, and the labels say
  so too (``state_change_between``).

What was repeated because it had failed (``repeats_after_error``) is no finding of this rule either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest

from otel_wfperf.detectors.effects import changes_state
from otel_wfperf.detectors.repeated_call import RepeatedCall
from otel_wfperf.model import Execution
from tests.detectors.builders import Run, population

pytestmark = pytest.mark.shared

# The case, the tool, and the numbers of the calls.
Repeat: TypeAlias = tuple[str, str, tuple[int, ...]]
SEEDS = range(5)


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[Mapping[str, Any]]:
    found = json.loads((shared / "data/cases/tau_repeat_cases.json").read_text())["cases"]
    return [case for case in found if case["tool_calls"]]


def execution(case: Mapping[str, Any], seed: int) -> Execution:
    """Make a run of a case: a model call before each tool call, one after another."""
    random = Random(f"{case['id']}/{seed}")
    run, at_ms = Run(workflow="airline"), 0.0
    for call in case["tool_calls"]:
        model_ms = 700 * math.exp(random.gauss(0, 0.6))
        tool_ms = random.uniform(2000, 8000)
        run.llm(at_ms, model_ms)
        run.tool(
            call["name"],
            at_ms + model_ms + 5,
            tool_ms,
            input_hash=call["args"],
            output_hash=call["result_sha"],
            error="failed" if call["error"] else None,
            step=call["seq"],
        )
        at_ms += model_ms + tool_ms + 10
    return run.build()


def found(case: Mapping[str, Any], seed: int, rule: RepeatedCall) -> Iterator[Repeat]:
    for repetition in rule.repetitions(execution(case, seed)):
        yield case["id"], repetition.calls[0].name, tuple(call.step or 0 for call in repetition.calls)


def labelled(case: Mapping[str, Any], *, guarded: bool) -> Iterator[Repeat]:
    for repeat in case["labels"]["identical_successful_reads"]:
        if repeat["same_result"] and repeat["state_change_between"] is guarded:
            yield case["id"], repeat["tool"], tuple(repeat["seqs"])


@pytest.mark.parametrize("seed", SEEDS)
def test_finds_what_is_labelled_as_repeated_and_nothing_else(cases: list[Mapping[str, Any]], seed: int) -> None:
    # However long a run takes: calls of a case that are minutes apart are still equal.
    rule = RepeatedCall(max_gap_ns=3_600_000_000_000)
    expected = {repeat for case in cases for repeat in labelled(case, guarded=False)}
    predicted = {repeat for case in cases for repeat in found(case, seed, rule)}

    right = len(expected & predicted)
    precision, recall = right / len(predicted), right / len(expected)

    assert expected == {("tau/109", "think", (17, 19, 21))}
    assert (precision, recall) == (1.0, 1.0), predicted ^ expected


def test_labelled_repeats_that_are_no_findings_have_a_change_between(cases: list[Mapping[str, Any]]) -> None:
    guarded = [(case, repeat) for case in cases for repeat in labelled(case, guarded=True)]
    changes = {
        call["name"]
        for case, (_, _, numbers) in guarded
        for call in case["tool_calls"]
        if numbers[0] < call["seq"] < numbers[-1] and not call["error"] and changes_state(call["name"])
    }

    assert [(repeat[0], repeat[1]) for _, repeat in guarded] == [("tau/33", "search_direct_flight")] * 4
    assert changes == {"cancel_reservation"}


def test_what_failed_and_was_tried_again_is_no_repetition(cases: list[Mapping[str, Any]]) -> None:
    rule = RepeatedCall(max_gap_ns=3_600_000_000_000, min_calls=2)
    retried = {(case["id"], each["tool"]) for case in cases for each in case["labels"]["repeats_after_error"]}
    predicted = {repeat[:2] for case in cases for repeat in found(case, 0, rule)}

    assert len(retried) == 3
    assert retried.isdisjoint(predicted)


def test_only_the_repeated_thought_is_reported_with_a_saving(cases: list[Mapping[str, Any]]) -> None:
    findings = {
        (case["id"], finding.subject.name)
        for case in cases
        for finding in RepeatedCall().detect(population(execution(case, 0)))
    }

    assert findings == {("tau/109", "think")}
