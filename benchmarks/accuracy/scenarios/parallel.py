# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults of order: missed_parallelism, false_parallelism, capped_concurrency, straggler."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from benchmarks.accuracy.scenario import CONTENT, CPU, DECLARED, PHASES, WAITS, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import World

_RUNS: Final = (1, 5, 12, 30)
_LOADS: Final = ("load_filings", "load_prices", "load_weather", "load_news")


async def _ordered(w: World, branches: Sequence[Coroutine[Any, Any, Any]], *, at_once: bool) -> list[Any]:
    return await w.gather(*branches) if at_once else [await branch for branch in branches]


# -- missed_parallelism -------------------------------------------------------------------------------------------


def _tools_of_a_turn(count: int, seconds: float, *, at_once: bool = False) -> Workflow:
    """A model asks for several tools in one turn."""

    async def run(w: World) -> None:
        async def analyse() -> None:
            answer = await w.llm(500, 60, asks=True)
            calls = [w.tool(name, {"of": name}, turn=answer.turn, seconds=seconds) for name in _LOADS[:count]]
            await _ordered(w, calls, at_once=at_once)
            await w.llm(1200, 40)

        await phases(w, {"analyst": analyse}, names=("plan", "analyst", "writer"), calls=1)

    return run


def _researchers(*, at_once: bool = False) -> Workflow:
    """Two researchers are given the plan alone."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",))
        plan = w.said[-1]

        async def research(name: str) -> None:
            async with w.phase(name):
                first = await w.llm(600, 60, given=[plan, f"part of {name}"])
                second = await w.llm(700, 60, given=[plan, first.text])
                w.said.append(second.text)

        await _ordered(w, [research("research_a"), research("research_b")], at_once=at_once)
        async with w.phase("writer"):
            await w.llm(1000, 80, given=w.said[-2:])

    return run


def _declared(*, at_once: bool = False) -> Workflow:
    """Two phases declare to need the plan only."""

    async def run(w: World) -> None:
        async with w.phase("plan", depends_on=()):
            await talk(w, calls=1)

        async def branch(name: str) -> None:
            async with w.phase(name, depends_on=("plan",)):
                await talk(w, calls=2)

        await _ordered(w, [branch("left"), branch("right")], at_once=at_once)
        async with w.phase("join", depends_on=("left", "right")):
            await talk(w, calls=1)

    return run


async def _chained_tools(w: World) -> None:
    """Each tool is given what the one before returned."""
    async with w.phase("plan"):
        await w.llm(400, 40)
    async with w.phase("collect"):
        found = await w.tool("find_order", {"of": w.said[-1]}, seconds=1.0)
        found = await w.tool("load_customer", {"order": found}, seconds=1.0)
        await w.tool("load_invoice", {"customer": found}, seconds=1.0)
    await phases(w, names=("writer",), calls=1)


async def _writes(w: World) -> None:
    """The model asks for writes in one turn; their order may matter."""
    await phases(w, names=("plan",), calls=1)
    async with w.phase("apply"):
        answer = await w.llm(500, 60, asks=True)
        for name in ("create_order", "update_stock", "send_invoice"):
            await w.tool(name, {"of": name}, turn=answer.turn, seconds=1.0)
        await w.llm(600, 30)


async def _model_between(w: World) -> None:
    """A model looks at each result before the next tool is called."""
    async with w.agent("analyst"):
        for name in _LOADS:
            answer = await w.llm(600, 30, asks=True)
            await w.tool(name, {"of": name}, turn=answer.turn, seconds=1.0)
        await w.llm(900, 60)


async def _browser(w: World) -> None:
    """The model steers a browser: each step works on what the one before left."""
    async with w.agent("surfer"):
        answer = await w.llm(600, 60, asks=True)
        for name in ("browser_open", "browser_type", "browser_click"):
            await w.tool(name, {"of": name}, turn=answer.turn, seconds=1.0)
        await w.llm(900, 60)


async def _pages(w: World) -> None:
    """Pages are turned: each call needs the cursor of the one before."""
    async with w.phase("collect"):
        cursor = "start"
        for _ in range(4):
            cursor = await w.tool("list_items", {"cursor": cursor}, seconds=0.6)
    await phases(w, names=("plan", "writer"), calls=1)


# -- false_parallelism --------------------------------------------------------------------------------------------


def _branches(width: int, *, lock: bool, dominant: bool = False) -> Workflow:
    """Branches start at once, and take turns with one session."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)

        async def branch(name: str, at: int, found: str) -> None:
            async with w.phase(name, step=2, group="collect", width=width):
                for call in range(3):
                    seconds = 12.0 if dominant and at == 0 else 1.0 if not dominant else 0.2
                    async with w.slot("session", 1 if lock else width, recorded=False):
                        arguments = {"page": call, "for": name, "of": found}
                        found = await w.tool("browse", arguments, seconds=seconds, key=(name, call))

        await w.gather(*(branch(f"collect_{at}", at, w.said[-1]) for at in range(width)))
        await phases(w, names=("writer",), calls=1)

    return run


