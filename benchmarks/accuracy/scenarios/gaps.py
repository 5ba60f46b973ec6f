# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults between the calls: connection_setup and idle_gap."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.accuracy.scenario import CPU, WAITS, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import World


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"runs": (5, 12, 30)} | fields
    return Scenario(**given, name=f"{detector} {name}", detector=detector, kind=kind, run=run)


# -- connection_setup ---------------------------------------------------------------------------------------------


def _requests(setup_s: float, *, first_only: bool = False, recorded: bool = True) -> Workflow:
    """Requests to one host that connect anew each time."""

    async def run(w: World) -> None:
        async def fetch() -> None:
            for at in range(8):
                connects = setup_s if at == 0 or not first_only else 0.0
                request = {
                    "method": "POST",
                    "host": "search.example.com",
                    "route": "/search",
                    "seconds": 0.25 if recorded else 0.25 + setup_s,
                    "setup_s": connects * (1 + 0.3 * w.draw("setup", at).random()) if recorded else None,
                }
                await w.tool("search_web", {"query": at, "of": w.said[-1]}, http=[request], key=at)
                if at % 3 == 2:
                    await talk(w, calls=1)

        await phases(w, {"research": fetch}, names=("plan", "research", "writer"), calls=1)

    return run


def _pool(wait_s: float, *, width: int = 8) -> Workflow:
    """Requests at once wait for a connection of a small pool."""

    async def run(w: World) -> None:
        async def one(at: int) -> None:
            request = {
                "method": "GET",
                "host": "items.example.com",
                "route": "/items/{id}",
                "path": f"/items/{at}",
                "seconds": 0.8,
                "setup_s": 0.0,
                "pool_wait_s": wait_s * (at // 2),
            }
            await w.tool("get_item", {"id": at, "of": w.said[-1]}, http=[request], key=at)

        async def fetch() -> None:
            await w.gather(*(one(at) for at in range(width)))
            await talk(w, calls=1)

        await phases(w, {"research": fetch}, names=("plan", "research", "writer"), calls=1)

    return run


_HOST: Final = (
    ("tool", "search.example.com"),
    ("tool", "items.example.com"),
    ("resource", "connections to items.example.com"),
    ("resource", "search.example.com"),
    ("resource", "search.example.com:443"),
    ("resource", "items.example.com"),
    ("resource", "items.example.com:443"),
    ("tool", "search_web"),
    ("tool", "get_item"),
)
_HTTP_ALSO: Final = frozenset({"n_plus_one", "missed_parallelism", "capped_concurrency", "false_parallelism"})


def _connection(name: str, run: Workflow, fixed: Workflow, **fields: Any) -> Scenario:
    return _case("connection_setup", name, Kind.POSITIVE, run, fixed=fixed, subjects=_HOST, also=_HTTP_ALSO, **fields)


_CONNECTIONS: Final = (
    _connection("0.15 s each time", _requests(0.15), _requests(0.15, first_only=True), strength="1.7 times the least"),
    _connection("0.3 s each time", _requests(0.3), _requests(0.3, first_only=True), strength="3.4 times the least"),
    _connection("0.6 s each time", _requests(0.6), _requests(0.6, first_only=True), strength="7 times the least"),
    _connection("pool of two for 8 requests", _pool(0.8), _pool(0), strength="3 times the least wait"),
    _case("connection_setup", "0.01 s each time", Kind.NEAR_MISS, _requests(0.01), also=_HTTP_ALSO),
    _case("connection_setup", "pool with short waits", Kind.NEAR_MISS, _pool(0.05), also=_HTTP_ALSO),
    _case("connection_setup", "not recorded", Kind.LOOK_ALIKE, _requests(0.4, recorded=False), also=_HTTP_ALSO),
    _case("connection_setup", "first request only", Kind.LOOK_ALIKE, _requests(0.5, first_only=True), also=_HTTP_ALSO),
)


# -- idle_gap -----------------------------------------------------------------------------------------------------


def _idle(seconds: float, *, computes: bool = False, as_agents: bool = False) -> Workflow:
    """A phase that for a while does something that nobody records, between two calls."""

    async def run(w: World) -> None:
        async def research() -> None:
            await talk(w, calls=1)
            if seconds:
                if computes:
                    await w.compute(seconds)
                else:
                    await w.sleep(seconds, log_spread=0.2)
            await talk(w, calls=1)

        await phases(w, {"research": research}, names=("plan", "research", "writer"), as_agents=as_agents)

    return run


async def _thinks(w: World) -> None:
    """A person thinks for a minute, which is recorded."""

    async def research() -> None:
        await talk(w, calls=1)
        await w.wait("user", "human", 60, log_spread=0.5)
        await talk(w, calls=1)

    await phases(w, {"research": research}, names=("plan", "research", "writer"))


def _gap(name: str, seconds: float, *, as_agents: bool = False, **fields: Any) -> Scenario:
    return _case(
        "idle_gap",
        name,
        Kind.POSITIVE,
        _idle(seconds, as_agents=as_agents),
        fixed=_idle(0, as_agents=as_agents),
        subjects=(("agent" if as_agents else "phase", "research"),),
        also=frozenset({"critical_path_hog", "slow_phase"}),
        **fields,
    )


async def _unrecorded_tool(w: World) -> None:
    """Many short gaps, as an orchestrator has between steps."""
    for name in ("plan", "research", "writer"):
        async with w.phase(name):
            for _ in range(3):
                await talk(w, calls=1)
                await w.sleep(0.08, log_spread=0.3)


_IDLE: Final = (
    _gap("2 s", 2.0, needs=frozenset({"phases"}), strength="4 times the least gap"),
    _gap("4 s", 4.0, needs=frozenset({"phases"}), strength="8 times the least gap"),
    _gap("10 s", 10.0, needs=frozenset({"phases"}), strength="20 times the least gap"),
    _gap("agent 4 s", 4.0, as_agents=True, strength="8 times the least gap"),
    _case("idle_gap", "0.3 s", Kind.NEAR_MISS, _idle(0.3)),
    _case("idle_gap", "many of 0.08 s", Kind.NEAR_MISS, _unrecorded_tool),
    _case("idle_gap", "person thinks", Kind.LOOK_ALIKE, _thinks, needs=frozenset({WAITS})),
    # A phase that computes for four seconds does hold the path: to say so is no false alarm.
    _case(
        "idle_gap",
        "computes",
        Kind.LOOK_ALIKE,
        _idle(4, computes=True),
        needs=frozenset({CPU}),
        also=frozenset({"critical_path_hog"}),
    ),
)
SCENARIOS: Final = (*_CONNECTIONS, *_IDLE)
