"""A definition run as an orchestrator would run it, in virtual time."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Step
from otel_wfperf.definitions.places import Dependencies
from tests.definitions.virtual_time import run

Length = Callable[[Step], float]


def simulate(definition: Definition, length_s: Length, max_parallel: int | None = None) -> float:
    """Run it and return how long it took (seconds)."""
    return run(_Run(definition, length_s, max_parallel).whole())


class _Run:
    def __init__(self, definition: Definition, length_s: Length, max_parallel: int | None) -> None:
        self._definition = definition
        self._dependencies = Dependencies(definition)
        self._length_s = length_s
        self._slots: AbstractAsyncContextManager[None] = (
            nullcontext() if max_parallel is None else asyncio.Semaphore(max_parallel)
        )

    async def whole(self) -> float:
        started_s = asyncio.get_running_loop().time()
        for number, phase in enumerate(self._definition.phases):
            await self._phase(number, phase)
        return asyncio.get_running_loop().time() - started_s

    async def _phase(self, number: int, phase: Phase) -> None:
        await self._steps(phase.steps)
        if phase.sequential:
            for branch in phase.branches:
                await self._steps(branch.steps)
            return
        waits = self._dependencies.within(number)
        done = [asyncio.Event() for _ in phase.branches]
        async with asyncio.TaskGroup() as group:
            for position, branch in enumerate(phase.branches):
                awaited = [done[each] for each in waits.get(position, ())]
                group.create_task(self._branch(branch, awaited, done[position]))

    async def _branch(self, branch: Branch, awaited: Iterable[asyncio.Event], done: asyncio.Event) -> None:
        for event in awaited:
            await event.wait()
        await self._steps(branch.steps)
        done.set()

    async def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            async with self._slots:
                await asyncio.sleep(self._length_s(step))