def _blocking(width: int, *, threads: bool = False) -> Workflow:
    """Branches start at once, and each holds the event loop with calls that are not asynchronous."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)

        async def branch(name: str, found: str) -> None:
            async with w.phase(name, step=2, group="parse", width=width):
                for at in range(3):
                    arguments = {"page": at, "for": name, "of": found}
                    found = await w.tool("parse_pdf", arguments, seconds=1.0, computes=not threads, key=(name, at))

        await w.gather(*(branch(f"parse_{at}", w.said[-1]) for at in range(width)))
        await phases(w, names=("writer",), calls=1)

    return run


def _two_at_once(width: int) -> Workflow:
    """Branches share two sessions: P is 1.7 to 2."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)

        async def branch(name: str, found: str) -> None:
            async with w.phase(name, step=2, group="collect", width=width):
                for call in range(3):
                    async with w.slot("session", 2, recorded=False):
                        arguments = {"page": call, "for": name, "of": found}
                        found = await w.tool("browse", arguments, seconds=1.0, key=(name, call))

        await w.gather(*(branch(f"collect_{at}", w.said[-1]) for at in range(width)))
        await phases(w, names=("writer",), calls=1)

    return run


# -- capped_concurrency -------------------------------------------------------------------------------------------


def _staircase(width: int, capacity: int, *, recorded: bool = False, kind: str = "concurrency") -> Workflow:
    """Many equal calls start at once, and only so many run at a time."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        plan = w.said[-1]

        async def fetch(at: int) -> None:
            async with w.slot("fetchers", capacity, recorded=recorded, kind=kind):
                await w.tool("fetch_report", {"report": at, "of": plan}, seconds=1.0, log_spread=0.15, key=at)

        async with w.phase("collect"):
            await w.gather(*(fetch(at) for at in range(width)))
        await phases(w, names=("writer",), calls=1)

    return run


async def _waves(w: World) -> None:
    """Two waves of calls, with a model between that decides about the second."""
    await phases(w, names=("plan",), calls=1)
    async with w.agent("collector"):
        for wave in range(3):
            answer = await w.llm(600, 40, asks=True)
            calls = (
                w.tool("fetch_report", {"r": at, "w": wave, "of": answer.text}, turn=answer.turn, seconds=1.0)
                for at in range(3)
            )
            await w.gather(*calls)
        await w.llm(900, 60)


# -- straggler ----------------------------------------------------------------------------------------------------


def _straggling(width: int, factor: float, *, share: float = 0.5, tokens: bool = False) -> Workflow:
    """One branch of a fan-out takes far longer than its siblings, in some of the runs."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        random = w.draw("late")
        late = random.randrange(width) if random.random() < share else -1

        async def shard(at: int) -> None:
            slow = at == late
            if tokens:
                await w.llm(800, 600 if slow else 60, given=[f"shard {at} {w.said[-1]}"], key=at)
            else:
                seconds = 1.2 * (factor if slow else 1)
                await w.tool("search_shard", {"shard": at, "of": w.said[-1]}, seconds=seconds, log_spread=0.2, key=at)

        async with w.phase("search"):
            await w.gather(*(shard(at) for at in range(width)))
        await phases(w, names=("writer",), calls=1)

    return run


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    return Scenario(**({"runs": _RUNS} | fields), name=f"{detector} {name}", detector=detector, kind=kind, run=run)


def _missed(name: str, run: Workflow, fixed: Workflow, subject: tuple[str, str], **fields: Any) -> Scenario:
    return _case("missed_parallelism", name, Kind.POSITIVE, run, fixed=fixed, subjects=(subject,), **fields)


def _false(name: str, run: Workflow, fixed: Workflow, members: Sequence[str], **fields: Any) -> Scenario:
    """Name the branches, their place, or what they take turns with."""
    subjects = (
        ("phase", ", ".join(members)),
        ("phase", f"{', '.join(members[:4])} and {len(members) - 4} others"),
        ("phase", members[0].rpartition("_")[0]),
        *(("phase", each) for each in members),
        ("workflow", f"bench_false_parallelism_{name}".replace(" ", "_")),
        ("tool", "browse"),
        ("tool", "parse_pdf"),
        ("resource", "event loop"),
    )
    also = frozenset({"capped_concurrency", "n_plus_one", "critical_path_hog"})
    return _case("false_parallelism", name, Kind.POSITIVE, run, fixed=fixed, subjects=subjects, also=also, **fields)


def _capped(name: str, run: Workflow, fixed: Workflow, **fields: Any) -> Scenario:
    subjects = (("tool", "fetch_report"), ("phase", "collect"), ("resource", "fetchers"))
    also = frozenset({"agent_overload", "n_plus_one", "false_parallelism", "critical_path_hog"})
    return _case("capped_concurrency", name, Kind.POSITIVE, run, fixed=fixed, subjects=subjects, also=also, **fields)


def _straggler(name: str, run: Workflow, fixed: Workflow, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"runs": (12, 20, 30)} | fields
    subjects = (("tool", "search_shard"), ("phase", "search"))
    also = frozenset({"slow_phase"})
    return _case("straggler", name, Kind.POSITIVE, run, fixed=fixed, subjects=subjects, also=also, **given)


