# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults of time itself: critical_path_hog and slow_phase."""

from __future__ import annotations

from typing import Final

from benchmarks.accuracy.scenario import PHASES, WAITS, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import PHASES as NAMES
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import World

_NEEDS: Final = frozenset({PHASES})


def _rendering(seconds: float, *, as_agents: bool = False) -> Workflow:
    """One phase renders with a tool, in about this time; the other four talk to a model for two seconds each."""

    async def run(w: World) -> None:
        await phases(w, {"outline": lambda: _render(w, seconds)}, as_agents=as_agents)

    return run


async def _render(w: World, seconds: float) -> None:
    await w.tool("render_pdf", {"of": w.said[-1]}, seconds=seconds, log_spread=0.2, key="pdf")


def _hog(seconds: float, strength: str, *, as_agents: bool = False) -> Scenario:
    return Scenario(
        name=f"critical_path_hog {'agent ' if as_agents else ''}renders {seconds:g} s",
        detector="critical_path_hog",
        kind=Kind.POSITIVE,
        run=_rendering(seconds, as_agents=as_agents),
        fixed=_rendering(seconds / 2, as_agents=as_agents),
        subjects=(("agent" if as_agents else "phase", "outline"),),
        strength=strength,
        runs=(5, 12, 30),
        needs=frozenset() if as_agents else _NEEDS,
    )


async def _approval(w: World) -> None:
    async def approve() -> None:
        await w.wait("reviewer", "human", 60, log_spread=0.5)

    await phases(w, {"outline": approve})


async def _wrapper(w: World) -> None:
    """A phase around all others owns no time."""
    async with w.phase("pipeline"):
        await phases(w)


async def _many_calls(w: World) -> None:
    """One phase makes eight usual calls: it does more work, not slower work."""
    await phases(w, {"writer": lambda: talk(w, calls=8)})


async def _long_answers(w: World) -> None:
    """One phase writes answers of ten times the length."""
    await phases(w, {"writer": lambda: talk(w, tokens_out=400)})


def _slow(factor: float, *, calls: int = 2) -> Workflow:
    """Calls of one phase take several times what they take elsewhere."""

    async def run(w: World) -> None:
        await phases(w, {"writer": lambda: talk(w, calls=calls, slower=factor)}, calls=calls)

    return run


def _slow_phase(factor: float) -> Scenario:
    return Scenario(
        name=f"slow_phase model x{factor:g}",
        detector="slow_phase",
        kind=Kind.POSITIVE,
        run=_slow(factor, calls=3),
        fixed=_slow(1, calls=3),
        subjects=(("phase", "writer"),),
        strength=f"{factor / 3:.1f} times the least ratio of 3",
        runs=(5, 12, 30),
        needs=_NEEDS,
        also=frozenset({"critical_path_hog"}),
    )


def _slow_tool(share: float, factor: float) -> Workflow:
    """Some calls of a tool take far longer than its others."""

    async def run(w: World) -> None:
        async def search() -> None:
            for at in range(3):
                late = w.draw("late", at).random() < share
                name = "query_index"
                await w.tool(name, {"page": at, "of": w.said[-1]}, seconds=0.8 * (factor if late else 1), key=at)
                await talk(w, calls=1)

        await phases(w, {"research": search})

    return run


async def _bigger_inputs(w: World) -> None:
    """Some calls of a tool get a document of a hundred times the size, and take accordingly."""

    async def parse() -> None:
        for at in range(3):
            large = w.draw("large", at).random() < 0.25
            document = "page " * (4000 if large else 40)
            await w.tool(
                "parse_document", {"at": at, "text": f"{w.said[-1]} {document}"}, seconds=6 if large else 0.6, key=at
            )

    await phases(w, {"research": parse})


async def _cold_start(w: World) -> None:
    """The first call of the process sets the client up."""
    async with w.phase("plan"):
        await w.llm(400, 30, late_s=3.0 if w.number == 0 else 0.0)
    await phases(w, names=NAMES[1:])


def _quiet(name: str, detector: str, kind: Kind, run: Workflow, **fields: object) -> Scenario:
    needs = frozenset({PHASES}) | fields.pop("needs", frozenset())  # type: ignore[operator]  # a frozenset
    return Scenario(
        name=f"{detector} {name}",
        detector=detector,
        kind=kind,
        run=run,
        runs=(5, 12, 30),
        needs=needs,
        **fields,  # type: ignore[arg-type]  # of Scenario
    )


SCENARIOS: Final = (
    _hog(8, "3 to 4 times the mean of the others"),
    _hog(12, "5 times the mean of the others"),
    _hog(20, "9 times the mean of the others"),
    _hog(12, "5 times the mean of the others", as_agents=True),
    _quiet("renders 3 s", "critical_path_hog", Kind.NEAR_MISS, _rendering(3)),
    _quiet("person approves", "critical_path_hog", Kind.LOOK_ALIKE, _approval, needs=frozenset({WAITS})),
    _quiet("phase around the others", "critical_path_hog", Kind.LOOK_ALIKE, _wrapper),
    _quiet("many usual calls", "critical_path_hog", Kind.LOOK_ALIKE, _many_calls),
    _quiet("long answers", "critical_path_hog", Kind.LOOK_ALIKE, _long_answers),
    _slow_phase(4.5),
    _slow_phase(6),
    _slow_phase(10),
    Scenario(
        name="slow_phase tool x8 in every eighth call",
        detector="slow_phase",
        kind=Kind.POSITIVE,
        run=_slow_tool(0.125, 8),
        fixed=_slow_tool(0, 1),
        subjects=(("tool", "query_index"),),
        strength="4 times the least ratio of 2, 2.5 times the least share",
        runs=(12, 20, 30),
    ),
    _quiet("model x2", "slow_phase", Kind.NEAR_MISS, _slow(2, calls=3)),
    _quiet("tool x8 in every hundredth call", "slow_phase", Kind.NEAR_MISS, _slow_tool(0.01, 8)),
    _quiet("answers of 10 times the length", "slow_phase", Kind.LOOK_ALIKE, _long_answers),
    _quiet(
        "inputs of 100 times the size",
        "slow_phase",
        Kind.LOOK_ALIKE,
        _bigger_inputs,
        also=frozenset({"critical_path_hog"}),
    ),
    _quiet("cold start", "slow_phase", Kind.LOOK_ALIKE, _cold_start),
)
