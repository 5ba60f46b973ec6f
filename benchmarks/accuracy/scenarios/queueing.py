# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults of shared things: agent_overload and resource_contention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.scenario import RESOURCES, WAITS, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import at_intervals
from benchmarks.accuracy.world import World
from otel_wfperf.instrumentation.resources import ResourceSample

# A call of the solver takes about 2 s.
_CALL_S: Final = 2.0


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    return Scenario(name=f"{detector} {name}", detector=detector, kind=kind, run=run, **fields)


# -- agent_overload -----------------------------------------------------------------------------------------------


def _arrivals(load: float, servers: int) -> Callable[[Random, int], Sequence[float]]:
    """Let runs come by chance, so that this share of the servers is busy."""

    def starts(random: Random, runs: int) -> Sequence[float]:
        at_s, found = 0.0, []
        for _ in range(runs):
            at_s += random.expovariate(load * servers / _CALL_S)
            found.append(at_s)
        return found

    return starts


def _queue(servers: int, *, recorded: bool) -> Workflow:
    """Runs share an agent that serves only so many at once."""

    async def run(w: World) -> None:
        async with w.phase("plan"):
            await w.llm(200, 5, model="gpt-4.1-nano-2025-04-14")
        async with w.agent("solver"), w.slot("solver", servers, kind="queue", recorded=recorded, shared=True):
            await w.llm(300, 95)

    return run


async def _big_jobs(w: World) -> None:
    """Big jobs come together at the full hour; nobody waits."""
    async with w.phase("plan"):
        await w.llm(200, 5, model="gpt-4.1-nano-2025-04-14")
    async with w.agent("solver"):
        await w.llm(300, 400 if w.number % 20 < 8 else 40)


def _bursts(random: Random, runs: int) -> Sequence[float]:
    """Eight runs at once, then twelve apart."""
    found, at_s = [], 0.0
    for number in range(runs):
        at_s += random.uniform(0.1, 0.5) if number % 20 < 8 else random.uniform(8, 12)
        found.append(at_s)
    return found


def _overload(name: str, servers: int, load: float, *, recorded: bool, runs: tuple[int, ...]) -> Scenario:
    return _case(
        "agent_overload",
        name,
        Kind.POSITIVE,
        _queue(servers, recorded=recorded),
        fixed=_queue(servers + 1, recorded=recorded),
        subjects=(("agent", "solver"), ("phase", "solver"), ("resource", "solver")),
        runs=runs,
        starts=_arrivals(load, servers),
        needs=frozenset({WAITS}) if recorded else frozenset(),
        also=frozenset(
            {"critical_path_hog", "slow_phase", "capped_concurrency", "latency_trend", "latency_regression", "idle_gap"}
        ),
        strength=f"load {load:.0%}",
    )


_OVERLOAD: Final = (
    _overload("one server waits recorded", 1, 1.1, recorded=True, runs=(30, 60)),
    _overload("two servers waits recorded", 2, 1.2, recorded=True, runs=(60,)),
    _overload("one server nothing recorded", 1, 1.1, recorded=False, runs=(60, 120)),
    _case(
        "agent_overload",
        "load of a quarter",
        Kind.NEAR_MISS,
        _queue(2, recorded=True),
        runs=(60,),
        starts=_arrivals(0.25, 2),
    ),
    _case(
        "agent_overload",
        "many servers",
        Kind.LOOK_ALIKE,
        _queue(50, recorded=False),
        runs=(60,),
        starts=_arrivals(0.2, 20),
    ),
    _case("agent_overload", "big jobs come together", Kind.LOOK_ALIKE, _big_jobs, runs=(60,), starts=_bursts),
)


# -- resource_contention ------------------------------------------------------------------------------------------


def _is_short(now_s: float) -> bool:
    """Tell whether the machine is short of something: every third half minute."""
    return now_s % 90 >= 60


def _is_short_once(now_s: float) -> bool:
    """Tell whether the machine is short of something: for two minutes, by chance."""
    return 120 <= now_s < 240


