"""Workflows with one planted fault each that has to do with calls: connections, first tokens, gaps, repetition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from otel_wfperf.model import Execution, OperationKind, ResourceUse
from tests.detectors.corpus import Draw
from tests.detectors.planting import PHASES, Fault, SteadyDraw, drawn, talk

_STEPS = ("plan", "research", "writer")
# Recorded calls of chat models write 60 to 80 tokens a second (llm_calls.csv: 12 to 18 ms a token).
TOKEN_MS = 15.0
FIRST_TOKEN_MS = 400.0
INPUT_TOKEN_MS = 0.12
FIRST_TOKEN_SPREAD = 0.5
RATE_SPREAD = 0.25


def with_step(name: str, step: Callable[[Draw, str], None], *, seed: int, runs: int) -> list[Execution]:
    """Put a step between others that talk to the model."""

    def body(draw: SteadyDraw) -> None:
        for each in _STEPS:
            draw.step(OperationKind.PHASE, each, step if each == name else lambda d, p: talk(d, p, calls=2))

    return drawn(body, seed, runs=runs)


def request(draw: Draw, parent: str, *, setup_ms: float, work_ms: float, wait_ms: float = 0.0, **fields: Any) -> None:
    """Call a service; what the connection costs comes first."""
    duration_ms = wait_ms + setup_ms + work_ms
    given: dict[str, Any] = {
        "outside": True,
        "peer": "stock.example.com",
        "route": "GET /items/{id}",
        "status_code": 200,
        "connection_setup_s": setup_ms / 1000,
        "connection_wait_s": wait_ms / 1000,
    }
    draw.run.add_other("GET stock.example.com", draw.at_ms, duration_ms, parent=parent, **(given | fields))
    draw.at_ms += duration_ms + draw.times.uniform(1, 8)


def client_for_each_call(seed: int) -> list[Execution]:
    """A tool makes an HTTP client for each of its calls: each connects anew."""

    def research(draw: Draw, parent: str) -> None:
        for at in range(7):
            talk(draw, parent, calls=1)
            start_ms = draw.at_ms
            tool = draw.run.tool("check_stock", start_ms, 0, parent=parent, turn=f"{draw.run.number}-{at}")
            request(draw, tool, setup_ms=400 * math.exp(draw.times.gauss(0, 0.2)), work_ms=draw.tool_ms() / 3)
            draw.run.resize(tool, draw.at_ms - start_ms)
            draw.at_ms += 5

    return with_step("research", research, seed=seed, runs=3 + seed)


def small_pool(seed: int) -> list[Execution]:
    """Twelve calls at once share a pool of four connections; the others wait for one."""

    def research(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        start_ms, free, ends = draw.at_ms, [0.0] * 4, []
        for _ in range(12):
            free.sort()
            draw.at_ms = start_ms
            wait_ms, work_ms = free[0], 1800 * math.exp(draw.times.gauss(0, 0.2))
            request(draw, parent, setup_ms=0, work_ms=work_ms, wait_ms=wait_ms)
            free[0] = wait_ms + work_ms
            ends.append(start_ms + free[0])
        draw.at_ms = max(ends) + 5
        talk(draw, parent, calls=1)

    return with_step("research", research, seed=seed, runs=3 + seed)


def stream(draw: Draw, parent: str, *, first_factor: float = 1.0, token_factor: float = 1.0, output: int = 60) -> None:
    """Call the model; its answer is streamed."""
    given = 200 + draw.times.randrange(1500)
    written = output + draw.times.randrange(output)
    first_ms = (FIRST_TOKEN_MS + INPUT_TOKEN_MS * given) * math.exp(draw.times.gauss(0, FIRST_TOKEN_SPREAD))
    token_ms = TOKEN_MS * math.exp(draw.times.gauss(0, RATE_SPREAD))
    first_ms, token_ms = first_ms * first_factor, token_ms * token_factor
    duration_ms = first_ms + token_ms * written
    draw.run.llm(
        draw.at_ms,
        duration_ms,
        parent=parent,
        tokens=(given, written),
        time_to_first_token_s=first_ms / 1000,
        **draw.exchange(),
    )
    draw.at_ms += duration_ms + draw.times.uniform(1, 8)


def streamed(seed: int, *, runs: int, place: str = "", **factors: float) -> list[Execution]:
    """Draw a workflow of phases that stream; the calls of one of them may be slow."""

    def body(draw: SteadyDraw) -> None:
        for name in PHASES:
            given = factors if name == place else {}

            def step(d: Draw, parent: str, given: dict[str, float] = given) -> None:
                for _ in range(2):
                    stream(d, parent, **given)  # type: ignore[arg-type]

            draw.step(OperationKind.PHASE, name, step)

    return drawn(body, seed, runs=runs)


def late_first_token(seed: int) -> list[Execution]:
    """The writer's endpoint begins to answer six times as late as the others."""
    return streamed(seed, runs=5 + 2 * seed, place="writer", first_factor=6.0)


