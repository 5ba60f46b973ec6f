"""That the benchmark runs and that each recorder records; how fast they are is no matter of a test."""

import subprocess
import sys

import pytest

from benchmarks.overhead import page, parsed
from benchmarks.recorders import NOTHING, RECORDERS
from benchmarks.workloads import WORKLOADS
from tests.instrumentation.programs import REPOSITORY

pytest.importorskip("langchain.agents")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_recorder_records_what_it_says_and_those_that_are_missing_are_named() -> None:
    done = run(
        "--rounds", "1", "--runs", "3", "--seconds", "0", "--workload", "agent", "--size", "200", "--growth-runs", "0"
    )

    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    spans = {row[0].strip("| "): row[1] for row in rows}
    agent = WORKLOADS["agent"]
    for recorder in RECORDERS.values():
        if not recorder.is_installed:
            assert f"{recorder.name} is not installed (`pip install {recorder.package}`)" in done.stdout
        elif recorder.is_heard and recorder.name != NOTHING:
            expected = sum(1 if what == "workflow" else getattr(agent, what) for what in recorder.records)
            assert int(spans[recorder.name]) >= expected
    assert spans["otel-wfperf"] == spans["by hand"] == "23"
    assert "round 1 of 1: agent, 200 B, otel-wfperf" in done.stderr


def test_no_two_runs_are_given_the_same_text() -> None:
    for workload in WORKLOADS.values():
        for size in (200, 200_000):
            first, second = (workload.state(size, run) for run in (1, 2))
            assert first != second
            assert len(str(first)) == pytest.approx(size, rel=0.5)


def test_the_page_says_how_it_was_made() -> None:
    text = page("TABLES", parsed(["--rounds", "3", "--runs", "7", "--seconds", "1.5"]))

    assert "python -m benchmarks.overhead --write docs/overhead.md" in text
    assert "medians of 3 rounds of\nat least 7 runs and 1.5 s" in text
    assert text.endswith("TABLES")
