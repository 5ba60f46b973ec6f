"""Workflows with one planted fault each that has to do with failures, repetition, or calls for one item each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from otel_wfperf.model import Execution, OperationKind
from tests.detectors.corpus import Draw
from tests.detectors.planting import Fault, SteadyDraw, drawn, talk

STEPS = ("plan", "research", "writer")


def _with_step(name: str, step: Callable[[Draw, str], None], *, seed: int, runs: int) -> list[Execution]:
    """Put a step between others that talk to the model."""

    def body(draw: SteadyDraw) -> None:
        for each in STEPS:
            draw.step(OperationKind.PHASE, each, step if each == name else lambda d, p: talk(d, p, calls=2))

    return drawn(body, seed, runs=runs)


def retried_tool(seed: int) -> list[Execution]:
    """A tool fails four times with the same input, half a second of fixed pause in between, and succeeds then."""

    def research(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        for attempt in range(1, 5):
            draw.tool(
                parent, "fetch_prices", input_hash="prices", output_hash=None, error="ConnectError", attempt=attempt
            )
            draw.run.wait("retry_backoff", draw.at_ms, 500, parent=parent)
            draw.at_ms += 500 + draw.times.uniform(1, 8)
        draw.tool(parent, "fetch_prices", input_hash="prices", attempt=5)
        talk(draw, parent, calls=1)

    return _with_step("research", research, seed=seed, runs=1 + 3 * seed)


def retried_in_layers(seed: int) -> list[Execution]:
    """A tool is tried twice, and its client tries the service three times each time."""

    def research(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        for attempt in (1, 2):
            start_ms, outcome = draw.at_ms, {"error": "HTTP 503"} if attempt == 1 else {}
            tool = draw.run.tool("search_index", start_ms, 0, parent=parent, input_hash="q", attempt=attempt, **outcome)
            for sent in (1, 2, 3):
                status = 200 if (attempt, sent) == (2, 3) else 503
                duration_ms = draw.tool_ms()
                draw.run.add_other(
                    "GET search.internal",
                    draw.at_ms,
                    duration_ms,
                    parent=tool,
                    outside=True,
                    peer="search.internal",
                    route="GET /search",
                    status_code=status,
                )
                draw.at_ms += duration_ms + 200
            draw.run.resize(tool, draw.at_ms - start_ms)
            draw.at_ms += 20
        talk(draw, parent, calls=1)

    return _with_step("research", research, seed=seed, runs=4)


def stuck_agent(seed: int) -> list[Execution]:
    """An agent asks for the same two calls again and again, and gets the same answers."""

    def assistant(draw: Draw, parent: str) -> None:
        for _ in range(6 + seed):
            for name in ("search_catalogue", "read_entry"):
                draw.llm(parent, tokens_in=400, tokens_out=20)
                draw.tool(parent, name, input_hash=f"{name} 7", output_hash=f"nothing in {name}")
        draw.llm(parent, tokens_in=400, tokens_out=60)

    def body(draw: SteadyDraw) -> None:
        draw.step(OperationKind.PHASE, "plan", lambda d, p: talk(d, p, calls=2))
        draw.step(OperationKind.AGENT, "assistant", assistant)
        draw.step(OperationKind.PHASE, "writer", lambda d, p: talk(d, p, calls=2))

    return drawn(body, seed, runs=3)


def ping_pong(seed: int) -> list[Execution]:
    """Two agents pass the work to and fro; none of them does anything about it."""

    def body(draw: SteadyDraw) -> None:
        draw.step(OperationKind.PHASE, "plan", lambda d, p: talk(d, p, calls=2))
        for turn in range(10):
            name, other = ("sales", "support") if turn % 2 else ("support", "sales")
            draw.step(OperationKind.AGENT, name, lambda d, p: talk(d, p, calls=1))
            draw.run.add(OperationKind.HANDOFF, other, draw.at_ms, 1, handoff_from=name)
            draw.at_ms += 3
        draw.step(OperationKind.PHASE, "writer", lambda d, p: talk(d, p, calls=2))

    return drawn(body, seed, runs=4)


def rows_one_by_one(seed: int) -> list[Execution]:
    """A tool asks the database for each of twenty rows."""

    def research(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        start_ms = draw.at_ms
        tool = draw.run.tool("load_orders", start_ms, 0, parent=parent, turn=f"turn-{draw.run.number}")
        for _ in range(20):
            duration_ms = 120 * math.exp(draw.times.gauss(0, 0.3))
            draw.run.add_other(
                "postgresql SELECT orders",
                draw.at_ms,
                duration_ms,
                parent=tool,
                outside=True,
                peer="db:5432",
                route="SELECT orders",
            )
            draw.at_ms += duration_ms + 1
        draw.run.resize(tool, draw.at_ms - start_ms)
        talk(draw, parent, calls=1)

    return _with_step("research", research, seed=seed, runs=1 + 4 * seed)


def burnt_timeouts(seed: int) -> list[Execution]:
    """Every third call of a tool hangs until it is given up after ten seconds."""

    def research(draw: Draw, parent: str) -> None:
        talk(draw, parent, calls=1)
        for at in range(3):
            if (at + draw.run.number) % 3:
                draw.tool(parent, "load_quotes")
            else:
                duration_ms = 10_000 + draw.times.uniform(0, 40)
                given = draw.exchange() | {"output_hash": None, "error": "ReadTimeout"}
                draw.run.tool("load_quotes", draw.at_ms, duration_ms, parent=parent, **given)
                draw.at_ms += duration_ms + 3
            draw.llm(parent, tokens_in=300, tokens_out=20)

    return _with_step("research", research, seed=seed, runs=6)


def failing_tool(seed: int) -> list[Execution]:
    """A third of the calls of one tool fail after a while, and end the run when the last one fails."""

    def research(draw: Draw, parent: str) -> None:
        for at in range(3):
            talk(draw, parent, calls=1)
            failing = (at + draw.run.number) % 3 == 0
            draw.tool(parent, "load_report", **({"output_hash": None, "error": "ReportError"} if failing else {}))

    drawn_runs = _with_step("research", research, seed=seed, runs=12)
    return [_failed_at_the_end(execution, "research") for execution in drawn_runs]


def _failed_at_the_end(execution: Execution, step: str) -> Execution:
    """End a run at the failure of the last call of a step, if that failed."""
    phase = next(each for each in execution.of_kind(OperationKind.PHASE) if each.name == step)
    last = execution.children(phase.span_id)[-1]
    if last.error is None:
        return execution
    end_ns = last.end_ns + 1_000_000
    operations = tuple(
        replace(each, end_ns=end_ns, error="ReportError")
        if each.span_id in (phase.span_id, execution.root_id)
        else each
        for each in execution.operations
        if each.start_ns < end_ns
    )
    return Execution(
        trace_id=execution.trace_id, workflow=execution.workflow, root_id=execution.root_id, operations=operations
    )


FAULTS_ERRORS: dict[str, Fault] = {
    "retried_tool": Fault("retry_storm", ("tool", "fetch_prices"), retried_tool),
    "retried_in_layers": Fault("retry_storm", ("tool", "search_index"), retried_in_layers),
    "stuck_agent": Fault("loop", ("agent", "assistant"), stuck_agent),
    "ping_pong": Fault("loop", ("agent", "sales, support"), ping_pong),
    "rows_one_by_one": Fault("n_plus_one", ("tool", "postgresql SELECT orders"), rows_one_by_one),
    "burnt_timeouts": Fault("timeout_burn", ("tool", "load_quotes"), burnt_timeouts),
    "failing_tool": Fault("error_hotspot", ("tool", "load_report"), failing_tool),
}
