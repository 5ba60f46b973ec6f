"""Executing a case: all runs of its population in one virtual event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks.accuracy.clock import run_virtually
from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.recording import Recorded
from benchmarks.accuracy.scenario import Scenario, Workflow
from benchmarks.accuracy.world import CallFailedError, World
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.tracing import use_tracer_provider


@dataclass(frozen=True, slots=True)
class Case:
    """One population of a scenario.

    Attributes:
        seed: Decides about everything that is random.
        runs: Executions in it (count).
    """

    scenario: Scenario
    seed: int
    runs: int


def record(case: Case, *, repaired: bool = False) -> Recorded:
    """Execute a population and return what was recorded; the same seed gives the same service times."""
    scenario = case.scenario
    workflow = scenario.fixed if repaired else scenario.run
    if workflow is None:
        raise ValueError(f"scenario {scenario.name!r} has no repaired form")
    lab = Lab(f"{scenario.name}/{case.seed}")
    if scenario.prepare is not None:
        scenario.prepare(lab)
    try:
        run_virtually(lab.clock, _all_runs(case, workflow, lab))
    finally:
        use_tracer_provider(None)
        SAMPLER.latest = None
    return lab.recorded


async def _all_runs(case: Case, workflow: Workflow, lab: Lab) -> None:
    scenario = case.scenario
    starts = scenario.starts(lab.random("starts"), case.runs)
    await asyncio.gather(*(_run(scenario, workflow, World(lab, at), start_s) for at, start_s in enumerate(starts)))


async def _run(scenario: Scenario, workflow: Workflow, world: World, start_s: float) -> None:
    await asyncio.sleep(start_s)
    try:
        async with world.workflow(workflow_name(scenario)):
            await workflow(world)
    except CallFailedError:
        return  # recorded as such


def workflow_name(scenario: Scenario) -> str:
    """Name the workflow of a scenario."""
    return f"bench_{scenario.name}".replace(" ", "_")
