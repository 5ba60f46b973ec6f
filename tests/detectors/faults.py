"""Workflows with one planted fault each, among steps as in the healthy corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from otel_wfperf.model import Execution, OperationKind, ResourceUse
from tests.detectors.builders import Run
from tests.detectors.corpus import Draw
from tests.detectors.faults_calls import FAULTS_CALLS
from tests.detectors.faults_errors import FAULTS_ERRORS
from tests.detectors.faults_fan_out import FAULTS_FAN_OUT
from tests.detectors.faults_history import FAULTS_HISTORY
from tests.detectors.planting import PHASES, Fault, SteadyDraw, drawn, talk


def slow_phase(seed: int) -> list[Execution]:
    """The writer's calls take five times as long, in each of four runs."""

    def writer(draw: Draw, parent: str) -> None:
        for _ in range(3):
            start_ms = draw.at_ms
            draw.llm(parent, tokens_in=500, tokens_out=35)
            last = draw.run.operations[-1]
            draw.run.resize(last.span_id, 5 * last.duration_ns / 1e6)
            draw.at_ms += 5 * last.duration_ns / 1e6 - (draw.at_ms - start_ms) + 3

    def body(draw: SteadyDraw) -> None:
        for name in PHASES:
            draw.step(OperationKind.PHASE, name, writer if name == "writer" else talk)

    return drawn(body, seed, runs=4)


def hog(seed: int) -> list[Execution]:
    """One phase renders for twelve seconds in each of eight runs; the others talk to the model."""

    def render(draw: Draw, parent: str) -> None:
        duration_ms = 12_000 * math.exp(draw.times.gauss(0, 0.2))
        draw.run.tool("render_pdf", draw.at_ms, duration_ms, parent=parent)
        draw.at_ms += duration_ms + 2

    def body(draw: SteadyDraw) -> None:
        for name in PHASES:
            draw.step(OperationKind.PHASE, name, render if name == "outline" else talk)

    return drawn(body, seed, runs=8)