def slow_tokens(seed: int) -> list[Execution]:
    """The writer's endpoint writes at a third of the usual rate."""
    return streamed(seed, runs=5 + 2 * seed, place="writer", token_factor=3.0)


def gap(seed: int, *, gap_ms: float, runs: int, use: ResourceUse | None = None) -> list[Execution]:
    """Draw a workflow in which a step does something unknown between two calls."""

    def research(draw: Draw, parent: str) -> None:
        draw.llm(parent, tokens_in=500, tokens_out=40)
        draw.at_ms += gap_ms * math.exp(draw.times.gauss(0, 0.2))
        draw.llm(parent, tokens_in=700, tokens_out=40)
        if use is not None:
            step = next(each for each in draw.run.operations if each.span_id == parent)
            draw.run.resize(step.span_id, 0, resources=use)

    return with_step("research", research, seed=seed, runs=runs)


def unexplained_gap(seed: int) -> list[Execution]:
    """A step reads a file share with code that nobody instruments."""
    return gap(seed, gap_ms=4000, runs=4 + seed)


def blocking_call(seed: int) -> list[Execution]:
    """A step calls a service with a synchronous client and holds the event loop."""
    use = ResourceUse(cpu_time_s=0.1, loop_blocked_s=3.8, loop_blocked_longest_s=3.8)
    return gap(seed, gap_ms=4000, runs=4 + seed, use=use)


def same_in_every_run(seed: int) -> list[Execution]:
    """Every run loads the same exchange rates, one run a minute."""

    def research(draw: Draw, parent: str) -> None:
        start_ms = draw.at_ms
        draw.tool(parent, "load_rates", input_hash="EUR", output_hash="rates")
        draw.run.resize(draw.run.operations[-1].span_id, 2500 * math.exp(draw.times.gauss(0, 0.2)))
        draw.at_ms = start_ms + draw.run.operations[-1].duration_ns / 1e6 + 5
        talk(draw, parent, calls=1)

    return with_step("research", research, seed=seed, runs=12 + seed)


FAULTS_CALLS: dict[str, Fault] = {
    "client_for_each_call": Fault("connection_setup", ("tool", "stock.example.com"), client_for_each_call),
    "small_pool": Fault("connection_setup", ("resource", "connections to stock.example.com"), small_pool),
    "late_first_token": Fault("slow_first_token", ("llm", "model-1"), late_first_token),
    "slow_tokens": Fault("slow_first_token", ("llm", "model-1"), slow_tokens),
    "unexplained_gap": Fault("idle_gap", ("phase", "research"), unexplained_gap),
    "blocking_call": Fault("idle_gap", ("phase", "research"), blocking_call),
    "same_in_every_run": Fault("repeated_call", ("tool", "load_rates"), same_in_every_run),
}
