"""Healthy workflows whose model calls are drawn from recorded ones, tokens and times together."""

import csv
from pathlib import Path
from random import Random

import pytest

from otel_wfperf.detectors import detect
from otel_wfperf.model import Execution, Severity
from tests.detectors.builders import Run

pytestmark = pytest.mark.shared

MODELS = (
    "gpt-3.5-turbo-0125",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini-2024-07-18",
    "gpt-4.1-nano-2025-04-14",
    "davinci:2023-07-21-v2",
)


def recorded_calls(shared: Path, model: str) -> list[tuple[int, int, float]]:
    """Return input tokens, output tokens and server time (milliseconds) of a model's calls."""
    with (shared / "data/llm_calls.csv").open() as lines:
        return [
            (int(row["input_tokens"]), int(row["output_tokens"]), float(row["server_processing_ms"]))
            for row in csv.DictReader(lines)
            if row["model"] == model and row["server_processing_ms"] and row["output_tokens"]
        ]


def workflow(calls: list[tuple[int, int, float]], seed: int) -> list[Execution]:
    random = Random(seed)
    phases, runs = random.randrange(3, 7), random.choice([1, 2, 3, 4, 6, 10, 20])
    executions = []
    for number in range(runs):
        run, at_ms = Run(number), 0.0
        for phase in range(phases):
            start_ms = at_ms
            parent = run.phase(f"step_{phase}", start_ms, 0)
            for _ in range(1 + phase % 3):
                tokens_in, tokens_out, duration_ms = random.choice(calls)
                run.llm(at_ms, duration_ms, parent=parent, tokens=(tokens_in, tokens_out))
                at_ms += duration_ms + 2
            run.resize(parent, at_ms - start_ms)
        executions.append(run.build())
    return executions


@pytest.mark.parametrize("model", MODELS)
def test_finds_nothing_worth_acting_on_in_recorded_times(shared: Path, model: str) -> None:
    calls = recorded_calls(shared, model)
    assert len(calls) >= 25
    for seed in range(12):
        found = [each for each in detect(workflow(calls, seed)) if each.severity.rank < Severity.LOW.rank]
        assert not found, f"seed {seed}"
