# ruff: noqa: D401 - a workflow is described, not commanded
"""Workflows without faults, of many shapes, with service times as recorded."""

from __future__ import annotations

from typing import Final

from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.scenario import Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.service_times import UNEVEN_MODEL
from benchmarks.accuracy.world import CallFailedError, World
from otel_wfperf.instrumentation.resources import ResourceSample


async def chain(w: World) -> None:
    """Phases one after another; one of them writes at length."""
    names = ("plan", "research", "outline", "writer", "editor", "reviewer")[: w.shape.randrange(3, 7)]
    sizes = {name: (w.shape.randrange(100, 2500), w.shape.randrange(20, 150)) for name in names}
    for name, (tokens_in, tokens_out) in sizes.items():
        async with w.phase(name):
            await w.llm(tokens_in, tokens_out * (4 if name == "writer" else 1))


async def fan_out(w: World) -> None:
    """Plan, research at once, join."""
    width = w.shape.randrange(3, 6)
    await phases(w, names=("plan",))

    async def branch(at: int) -> None:
        async with w.phase(f"research_{at}", step=2, group="research", width=width):
            answer = await w.llm(600, 40, given=w.said[:2], asks=True)
            found = await w.tool("search_web", {"query": f"topic {at}"}, turn=answer.turn)
            await w.llm(900, 80, given=[found])

    await w.gather(*(branch(at) for at in range(width)))
    await phases(w, names=("writer",))


async def agent_with_tools(w: World) -> None:
    """A model calls tools until it knows enough; its prompt grows a little."""
    turns = w.shape.randrange(2, 6)
    kinds = [w.shape.choice(["search_web", "read_page", "query_sql"]) for _ in range(turns)]
    async with w.agent("assistant"):
        for turn, kind in enumerate(kinds):
            answer = await w.llm(700 + 250 * turn, 25, asks=True)
            await w.tool(kind, {"turn": turn, "about": w.said[-1]}, turn=answer.turn)
        await w.llm(700 + 250 * turns, 150)


async def supervisor(w: World) -> None:
    """A supervisor hands the work to one agent after another."""
    for name in ("researcher", "coder", "writer"):
        async with w.agent("supervisor"):
            await w.llm(500, 15)
        w.handoff("supervisor", name)
        async with w.agent(name):
            answer = await w.llm(900, 60, asks=True)
            await w.tool(f"{name}_lookup", {"for": w.said[-1]}, turn=answer.turn)
            await w.llm(1200, 120)
        w.handoff(name, "supervisor")