def _machine(
    signal: str, high: tuple[float, float], *, is_short: Callable[[float], bool] = _is_short
) -> Callable[[Lab], None]:
    def prepare(lab: Lab) -> None:
        random = lab.random("machine")

        def sample(now_s: float) -> ResourceSample:
            short = is_short(now_s)
            value = random.uniform(*high) if short else random.uniform(0, high[0] / 8)
            usual: dict[str, float] = {"cpu_pressure_ratio": random.uniform(0, 0.03), "loop_lag_s": 0.002}
            return ResourceSample(**{**usual, signal: value})  # type: ignore[arg-type]  # its fields are numbers

        lab.sample = sample

    return prepare


def _parsing(factor: float, *, slow_when_short: bool = True, is_short: Callable[[float], bool] = _is_short) -> Workflow:
    """Tools take several times as long while the machine is short of something."""

    async def run(w: World) -> None:
        async with w.phase("index"):
            for at in range(6):
                short = is_short(w.lab.clock.now_s) if slow_when_short else w.random.random() < 1 / 3
                seconds = 0.7 * (factor if short else 1)
                await w.tool("parse_page", {"page": at, "of": w.said[-1]}, seconds=seconds, key=at)
                await w.gap()

    return run


def _contention(name: str, signal: str, high: tuple[float, float], subject: str, factor: float) -> Scenario:
    return _case(
        "resource_contention",
        name,
        Kind.POSITIVE,
        _parsing(factor),
        fixed=_parsing(1),
        subjects=(("resource", subject),),
        runs=(40, 60),
        starts=at_intervals(10),
        needs=frozenset({RESOURCES}),
        prepare=_machine(signal, high),
        also=frozenset({"slow_phase", "n_plus_one"}),
        strength=f"{factor / 1.5:.1f} times the least ratio of 1.5",
    )


_CONTENTION: Final = (
    _contention("cpu x2.5", "cpu_pressure_ratio", (0.2, 0.5), "cpu", 2.5),
    _contention("cpu x4", "cpu_pressure_ratio", (0.2, 0.5), "cpu", 4),
    _contention("event loop x3", "loop_lag_s", (0.2, 0.6), "event loop", 3),
    _case(
        "resource_contention",
        "cpu x1.2",
        Kind.NEAR_MISS,
        _parsing(1.2),
        runs=(40,),
        starts=at_intervals(10),
        needs=frozenset({RESOURCES}),
        prepare=_machine("cpu_pressure_ratio", (0.2, 0.5)),
        also=frozenset({"n_plus_one"}),
    ),
    _case(
        "resource_contention",
        "slow at other times",
        Kind.LOOK_ALIKE,
        _parsing(3, slow_when_short=False),
        runs=(40,),
        starts=at_intervals(10),
        needs=frozenset({RESOURCES}),
        prepare=_machine("cpu_pressure_ratio", (0.2, 0.5)),
        also=frozenset({"slow_phase", "n_plus_one"}),
    ),
    _case(
        "resource_contention",
        "slow once while short",
        Kind.LOOK_ALIKE,
        _parsing(3, is_short=_is_short_once),
        runs=(40,),
        starts=at_intervals(10),
        needs=frozenset({RESOURCES}),
        prepare=_machine("cpu_pressure_ratio", (0.2, 0.5), is_short=_is_short_once),
        also=frozenset({"slow_phase", "n_plus_one", "latency_regression"}),
    ),
    _case(
        "resource_contention",
        "always short",
        Kind.LOOK_ALIKE,
        _parsing(1),
        runs=(40,),
        starts=at_intervals(10),
        needs=frozenset({RESOURCES}),
        prepare=_machine("cpu_pressure_ratio", (0.2, 0.5), is_short=lambda _: True),
        also=frozenset({"n_plus_one"}),
    ),
)


SCENARIOS: Final = (*_OVERLOAD, *_CONTENTION)
