"""Figure 15: the log does what its model does, and damage costs only what is damaged."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.reliability.figure import Figure, Outcome
from tests.log.damaging import broken_promises, sample, some_damage
from tests.log.modelled import LogMachine

ACTION_LISTS: Final = 1_000
DAMAGES: Final = 500
_ACTIONS: Final = 15


def measure() -> Outcome:
    """Compare with the model, then damage files that a killed process left and files that were closed."""
    LogMachine.lists = 0
    logging.disable(logging.CRITICAL)
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=ACTION_LISTS,
            stateful_step_count=_ACTIONS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    problems = asyncio.run(_problems())
    logging.disable(logging.NOTSET)
    print("\n".join(problems))
    return Outcome(
        got=f"{LogMachine.lists} action lists as the model says; {DAMAGES} times damaged and started, "
        f"{len(problems)} promises broken",
        reached=LogMachine.lists >= ACTION_LISTS and not problems,
    )


async def _problems() -> list[str]:
    chosen = random.Random(15)
    with tempfile.TemporaryDirectory(prefix="wfperf-") as name:
        folder = Path(name)
        samples = []
        for closed in (False, True):
            (folder / f"healthy-{closed}").mkdir()
            samples.append(await sample(folder / f"healthy-{closed}", closed=closed))
        problems: list[str] = []
        for number in range(DAMAGES):
            sampled = samples[number % len(samples)]
            with tempfile.TemporaryDirectory(dir=folder) as damaged:
                problems += await broken_promises(sampled, some_damage(chosen, sampled), Path(damaged) / "log")
        return problems


FIGURE: Final = Figure(
    number=15,
    title="log against its model, and damaged",
    asked="1 000 action lists as the model says; 500 truncations and flipped bits: always starts, loses only what is "
    "damaged, counts it",
    measure=measure,
)