async def map_reduce(w: World) -> None:
    """Chunks of a document are summarised, four at once; the chunks differ in length."""
    chunks = [w.random.randrange(800, 2200) for _ in range(w.shape.randrange(6, 12))]
    async with w.phase("split"):
        text = await w.tool("read_file", {"path": w.said[0]}, seconds=0.3)

    async def summarise(at: int, size: int) -> None:
        async with w.slot("workers", 8), w.phase("summarise", step=2):
            await w.llm(size, size // 20, given=[f"chunk {at} {text}"])

    await w.gather(*(summarise(at, size) for at, size in enumerate(chunks)))
    async with w.phase("combine"):
        await w.llm(1500, 200)


async def retries(w: World) -> None:
    """A flaky fetch that succeeds on the second or third try, with growing pauses."""

    async def fetch() -> None:
        failures = w.random.choice([0, 0, 0, 0, 0, 1, 1, 2])
        for attempt in range(1, failures + 1):
            try:
                await w.tool("fetch_page", {"url": w.said[-1]}, attempt=attempt, seconds=0.2, fails="ConnectionError")
            except CallFailedError:
                await w.wait("fetch_page", "retry_backoff", 0.2 * 2**attempt, log_spread=0.1)
        await w.tool("fetch_page", {"url": w.said[-1]}, attempt=failures + 1)
        await talk(w, calls=1)

    await phases(w, {"research": fetch})


async def streaming(w: World) -> None:
    """Answers are streamed; lengths differ."""
    for name in ("plan", "draft", "answer"):
        async with w.phase(name):
            for _ in range(2):
                await w.llm(800, 30 + w.random.randrange(250), streams=True)


async def long_documents(w: World) -> None:
    """A long document goes with every question; it does not grow."""
    async with w.phase("load"):
        document = await w.tool("read_file", {"path": w.said[0]}, seconds=0.2)
    async with w.agent("reader"):
        for at in range(5):
            await w.llm(14_000 + w.random.randrange(300), 60, given=[document, f"question {at} {w.said[0]}"])
    async with w.phase("answer"):
        await w.llm(700, 200)


async def human_in_the_loop(w: World) -> None:
    """A person approves the plan, which takes minutes."""
    await phases(w, names=("plan",))
    async with w.phase("approval"):
        await w.wait("reviewer", "human", 180, log_spread=0.8)
    await phases(w, names=("writer", "editor"))


async def nested(w: World) -> None:
    """A workflow that runs another one for each of three sections."""
    await phases(w, names=("plan",))
    for at in range(3):
        async with w.workflow("section_writer"), w.phase("draft"):
            await w.llm(700 + 120 * at, 120)
    await phases(w, names=("assemble",))


async def mixed_models(w: World) -> None:
    """A small model sorts, a large one thinks, another one checks."""
    async with w.phase("classify"):
        await w.llm(300, 5, model="gpt-4.1-nano-2025-04-14")
    async with w.phase("reason"):
        await talk(w, calls=2, tokens_out=100, model="gpt-4-0613")
    async with w.phase("check"):
        await talk(w, calls=2, tokens_out=20, model="gpt-3.5-turbo-0125")


async def caches(w: World) -> None:
    """A conversation grows long, and the provider has most of it in its cache."""
    async with w.agent("reader"):
        for turn in range(6):
            size = 800 + 2500 * turn
            answer = await w.llm(size, 40, cached=max(0, round(0.9 * (size - 2500))), given=w.said, asks=True)
            w.said.append(answer.text)
            await w.tool("read_page", {"page": turn, "of": answer.text}, turn=answer.turn)
        await w.llm(15_800, 120, cached=14_000, given=w.said)


async def parallel_tools(w: World) -> None:
    """A model asks for three tools at once and gets them at once."""
    await phases(w, names=("plan",))
    async with w.phase("analyse"):
        answer = await w.llm(600, 60, asks=True)
        names = ("load_prices", "load_weather", "load_news")
        await w.gather(*(w.tool(name, {"of": answer.text}, turn=answer.turn) for name in names))
        await w.llm(1500, 100)
    await phases(w, names=("report",))


async def draft_and_review(w: World) -> None:
    """A writer and a critic take turns; each draft is new."""
    for _ in range(w.random.randrange(2, 4)):
        async with w.phase("draft"):
            await w.llm(900, 150)
        async with w.phase("critic"):
            await w.llm(900, 50)


async def uneven_model(w: World) -> None:
    """A model of which one call in twelve takes ten times as long, everywhere alike."""
    for name in ("plan", "research", "outline", "writer", "reviewer"):
        async with w.phase(name):
            await talk(w, calls=3, model=UNEVEN_MODEL)


async def polling(w: World) -> None:
    """A job is started and asked for until it is done; the answers differ."""
    async with w.phase("render"):
        job = await w.tool("start_render", {"of": w.said[0]}, seconds=0.3)
        for at in range(5):
            state = "done" if at == 4 else f"pending {at * 20} %"
            await w.tool("job_result", {"job": job}, result=state, seconds=0.1)
            await w.sleep(0.2, log_spread=0.2)
    await phases(w, names=("report",))


async def search_and_answer(w: World) -> None:
    """Documents are searched, the best are read, a model answers; a busy machine that measures itself."""
    async with w.phase("retrieve"):
        await w.retrieval("handbook", w.said[0])
    async with w.phase("rerank"):
        await w.tool("rerank", {"documents": w.said[-1]}, seconds=0.3)
    async with w.phase("answer"):
        await w.llm(2500, 180)


def _measure(lab: Lab) -> None:
    random = lab.random("machine")

    def sample(_now_s: float) -> ResourceSample:
        return ResourceSample(
            cpu_ratio=random.uniform(0.05, 0.6),
            memory_ratio=0.4,
            loop_lag_s=random.expovariate(100),
            cpu_pressure_ratio=max(0.0, random.gauss(0.02, 0.03)),
            memory_pressure_ratio=max(0.0, random.gauss(0.005, 0.01)),
        )

    lab.sample = sample


SHAPES: Final[tuple[Workflow, ...]] = (
    chain,
    fan_out,
    agent_with_tools,
    supervisor,
    map_reduce,
    retries,
    streaming,
    long_documents,
    human_in_the_loop,
    nested,
    mixed_models,
    caches,
    parallel_tools,
    draft_and_review,
    uneven_model,
    polling,
    search_and_answer,
)
HEALTHY: Final = tuple(
    Scenario(
        name=f"healthy {shape.__name__.replace('_', ' ')}",
        detector=None,
        kind=Kind.HEALTHY,
        run=shape,
        runs=(1, 3, 8, 20),
        prepare=_measure if shape is search_and_answer else None,
    )
    for shape in SHAPES
)
