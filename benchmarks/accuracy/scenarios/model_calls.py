# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults of model calls: context_bloat and slow_first_token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.accuracy.scenario import CACHE, STREAMS, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases
from benchmarks.accuracy.world import World, words


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"runs": (1, 5, 12, 30)} | fields
    return Scenario(**given, name=f"{detector} {name}", detector=detector, kind=kind, run=run)


# -- context_bloat ------------------------------------------------------------------------------------------------


def _reading(turns: int, step: int, *, start: int = 800, cached: float = 0.0, trimmed: bool = False) -> Workflow:
    """A reader sends all that it has read with each further question; trimmed, what it has read last."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        async with w.agent("reader"):
            history = [w.said[0]]
            for turn in range(turns):
                size = start + step * (min(turn, 1) if trimmed else turn)
                hit = round(cached * max(0, size - step))
                answer = await w.llm(size, 20, given=history[-2:] if trimmed else history, asks=True, cached=hit)
                history += [answer.text, await w.tool("read_paper", {"paper": turn, "of": w.said[0]}, turn=answer.turn)]
            w.said.append(history[-1])
        await phases(w, names=("writer",), calls=1)

    return run


async def _large_document(w: World) -> None:
    """The document is long from the first question on."""
    document = f"document {words(w.random, 30)}"
    async with w.agent("reader"):
        for at in range(6):
            await w.llm(15_000 + w.random.randrange(400), 40, given=[document, f"question {at}"])


async def _parallel_documents(w: World) -> None:
    """Documents of growing length are read at once; no prompt builds on another."""
    async with w.agent("reader"):
        sizes = [1000, 3000, 6000, 10_000, 14_000]
        await w.gather(*(w.llm(size, 40, given=[f"document {size} {w.said[0]}"], key=size) for size in sizes))
        await w.llm(900, 80)


def _bloat(name: str, turns: int, step: int, strength: str) -> Scenario:
    return _case(
        "context_bloat",
        name,
        Kind.POSITIVE,
        _reading(turns, step),
        fixed=_reading(turns, step, trimmed=True),
        subjects=(("agent", "reader"),),
        strength=strength,
        also=frozenset({"critical_path_hog"}),
    )


_BLOAT: Final = (
    _bloat("5 turns of 3200 tokens", 5, 3200, "17 times the first prompt, of 3"),
    _bloat("8 turns of 2000 tokens", 8, 2000, "18 times the first prompt, of 3"),
    _bloat("10 turns of 4000 tokens", 10, 4000, "46 times the first prompt, of 3"),
    _case("context_bloat", "5 turns of 250 tokens", Kind.NEAR_MISS, _reading(5, 250)),
    _case("context_bloat", "3 turns of 4000 tokens", Kind.NEAR_MISS, _reading(3, 4000)),
    _case(
        "context_bloat",
        "cached prefix",
        Kind.LOOK_ALIKE,
        _reading(7, 2500, cached=0.95),
        needs=frozenset({CACHE}),
    ),
    _case("context_bloat", "large document", Kind.LOOK_ALIKE, _large_document),
    _case("context_bloat", "documents at once", Kind.LOOK_ALIKE, _parallel_documents),
)


# -- slow_first_token ---------------------------------------------------------------------------------------------


_STEPS: Final = ("plan", "draft", "answer")


def _late(late_s: float, *, where: Sequence[str] = ("answer",), share: float = 1.0) -> Workflow:
    """Answers of one phase come late; the same model starts sooner elsewhere."""

    async def run(w: World) -> None:
        for name in _STEPS:
            async with w.phase(name):
                for at in range(2):
                    late = name in where and w.draw("late", at).random() < share
                    await w.llm(700, 50, streams=True, late_s=late_s if late else 0.0)

    return run


def _drip(factor: float, *, where: str = "answer") -> Workflow:
    """In one phase tokens come slowly."""

    async def run(w: World) -> None:
        for name in ("plan", "draft", "answer"):
            async with w.phase(name):
                for _ in range(2):
                    await w.llm(400, 80, streams=True, slower=factor if name == where else 1.0)

    return run


async def _long_prompts(w: World) -> None:
    """One phase reads a long prompt, which takes the model a while."""
    for name, size in (("plan", 500), ("draft", 700), ("answer", 9000)):
        async with w.phase(name):
            for _ in range(2):
                await w.llm(size, 50, streams=True)


async def _long_answers(w: World) -> None:
    """One phase asks for long answers; they come as fast as the others."""
    for name, size in (("plan", 40), ("draft", 60), ("answer", 900)):
        async with w.phase(name):
            for _ in range(2):
                await w.llm(500, size, streams=True)


_LATE_SUBJECTS: Final = (
    ("llm", "gpt-4o-mini-2024-07-18"),
    ("phase", "answer"),
)


def _slow_start(name: str, run: Workflow, fixed: Workflow, strength: str, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"runs": (12, 30)} | fields
    return _case(
        "slow_first_token",
        name,
        Kind.POSITIVE,
        run,
        fixed=fixed,
        subjects=_LATE_SUBJECTS,
        strength=strength,
        needs=frozenset({STREAMS}),
        also=frozenset({"slow_phase", "critical_path_hog", "latency_regression", "latency_trend"}),
        **given,
    )


_FIRST: Final = (
    _slow_start("2.5 s late in one phase", _late(2.5), _late(0), "7 times the usual, of 2; 2.9 s of 1 s"),
    _slow_start("5 s late in one phase", _late(5), _late(0), "13 times the usual, of 2; 5.4 s of 1 s"),
    _slow_start(
        "3 s late in two fifths of all calls",
        _late(3, where=_STEPS, share=0.4),
        _late(0),
        "8 times the usual, of 2; 1.3 times the least share",
        runs=(30,),
    ),
    _slow_start("tokens at a fifth of the rate", _drip(5), _drip(1), "2.5 times below half of the usual rate"),
    _case(
        "slow_first_token",
        "3 s late in a tenth of all calls",
        Kind.NEAR_MISS,
        _late(3, where=_STEPS, share=0.1),
        runs=(30,),
    ),
    _case("slow_first_token", "0.3 s late", Kind.NEAR_MISS, _late(0.3), runs=(12, 30)),
    _case("slow_first_token", "tokens at 0.7 of the rate", Kind.NEAR_MISS, _drip(1.4), runs=(12, 30)),
    _case("slow_first_token", "long prompts", Kind.LOOK_ALIKE, _long_prompts, runs=(12, 30)),
    _case("slow_first_token", "long answers", Kind.LOOK_ALIKE, _long_answers, runs=(12, 30)),
)
SCENARIOS: Final = (*_BLOAT, *_FIRST)
