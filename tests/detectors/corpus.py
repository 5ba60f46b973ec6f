"""Workflows without faults, of many shapes, and service times as real models have them.

One population is one workflow: its shape, its prompts and its answers belong to it, the times to each call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from otel_wfperf.model import Execution, OperationKind, ResourceUse
from tests.detectors.builders import ROOT, Run

# Recorded calls of chat models: p50 0.71 s, p95 6.2 s (llm_calls.csv); 12 to 18 ms an output token.
MEDIAN_MS = 700.0
LOG_SPREAD = math.log(6.0 / 0.7) / 1.645
OUTPUT_TOKEN_MS = 12.0
INPUT_TOKEN_MS = 0.12
TOOL_MEDIAN_MS = 300.0


@dataclass
class Draw:
    """One run that is being drawn: a cursor that moves on as steps are added.

    Attributes:
        shape: Fixes what belongs to the workflow, such as the length of its answers.
        times: Fixes the times of this run.
        content: Record hashes and fragments of content, as emitters do that are told to.
    """

    run: Run
    shape: Random
    times: Random
    content: bool
    at_ms: float = 5.0
    counter: int = 0
    said: list[int] = field(default_factory=list)

    def model_ms(self, tokens_in: int, tokens_out: int) -> float:
        base = MEDIAN_MS * math.exp(self.times.gauss(0, LOG_SPREAD))
        return base + OUTPUT_TOKEN_MS * tokens_out + INPUT_TOKEN_MS * tokens_in

    def tool_ms(self) -> float:
        return TOOL_MEDIAN_MS * math.exp(self.times.gauss(0, 0.8))

    def llm(self, parent: str, *, tokens_in: int, tokens_out: int, cached: int = 0, **fields: Any) -> None:
        """Call the model: it reads what was said before, and says something new."""
        duration_ms = self.model_ms(tokens_in - cached, tokens_out)
        self.run.llm(
            self.at_ms,
            duration_ms,
            parent=parent,
            tokens=(tokens_in, tokens_out, cached),
            resources=self.resources(),
            **(self.exchange() | fields),
        )
        self.at_ms += duration_ms + self.times.uniform(1, 8)

    def tool(self, parent: str, name: str, **fields: Any) -> None:
        duration_ms = self.tool_ms()
        self.run.tool(
            name, self.at_ms, duration_ms, parent=parent, resources=self.resources(), **(self.exchange() | fields)
        )
        self.at_ms += duration_ms + self.times.uniform(1, 8)

    def exchange(self) -> dict[str, Any]:
        """Say what a call was given and what it answered."""
        self.counter += 1
        if not self.content:
            return {}
        answer = self.times.getrandbits(32)
        given = frozenset(self.said[-12:])
        self.said.append(answer)
        return {
            "input_hash": f"{self.times.getrandbits(64):016x}",
            "output_hash": f"{answer:016x}",
            "input_fragments": given,
            "output_fragments": frozenset({answer}),
        }

    def resources(self) -> ResourceUse:
        return ResourceUse(
            cpu_ratio=self.times.uniform(0.05, 0.6),
            cpu_pressure_ratio=max(0.0, self.times.gauss(0.02, 0.03)),
            memory_pressure_ratio=max(0.0, self.times.gauss(0.005, 0.01)),
            loop_lag_s=self.times.expovariate(100),
        )

    def step(self, kind: OperationKind, name: str, body: Callable[[Draw, str], None], parent: str = ROOT) -> None:
        """Run a phase or an agent around what the body does."""
        start_ms = self.at_ms
        before = frozenset(self.said[-12:])
        step = self.run.add(kind, name, start_ms, 0, parent=parent)
        body(self, step)
        after = {"input_fragments": before, "output_fragments": frozenset(self.said[-1:])} if self.content else {}
        self.run.resize(step, self.at_ms - start_ms, **after)
        self.at_ms += self.times.uniform(1, 8)

    def beside(self, bodies: list[Callable[[Draw], None]]) -> None:
        """Run branches at once."""
        start_ms, said = self.at_ms, list(self.said)
        ends, new = [], []
        for body in bodies:
            self.at_ms, self.said = start_ms + self.times.uniform(0, 30), list(said)
            body(self)
            ends.append(self.at_ms)
            new += self.said[len(said) :]
        self.at_ms, self.said = max(ends), said + new


def tokens(draw: Draw, *, most_out: int = 400) -> dict[str, int]:
    """Choose the length of a prompt and an answer; the same in every run of a workflow."""
    return {"tokens_in": draw.shape.randrange(80, 3000), "tokens_out": draw.shape.randrange(5, most_out)}


def pipeline(draw: Draw) -> None:
    """Phases one after another, one model call each; one of them writes at length."""
    names = ["plan", "research", "outline", "writer", "editor", "reviewer"][: draw.shape.randrange(3, 7)]
    for name in names:
        sizes = tokens(draw, most_out=900 if name == "writer" else 200)
        draw.step(OperationKind.PHASE, name, lambda d, p, sizes=sizes: d.llm(p, **sizes))  # type: ignore[misc]


def loop_of_one_agent(draw: Draw) -> None:
    """A model that calls tools until it knows enough; its prompt grows a little."""

    def body(d: Draw, parent: str) -> None:
        turns = d.shape.randrange(2, 6)
        size = d.shape.randrange(200, 1200)
        for turn in range(turns):
            d.llm(parent, tokens_in=size + 250 * turn, tokens_out=25)
            d.tool(parent, d.shape.choice(["search_web", "read_page", "query_sql"]), turn=f"{d.run.number}-{turn}")
        d.llm(parent, tokens_in=size + 250 * turns, tokens_out=150)

    draw.step(OperationKind.AGENT, "assistant", body)


def fan_out(draw: Draw) -> None:
    """Plan, research in parallel, join."""
    sizes = [tokens(draw, most_out=200) for _ in range(5)]
    draw.step(OperationKind.PHASE, "plan", lambda d, p: d.llm(p, **sizes[0]))

    def branch(name: str, size: dict[str, int]) -> Callable[[Draw], None]:
        def body(d: Draw, parent: str) -> None:
            d.llm(parent, **size)
            d.tool(parent, "search_web", turn=f"{name}-{d.run.number}")
            d.llm(parent, **size)

        return lambda d: d.step(OperationKind.PHASE, name, body)

    draw.beside([branch(f"research_{at}", sizes[at]) for at in range(1, draw.shape.randrange(3, 5))])
    draw.step(OperationKind.PHASE, "writer", lambda d, p: d.llm(p, **sizes[4]))


def crew(draw: Draw) -> None:
    """Agents in order, no phases; each has a tool call between two model calls."""
    for name in ["analyst", "engineer", "tester", "writer"][: draw.shape.randrange(3, 5)]:
        sizes = tokens(draw, most_out=250)

        def body(d: Draw, parent: str, sizes: dict[str, int] = sizes, name: str = name) -> None:
            d.llm(parent, **sizes)
            d.tool(parent, f"{name}_lookup", turn=f"{name}-{d.run.number}")
            d.llm(parent, **sizes)

        draw.step(OperationKind.AGENT, name, body)


def parallel_tools(draw: Draw) -> None:
    """A model that asks for three tools at once and gets them at once."""

    def body(d: Draw, parent: str) -> None:
        sizes = tokens(d, most_out=150)
        d.llm(parent, **sizes)
        turn = f"turn-{d.run.number}"
        names = ["load_prices", "load_weather", "load_news"]
        d.beside([lambda each, name=name: each.tool(parent, name, turn=turn) for name in names])  # type: ignore[misc]
        d.llm(parent, **sizes)

    draw.step(OperationKind.PHASE, "gather", lambda d, p: d.llm(p, tokens_in=300, tokens_out=60))
    draw.step(OperationKind.PHASE, "analyse", body)
    draw.step(OperationKind.PHASE, "report", lambda d, p: d.llm(p, tokens_in=900, tokens_out=300))


def documents(draw: Draw) -> None:
    """A long document that goes with every question: large, but it does not grow."""

    def body(d: Draw, parent: str) -> None:
        for _ in range(5):
            d.llm(parent, tokens_in=14_000 + d.times.randrange(0, 300), tokens_out=60)

    draw.step(OperationKind.PHASE, "ingest_document", lambda d, p: d.tool(p, "read_file"))
    draw.step(OperationKind.AGENT, "reader", body)
    draw.step(OperationKind.PHASE, "answer", lambda d, p: d.llm(p, tokens_in=600, tokens_out=200))


def cached_conversation(draw: Draw) -> None:
    """A conversation that grows long, and whose provider has most of it in its cache."""

    def body(d: Draw, parent: str) -> None:
        for turn in range(6):
            size = 800 + 2500 * turn
            cached = max(0, round(0.9 * (size - 2500)))
            d.llm(parent, tokens_in=size, tokens_out=40, cached=cached)
            d.tool(parent, "read_page", turn=f"{d.run.number}-{turn}")
        d.llm(parent, tokens_in=15_800, tokens_out=120, cached=14_000)

    draw.step(OperationKind.AGENT, "reader", body)


def loop_with_retries(draw: Draw) -> None:
    """Draft and review in turns, a flaky fetch before, polling of a job, and short waits for a slot."""
    sizes = tokens(draw, most_out=150)

    def fetch(d: Draw, parent: str) -> None:
        for attempt in range(1, d.times.randrange(2, 4)):
            d.tool(parent, "fetch_page", error="Timeout", attempt=attempt)
        d.tool(parent, "fetch_page", attempt=3)

    def poll(d: Draw, parent: str) -> None:
        answers = ["pending"] * 4 + ["done"]
        for answer in answers:
            d.tool(parent, "job_result", input_hash="job", output_hash=answer)
            d.run.wait("concurrency", d.at_ms, 20, parent=parent)
            d.at_ms += 25

    draw.step(OperationKind.PHASE, "fetch", fetch)
    draw.step(OperationKind.PHASE, "render", poll)
    for _ in range(3):
        draw.step(OperationKind.PHASE, "draft", lambda d, p: d.llm(p, **sizes))
        draw.step(OperationKind.PHASE, "critic", lambda d, p: d.llm(p, **sizes))


SHAPES: tuple[Callable[[Draw], None], ...] = (
    pipeline,
    loop_of_one_agent,
    fan_out,
    crew,
    parallel_tools,
    documents,
    cached_conversation,
    loop_with_retries,
)
RUNS = (1, 2, 3, 4, 5, 6, 8, 12, 25)


def healthy(seed: int) -> list[Execution]:
    """Draw one workflow without faults, with one to 25 runs; equal seeds give equal workflows."""
    shape = SHAPES[seed % len(SHAPES)]
    runs = RUNS[(seed // len(SHAPES)) % len(RUNS)]
    return list(draw_runs(shape, seed, runs, content=bool(seed % 3)))


def draw_runs(shape: Callable[[Draw], None], seed: int, runs: int, *, content: bool) -> Iterator[Execution]:
    """Draw runs of a workflow of one shape."""
    for number in range(runs):
        draw = Draw(
            Run(number, workflow=shape.__name__), shape=Random(seed), times=Random(f"{seed}/{number}"), content=content
        )
        shape(draw)
        yield draw.run.build(draw.at_ms)
