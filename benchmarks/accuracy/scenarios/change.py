# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults that come with time: latency_regression and latency_trend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from benchmarks.accuracy.scenario import PHASES, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import World

_DAY_S: Final = 86_400.0
_WEEK_S: Final = 7 * _DAY_S


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    return Scenario(name=f"{detector} {name}", detector=detector, kind=kind, run=run, **fields)


# -- latency_regression -------------------------------------------------------------------------------------------


def _since_half(w: World) -> bool:
    """Tell whether this run is of the second half."""
    return w.number >= _HALF


_HALF: Final = 30


def _regressed(factor: float, *, released: bool = True, tool: bool = False, longer: float = 1.0) -> Workflow:
    """From the thirtieth run on, a version is out in which one phase is slower."""

    async def run(w: World) -> None:
        slower = factor if _since_half(w) else 1.0
        more = longer if _since_half(w) else 1.0

        async def research() -> None:
            if tool:
                await w.tool("query_index", {"of": w.said[-1]}, seconds=2.5 * slower, log_spread=0.35, key="index")
                await talk(w, calls=1)
            else:
                await talk(w, calls=3, slower=slower, tokens_in=round(500 * more), tokens_out=round(40 * more))

        await phases(w, {"research": research}, names=("plan", "research", "writer"))

    async def released_run(w: World) -> None:
        w.version = "1.1" if _since_half(w) else "1.0"
        await run(w)

    return released_run if released else run


async def _wider(w: World) -> None:
    """From the thirtieth run on twice as many branches share a pool of two."""
    await phases(w, names=("plan",))
    plan = w.said[-1]

    async def branch(at: int) -> None:
        async with w.slot("workers", 2, recorded=False):
            await w.tool("summarise", {"chunk": at, "of": plan}, seconds=1.0, key=at)

    async with w.phase("research"):
        await w.gather(*(branch(at) for at in range(8 if _since_half(w) else 4)))
    await phases(w, names=("writer",))


def _regression(name: str, factor: float, **fields: Any) -> Scenario:
    return _case(
        "latency_regression",
        name,
        Kind.POSITIVE,
        _regressed(factor, **fields),
        fixed=_regressed(1, **fields),
        subjects=(("phase", "research"), ("tool", "query_index"), ("llm", "gpt-4o-mini-2024-07-18")),
        runs=(60,),
        needs=frozenset({PHASES}),
        also=frozenset({"slow_phase", "critical_path_hog", "latency_trend"}),
        strength=f"{factor / 1.2:.2f} times the least ratio of 1.2",
    )


_REGRESSIONS: Final = (
    _regression("model x2", 2),
    _regression("tool x1.8", 1.8, tool=True),
    _regression("tool x3", 3, tool=True),
    _regression("tool x2.5 without a version", 2.5, tool=True, released=False),
    _case("latency_regression", "tool x1.1", Kind.NEAR_MISS, _regressed(1.1, tool=True), runs=(60,)),
    _case(
        "latency_regression",
        "twice as many branches",
        Kind.LOOK_ALIKE,
        _wider,
        runs=(60,),
        also=frozenset({"capped_concurrency", "critical_path_hog", "false_parallelism"}),
    ),
    _case("latency_regression", "no change", Kind.LOOK_ALIKE, _regressed(1), runs=(60,)),
    _case(
        "latency_regression",
        "work of 3 times the size",
        Kind.LOOK_ALIKE,
        _regressed(1, longer=3, released=False),
        runs=(60,),
    ),
)


# -- latency_trend ------------------------------------------------------------------------------------------------


def _over_a_week(_random: Random, runs: int) -> Sequence[float]:
    """Spread runs evenly over seven days."""
    return [(at + _random.uniform(0, 0.5)) * _WEEK_S / runs for at in range(runs)]


def _growing(growth: float, *, daily: float = 0.0) -> Workflow:
    """A search takes longer from day to day: its index grows; in the day it may take longer than at night."""

    async def run(w: World) -> None:
        now_s = w.lab.clock.now_s
        factor = 1 + growth * now_s / _WEEK_S
        factor *= 1 + daily * (1 + math.sin(2 * math.pi * now_s / _DAY_S)) / 2

        async def research() -> None:
            await w.tool("query_index", {"of": w.said[-1]}, seconds=3 * factor, log_spread=0.2, key="index")
            await w.llm(500, 20)

        await phases(w, {"research": research}, names=("plan", "research"), calls=1)

    return run


async def _weather(w: World) -> None:
    """A search is slow for some hours and fast for others, by chance: it drifts, and goes nowhere."""
    hour = int(w.lab.clock.now_s // 3600)
    drift = 0.0
    for each in range(hour + 1):
        drift = 0.5 * drift + w.lab.random("drift", each).gauss(0, 0.15)

    async def research() -> None:
        await w.tool("query_index", {"of": w.said[-1]}, seconds=3 * math.exp(drift), log_spread=0.2, key="index")
        await w.llm(500, 20)

    await phases(w, {"research": research}, names=("plan", "research"), calls=1)


def _trend(name: str, growth: float) -> Scenario:
    return _case(
        "latency_trend",
        name,
        Kind.POSITIVE,
        _growing(growth),
        subjects=(
            ("phase", "research"),
            ("tool", "query_index"),
            ("workflow", f"bench_latency_trend_{name}".replace(" ", "_")),
        ),
        runs=(168,),
        starts=_over_a_week,
        needs=frozenset({PHASES}),
        also=frozenset({"latency_regression", "slow_phase", "critical_path_hog"}),
        strength=f"{growth / 0.15:.0f} times the least change of 15 %",
    )


_TRENDS: Final = (
    _trend("index x1.6 in a week", 0.6),
    _trend("index x2 in a week", 1.0),
    _trend("index x3 in a week", 2.0),
    _case("latency_trend", "index x1.05 in a week", Kind.NEAR_MISS, _growing(0.05), runs=(168,), starts=_over_a_week),
    _case("latency_trend", "daily cycle", Kind.LOOK_ALIKE, _growing(0, daily=1.0), runs=(168,), starts=_over_a_week),
    _case(
        "latency_trend", "hours that depend on the last", Kind.LOOK_ALIKE, _weather, runs=(168,), starts=_over_a_week
    ),
    _case("latency_trend", "no change", Kind.LOOK_ALIKE, _growing(0), runs=(168,), starts=_over_a_week),
)
SCENARIOS: Final = (*_REGRESSIONS, *_TRENDS)
