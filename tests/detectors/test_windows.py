"""Runs are compared again and again: what was computed of them for one comparison serves the next."""

import dataclasses
import gc
from collections.abc import Iterator
from random import Random

import pytest

from otel_wfperf.detectors import detect
from otel_wfperf.model import Execution
from tests.detectors.builders import Run


def runs(count: int, workflow: str = "research") -> list[Execution]:
    """Build runs with retries, equal calls, a fan-out, steps in series and a slow phase in some of them."""
    random, found = Random(1), []
    for number in range(count):
        run = Run(number, workflow)
        for at in range(3):
            run.tool("fetch", 500 * at, 400, error="Reset" if at < 2 else None, input_hash="x")
        for at in range(5):
            run.tool("lookup", 2000 + 700 * at, 600, input_hash="same", output_hash="same")
        for name in ("a", "b", "c", "d"):
            run.agent(name, 6000, random.randrange(400, 900))
        for at, name in enumerate(("research_a", "research_b")):
            run.phase(name, 8000 + 1000 * at, 990 if number % 3 else 3000)
        found.append(run.build())
    return found


def test_findings_are_those_of_runs_that_were_never_compared_before() -> None:
    window = runs(12)
    for end in range(6, 13):
        again = detect(window[end - 6 : end])

        assert again == detect([dataclasses.replace(each) for each in window[end - 6 : end]])
        assert again


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Leave cycles alone: the sidecar seldom looks for any."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_runs_that_leave_the_window_are_freed_at_once() -> None:
    window = runs(6, workflow="to be freed")
    assert detect(window)
    window.clear()

    assert not [each for each in gc.get_objects() if type(each) is Execution and each.workflow == "to be freed"]
