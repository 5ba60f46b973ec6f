# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults that are errors: error_hotspot and timeout_burn."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.accuracy.scenario import Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import CallFailedError, World


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"runs": (12, 30)} | fields
    return Scenario(**given, name=f"{detector} {name}", detector=detector, kind=kind, run=run)


# -- error_hotspot ------------------------------------------------------------------------------------------------


def _failing(share: float, *, seconds: float = 2.0, ends: bool = False, skips: bool = False) -> Workflow:
    """A tool fails now and then; another one is asked instead, or the run ends; or at once, where that is known."""

    async def run(w: World) -> None:
        async def collect() -> None:
            for at in range(4):
                await w.tool("search_web", {"query": at, "of": w.said[-1]}, key=("web", at))
                fails = "ServiceUnavailable" if w.draw("fails", at).random() < share else None
                try:
                    await w.tool(
                        "query_crm",
                        {"id": at, "of": w.said[-1]},
                        seconds=0.001 if fails and skips else seconds,
                        fails=fails,
                        key=at,
                    )
                except CallFailedError:
                    if ends:
                        raise
                    await w.tool("ask_archive", {"id": at, "of": w.said[-1]}, seconds=0.3, key=at)
            await talk(w, calls=1)

        await phases(w, {"research": collect})

    return run


async def _cancelled(w: World) -> None:
    """Two searches race, and the slower one is cancelled: nobody failed."""

    async def collect() -> None:
        for at in range(4):
            try:
                await w.tool("search_slow", {"q": at, "of": w.said[-1]}, seconds=0.5, fails="CancelledError", key=at)
            except CallFailedError:
                await w.tool("search_fast", {"q": at, "of": w.said[-1]}, key=at)
        await talk(w, calls=1)

    await phases(w, {"research": collect})


async def _not_found(w: World) -> None:
    """A cache is looked up first, and answers 404 to whatever is new."""

    async def collect() -> None:
        for at in range(4):
            request = {"method": "GET", "host": "cache.example.com", "route": "/entries/{id}", "seconds": 0.05}
            found = w.draw("cached", at).random() < 0.5
            arguments = {"id": at, "of": w.said[-1]}
            await w.tool("lookup_cache", arguments, http=[request | {"status": 200 if found else 404}], key=at)
        await talk(w, calls=1)

    await phases(w, {"research": collect})


_CRM: Final = (("tool", "query_crm"),)
_ERROR_ALSO: Final = frozenset({"timeout_burn", "retry_storm", "slow_phase", "critical_path_hog"})


def _hotspot(name: str, run: Workflow, **fields: Any) -> Scenario:
    return _case("error_hotspot", name, Kind.POSITIVE, run, subjects=_CRM, also=_ERROR_ALSO, **fields)


_ERRORS: Final = (
    _hotspot("30% of the calls", _failing(0.3), fixed=_failing(0.3, skips=True), strength="6 times the least rate"),
    _hotspot("50% of the calls", _failing(0.5), fixed=_failing(0.5, skips=True), strength="10 times the least rate"),
    _hotspot("20% of the calls end the run", _failing(0.2, ends=True), strength="4 times the least rate", runs=(30,)),
    _case("error_hotspot", "2% of the calls", Kind.NEAR_MISS, _failing(0.02, seconds=0.4)),
    _case("error_hotspot", "cancelled on purpose", Kind.LOOK_ALIKE, _cancelled),
    _case("error_hotspot", "404 of a cache", Kind.LOOK_ALIKE, _not_found),
)


# -- timeout_burn -------------------------------------------------------------------------------------------------


def _timing_out(timeout_s: float, share: float, *, log_spread: float = 0.0) -> Workflow:
    """A tool answers in half a second, or never: then all of the time-out is waited for, and another one is asked."""

    async def run(w: World) -> None:
        async def collect() -> None:
            for at in range(4):
                late = w.draw("late", at).random() < share
                try:
                    await w.tool(
                        "fetch_page",
                        {"page": at, "of": w.said[-1]},
                        seconds=timeout_s if late else 0.5,
                        log_spread=log_spread if late else 0.25,
                        fails="TimeoutError" if late else None,
                        key=(late, at),
                    )
                except CallFailedError:
                    await w.tool("read_archive", {"page": at, "of": w.said[-1]}, seconds=0.3, key=at)
            await talk(w, calls=1)

        await phases(w, {"research": collect})

    return run


def _timing_out_soon(share: float) -> Workflow:
    """The same with a time-out of what the slowest good calls take."""
    return _timing_out(1.0, share)


_PAGE: Final = (("tool", "fetch_page"),)
_TIMEOUT_ALSO: Final = frozenset({"error_hotspot", "retry_storm", "slow_phase", "critical_path_hog", "straggler"})


def _timeout(name: str, timeout_s: float, share: float, **fields: Any) -> Scenario:
    return _case(
        "timeout_burn",
        name,
        Kind.POSITIVE,
        _timing_out(timeout_s, share),
        fixed=_timing_out_soon(share),
        subjects=_PAGE,
        also=_TIMEOUT_ALSO,
        strength=f"{share:.0%} of the calls",
        **fields,
    )


_TIMEOUTS: Final = (
    _timeout("10 s in 20% of the calls", 10, 0.2),
    _timeout("30 s in 15% of the calls", 30, 0.15),
    _timeout("5 s in 30% of the calls", 5, 0.3),
    _case("timeout_burn", "10 s in 0.5% of the calls", Kind.NEAR_MISS, _timing_out(10, 0.005), also=_TIMEOUT_ALSO),
    _case(
        "timeout_burn",
        "errors at any time",
        Kind.LOOK_ALIKE,
        _timing_out(6, 0.2, log_spread=0.7),
        also=_TIMEOUT_ALSO,
    ),
    _case("timeout_burn", "quick refusals", Kind.LOOK_ALIKE, _failing(0.3, seconds=0.1), also=_TIMEOUT_ALSO),
)
SCENARIOS: Final = (*_ERRORS, *_TIMEOUTS)