_PHASES: Final = frozenset({PHASES})
_MISSED: Final = (
    *(
        _missed(
            f"{count} tools of {seconds:g} s in one turn",
            _tools_of_a_turn(count, seconds),
            _tools_of_a_turn(count, seconds, at_once=True),
            ("tool", ", ".join(_LOADS[:count])),
            strength=f"{(count - 1) * seconds / 0.5:.0f} times the least saving",
        )
        for count, seconds in ((2, 1.2), (3, 0.8), (4, 2.0))
    ),
    _missed(
        "researchers in series",
        _researchers(),
        _researchers(at_once=True),
        ("phase", "research_a, research_b"),
        needs=_PHASES | {CONTENT},
        strength="4 times the least saving",
    ),
    _missed(
        "declared independent",
        _declared(),
        _declared(at_once=True),
        ("phase", "left, right"),
        needs=_PHASES | {DECLARED},
        strength="4 times the least saving",
    ),
    _case("missed_parallelism", "tools of 0.06 s in one turn", Kind.NEAR_MISS, _tools_of_a_turn(3, 0.06)),
    _case("missed_parallelism", "each tool given the last result", Kind.LOOK_ALIKE, _chained_tools),
    _case("missed_parallelism", "writes in one turn", Kind.LOOK_ALIKE, _writes),
    _case("missed_parallelism", "one browser session", Kind.LOOK_ALIKE, _browser),
    _case("missed_parallelism", "model between the tools", Kind.LOOK_ALIKE, _model_between),
    _case("missed_parallelism", "pages with a cursor", Kind.LOOK_ALIKE, _pages),
)
_FALSE: Final = (
    *(
        _false(
            f"{width} branches share one session",
            _branches(width, lock=True),
            _branches(width, lock=False),
            [f"collect_{at}" for at in range(width)],
            needs=_PHASES,
            strength="P = 1.0 of 1.3",
        )
        for width in (3, 5, 8)
    ),
    _false(
        "4 branches hold the event loop",
        _blocking(4),
        _blocking(4, threads=True),
        [f"parse_{at}" for at in range(4)],
        needs=_PHASES | {CPU},
        strength="P = 1.0 of 1.3",
    ),
    _case(
        "false_parallelism",
        "sessions for two",
        Kind.NEAR_MISS,
        _two_at_once(5),
        needs=_PHASES,
        also=frozenset({"capped_concurrency"}),
    ),
    _case("false_parallelism", "branches truly run at once", Kind.LOOK_ALIKE, _branches(5, lock=False), needs=_PHASES),
    _case(
        "false_parallelism",
        "one branch dominates",
        Kind.LOOK_ALIKE,
        _branches(4, lock=False, dominant=True),
        needs=_PHASES,
        also=frozenset({"straggler", "critical_path_hog", "slow_phase"}),
    ),
)
_CAPPED: Final = (
    *(
        _capped(
            f"{width} calls {capacity} at a time",
            _staircase(width, capacity),
            _staircase(width, 2 * capacity),
            strength=f"{width / capacity:.0f} steps",
        )
        for width, capacity in ((8, 2), (12, 3), (20, 4))
    ),
    _case("capped_concurrency", "8 calls 7 at a time", Kind.NEAR_MISS, _staircase(8, 7)),
    _case("capped_concurrency", "all at once", Kind.LOOK_ALIKE, _staircase(10, 10)),
    _case("capped_concurrency", "waves with a model between", Kind.LOOK_ALIKE, _waves),
    *(
        _case(
            "capped_concurrency",
            f"deliberate limit {kind}",
            Kind.LOOK_ALIKE,
            _staircase(12, 4, recorded=True, kind=kind),
            needs=frozenset({WAITS}),
            also=frozenset({"agent_overload", "critical_path_hog"}),
        )
        for kind in ("rate_limit", "concurrency")
    ),
)
_STRAGGLER: Final = (
    *(
        _straggler(
            f"one of {width} x{factor:g} in {share:.0%} of the runs",
            _straggling(width, factor, share=share),
            _straggling(width, 1, share=share),
            strength=f"{factor / 2:g} times the least ratio of 2, {share / 0.2:.1f} times the least share",
        )
        for width, factor, share in ((6, 5, 0.6), (10, 6, 0.5), (5, 10, 0.9))
    ),
    _case("straggler", "one of 6 x1.5", Kind.NEAR_MISS, _straggling(6, 1.5), runs=(12, 20, 30)),
    _case(
        "straggler", "one of 6 x6 in 5% of the runs", Kind.NEAR_MISS, _straggling(6, 6, share=0.05), runs=(12, 20, 30)
    ),
    _case("straggler", "bigger share of the work", Kind.LOOK_ALIKE, _straggling(6, 1, tokens=True), runs=(12, 20, 30)),
    _case("straggler", "all alike", Kind.LOOK_ALIKE, _straggling(8, 1), runs=(12, 20, 30)),
)
SCENARIOS: Final = (*_MISSED, *_FALSE, *_CAPPED, *_STRAGGLER)
