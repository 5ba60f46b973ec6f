"""The whole path: a program that knows nothing of us, recorded, received, assembled, analysed, reported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph")

REPOSITORY = Path(__file__).resolve().parent.parent
ABOVE_LOW = {"critical", "high", "medium"}

# What examples/langgraph_research.py says that it does wrong.
PLANTED = {
    ("missed_parallelism", "tool", "load_filings, load_prices, load_weather"),
    ("slow_phase", "phase", "writer"),
    ("context_bloat", "phase", "paper_reader"),
    ("repeated_call", "tool", "load_glossary"),
}


def demo(*arguments: str) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    result = subprocess.run(
        [sys.executable, "-m", "otel_wfperf.cli", "demo", "--report", "json", *arguments],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert b"run 1: " in result.stderr  # the program's own output has made room for the document
    content: dict[str, Any] = json.loads(result.stdout)
    return content


@pytest.fixture(scope="module")
def faulty() -> dict[str, Any]:
    return demo()


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    return demo("--healthy")


def median_s(content: dict[str, Any]) -> float:
    return sorted(float(run["duration_s"]) for run in content["executions"])[len(content["executions"]) // 2]


def test_names_exactly_the_planted_mistakes(faulty: dict[str, Any]) -> None:
    found = {
        (finding["detector"], finding["subject"]["kind"], finding["subject"]["name"])
        for finding in faulty["findings"]
        if finding["severity"] in ABOVE_LOW
    }
    assert found == PLANTED


def test_finds_nothing_to_change_in_the_healthy_team(healthy: dict[str, Any]) -> None:
    assert [finding for finding in healthy["findings"] if finding["severity"] in ABOVE_LOW] == []


@pytest.mark.parametrize("content", ["faulty", "healthy"])
def test_records_every_run_completely(content: str, request: pytest.FixtureRequest) -> None:
    runs = request.getfixturevalue(content)["executions"]

    assert len(runs) == 4
    for run in runs:
        assert (run["workflow"], run["status"], run["completeness"]) == ("research", "ok", 1.0)
        assert {phase["name"] for phase in run["phases"]} == {
            "planner",
            "web_researcher",
            "news_researcher",
            "paper_reader",
            "analyst",
            "writer",
            "reviewer",
        }
        assert run["llm"]["calls"] == 17
        path_s = sum(section["duration_s"] for section in run["critical_path"])
        assert path_s == pytest.approx(run["duration_s"], abs=1e-9)


def test_the_predicted_savings_come_true(faulty: dict[str, Any], healthy: dict[str, Any]) -> None:
    predicted_s = sum(finding["saving_s"]["median"] for finding in faulty["findings"] if finding["saving_s"])
    gained_s = median_s(faulty) - median_s(healthy)

    # Chosen: the bound for "observed" findings (30 %); savings of several findings may overlap.
    assert predicted_s == pytest.approx(gained_s, rel=0.3)