def tools_in_series(seed: int) -> list[Execution]:
    """The model asks for three tools in one turn; they run one after another."""

    def analyse(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        for name in ("load_filings", "load_prices", "load_weather"):
            draw.tool(parent, name, turn="response-1")
        talk(draw, parent, calls=1)

    def body(draw: SteadyDraw) -> None:
        for name in ("plan", "analyst", "writer"):
            draw.step(OperationKind.PHASE, name, analyse if name == "analyst" else lambda d, p: talk(d, p, calls=1))

    return drawn(body, seed, runs=4)


def phases_in_series(seed: int) -> list[Execution]:
    """Two researchers get the plan alone, and run one after another."""

    def researcher(draw: Draw, parent: str) -> None:
        told = list(draw.said)
        draw.said = told[:2]
        talk(draw, parent, calls=2)
        draw.said = told + draw.said[-1:]

    def body(draw: SteadyDraw) -> None:
        for name in ("plan", "research_a", "research_b", "writer"):
            draw.step(OperationKind.PHASE, name, researcher if "research" in name else lambda d, p: talk(d, p, calls=2))

    return drawn(body, seed, runs=1 + seed % 5)


def declared_phases_in_series(seed: int) -> list[Execution]:
    """Two phases declare to need the plan only, and run one after another; no content is recorded."""
    needs = {"plan": (), "left": ("plan",), "right": ("plan",), "join": ("left", "right")}

    def body(draw: SteadyDraw) -> None:
        for name, needed in needs.items():
            draw.step(OperationKind.PHASE, name, lambda d, p: talk(d, p, calls=2))
            phase = next(each for each in draw.run.operations if each.name == name)
            at = draw.run.operations.index(phase)
            draw.run.operations[at] = replace(phase, depends_on=needed)

    return drawn(body, seed, runs=3, content=False)


def bloat(seed: int) -> list[Execution]:
    """A reader that sends all it has read with every further question."""

    def reader(draw: Draw, parent: str) -> None:
        for turn in range(5):
            draw.llm(parent, tokens_in=800 + 3200 * turn, tokens_out=20)
            draw.tool(parent, "read_paper", turn=f"turn-{turn}")

    def body(draw: SteadyDraw) -> None:
        draw.step(OperationKind.PHASE, "plan", talk)
        draw.step(OperationKind.AGENT, "reader", reader)
        draw.step(OperationKind.PHASE, "writer", talk)

    return drawn(body, seed, runs=4, content=False)


def repeated(seed: int) -> list[Execution]:
    """Three phases load the same glossary."""

    def glossary(draw: Draw, parent: str) -> None:
        draw.tool(parent, "load_glossary", input_hash="energy", output_hash="glossary")
        talk(draw, parent, calls=1)

    def body(draw: SteadyDraw) -> None:
        draw.step(OperationKind.PHASE, "plan", lambda d, p: talk(d, p, calls=1))
        for name in ("analyst", "writer", "reviewer"):
            draw.step(OperationKind.PHASE, name, glossary)

    return drawn(body, seed, runs=4)


@dataclass(frozen=True)
class Job:
    """One call of an agent that has a queue before it (milliseconds)."""

    arrival_ms: float
    start_ms: float
    end_ms: float


def queue(random: Random, *, jobs: int, servers: int, load: float, mean_ms: float = 2000) -> Sequence[Job]:
    """Simulate a first-come first-served queue; ``load`` is the busy share of the servers."""
    free = [0.0] * servers
    arrival_ms, found = 0.0, []
    for _ in range(jobs):
        arrival_ms += random.expovariate(load * servers / mean_ms)
        at = min(range(servers), key=free.__getitem__)
        start_ms = max(arrival_ms, free[at])
        free[at] = start_ms + mean_ms * math.exp(random.gauss(-0.08, 0.4))
        found.append(Job(arrival_ms, start_ms, free[at]))
    return found


def queued_runs(jobs: Sequence[Job], *, waits: bool) -> list[Execution]:
    """Make one run of each job: a short plan, then the call of the agent."""
    found = []
    for number, job in enumerate(jobs):
        run = Run(number, workflow="support", start_ms=round(job.arrival_ms))
        run.phase("plan", 0, 50)
        agent = run.agent("solver", 50, job.end_ms - job.arrival_ms)
        waited_ms = job.start_ms - job.arrival_ms
        if waits and waited_ms > 0:
            run.wait("queue", 50, waited_ms, parent=agent, queue_depth=1)
        run.llm(50 + waited_ms, job.end_ms - job.start_ms, parent=agent, tokens=(300, 40))
        found.append(run.build())
    return found


def overload_with_waits(seed: int) -> list[Execution]:
    """One server, busy nine tenths of the time; the orchestrator records the waits."""
    return queued_runs(queue(Random(seed), jobs=60, servers=1, load=0.95), waits=True)


def overload_without_waits(seed: int) -> list[Execution]:
    """The same, and nobody records the waits."""
    return queued_runs(queue(Random(seed), jobs=120, servers=1, load=0.95), waits=False)


def contention(seed: int) -> list[Execution]:
    """Calls take three times as long in every third stretch of 30 seconds, when the CPU is short."""
    random = Random(seed)
    found = []
    for number in range(36):
        short = number % 6 >= 4
        run = Run(number, start_ms=number * 10_000)
        phase = run.phase("index_pages", 0, 6000)
        at_ms = 0.0
        for _ in range(4):
            duration_ms = 400 * math.exp(random.gauss(0, 0.25)) * (3 if short else 1)
            use = ResourceUse(cpu_pressure_ratio=random.uniform(0.2, 0.5) if short else random.uniform(0, 0.04))
            run.tool("parse_page", at_ms, duration_ms, parent=phase, resources=use)
            at_ms += duration_ms + 5
        run.resize(phase, at_ms)
        found.append(run.build())
    return found


FAULTS: dict[str, Fault] = {
    "slow_phase": Fault("slow_phase", ("phase", "writer"), slow_phase),
    "hog": Fault("critical_path_hog", ("phase", "outline"), hog),
    "tools_in_series": Fault(
        "missed_parallelism", ("tool", "load_filings, load_prices, load_weather"), tools_in_series
    ),
    "phases_in_series": Fault("missed_parallelism", ("phase", "research_a, research_b"), phases_in_series),
    "declared_phases_in_series": Fault("missed_parallelism", ("phase", "left, right"), declared_phases_in_series),
    "bloat": Fault("context_bloat", ("agent", "reader"), bloat),
    "repeated": Fault("repeated_call", ("tool", "load_glossary"), repeated),
    "overload_with_waits": Fault("agent_overload", ("agent", "solver"), overload_with_waits),
    "overload_without_waits": Fault("agent_overload", ("agent", "solver"), overload_without_waits),
    "contention": Fault("resource_contention", ("resource", "cpu"), contention),
}
FAULTS |= FAULTS_HISTORY
FAULTS |= FAULTS_ERRORS
FAULTS |= FAULTS_FAN_OUT
FAULTS |= FAULTS_CALLS
