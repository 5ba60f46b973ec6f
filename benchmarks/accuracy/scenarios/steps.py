"""What usual steps do; faults are planted among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from benchmarks.accuracy.world import World

Body: TypeAlias = Callable[[], Awaitable[None]]

PHASES: Final = ("plan", "research", "outline", "writer", "reviewer")


async def talk(w: World, *, calls: int = 2, tokens_out: int = 40, tokens_in: int = 500, **fields: Any) -> None:
    """Call a model a few times, as a usual phase does; prompts and answers differ a little."""
    for at in range(calls):
        random = w.draw("talk", at)
        more_in, more_out = random.randrange(-100, 200), random.randrange(-10, 20)
        await w.llm(tokens_in + more_in, max(5, tokens_out + more_out), **fields)


async def phases(
    w: World,
    bodies: Mapping[str, Body] | None = None,
    *,
    names: Sequence[str] = PHASES,
    calls: int = 2,
    as_agents: bool = False,
) -> None:
    """Run phases one after another, or agents; those that have no body of their own talk to a model."""
    for name in names:
        async with w.agent(name) if as_agents else w.phase(name):
            if bodies and name in bodies:
                await bodies[name]()
            else:
                await talk(w, calls=calls)


async def tools(w: World, names: Sequence[str], *, turn: str | None = None, **fields: Any) -> None:
    """Call tools one after another."""
    for name in names:
        await w.tool(name, {"of": name}, turn=turn, **fields)


def at_intervals(seconds: float, jitter: float = 0.3) -> Callable[[Any, int], Sequence[float]]:
    """Start runs at intervals (seconds), give or take a share."""

    def starts(random: Any, runs: int) -> Sequence[float]:
        return [seconds * (at + random.uniform(0, jitter)) for at in range(runs)]

    return starts
