"""Histories of a workflow: many runs over hours or days, whose times depend on each other and on the time of day."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from otel_wfperf.model import Execution
from tests.detectors.builders import Run
from tests.detectors.planting import Fault

STEPS = {"plan": 700.0, "research": 1400.0, "writer": 2000.0}
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class History:
    """How times go on; the phase ``writer`` is where something happens.

    Attributes:
        runs: How many.
        spacing_ms: Mean time between two of them (milliseconds); they come at random.
        spread: Standard deviation of ln(time) of one call.
        dependence: Correlation with the run before (0..1).
        cycle: Height of a daily cycle of ln(time).
        factor: Times of the writer over usual, by share of the history that has passed (0..1).
        fields: Of the writer's model call, by the same.
        tokens: Input tokens of the writer's call, by the same.
        calls: Calls of the writer, by the same.
    """

    runs: int = 80
    spacing_ms: float = 60_000
    spread: float = 0.4
    dependence: float = 0.0
    cycle: float = 0.0
    factor: Callable[[float], float] = lambda _: 1.0
    fields: Callable[[float], dict[str, Any]] = lambda _: {}
    tokens: Callable[[float], int] = lambda _: 500
    calls: Callable[[float], int] = lambda _: 1


def drawn_history(history: History, seed: int) -> list[Execution]:
    """Draw the runs of a history."""
    random = Random(seed)
    level = dict.fromkeys(STEPS, 0.0)
    start_ms, found = 0.0, []
    for number in range(history.runs):
        passed = number / history.runs
        run = Run(number, start_ms=round(start_ms))
        at_ms = 0.0
        for name, usual_ms in STEPS.items():
            kept = history.dependence
            level[name] = kept * level[name] + random.gauss(0, history.spread * math.sqrt(1 - kept * kept))
            log = level[name] + history.cycle * math.sin(2 * math.pi * start_ms / DAY_MS)
            is_writer = name == "writer"
            phase = run.phase(name, at_ms, 0)
            begun_ms = at_ms
            for _ in range(history.calls(passed) if is_writer else 1):
                duration_ms = usual_ms * math.exp(log) * (history.factor(passed) if is_writer else 1)
                extra = history.fields(passed) if is_writer else {}
                size = history.tokens(passed) if is_writer else 500
                run.llm(at_ms, duration_ms, parent=phase, tokens=(size, 40), **extra)
                at_ms += duration_ms
            run.resize(phase, at_ms - begun_ms)
            at_ms += 2
        found.append(run.build())
        start_ms += random.expovariate(1 / history.spacing_ms)
    return found


def after(share: float, before: Any, now: Any) -> Callable[[float], Any]:
    """Change from one value to another once a share of the history has passed."""
    return lambda passed: now if passed >= share else before


def regression_by_version(seed: int) -> list[Execution]:
    """A new version of the service has a writer that takes twice as long."""
    fields = after(0.5, {"service_version": "1.4"}, {"service_version": "1.5"})
    return drawn_history(History(factor=after(0.5, 1.0, 2.0), fields=fields), seed)


def regression_unexplained(seed: int) -> list[Execution]:
    """The writer takes two and a half times as long from some moment, and nothing says why."""
    return drawn_history(History(factor=after(0.6, 1.0, 2.5), runs=100, dependence=0.3, spacing_ms=50_000), seed)


def trend(seed: int) -> list[Execution]:
    """The writer doubles its time in a week, whose days and nights differ by a third."""
    history = History(
        runs=500, spacing_ms=7 * DAY_MS / 500, cycle=0.15, dependence=0.3, factor=lambda passed: 2.0**passed
    )
    return drawn_history(history, seed)


FAULTS_HISTORY: dict[str, Fault] = {
    "regression_by_version": Fault("latency_regression", ("phase", "writer"), regression_by_version),
    "regression_unexplained": Fault("latency_regression", ("phase", "writer"), regression_unexplained),
    "trend": Fault("latency_trend", ("phase", "writer"), trend),
}
