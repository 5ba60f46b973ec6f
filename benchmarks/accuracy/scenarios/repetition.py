# ruff: noqa: D401 - a workflow is described, not commanded
"""Faults of doing again: repeated_call, retry_storm, loop, n_plus_one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.accuracy.scenario import CONTENT, HANDOFFS, TEMPERATURE, Kind, Scenario, Workflow
from benchmarks.accuracy.scenarios.steps import phases, talk
from benchmarks.accuracy.world import CallFailedError, World

_RUNS: Final = (1, 5, 12, 30)


def _case(detector: str, name: str, kind: Kind, run: Workflow, **fields: Any) -> Scenario:
    return Scenario(**({"runs": _RUNS} | fields), name=f"{detector} {name}", detector=detector, kind=kind, run=run)


# -- repeated_call ------------------------------------------------------------------------------------------------

_READERS: Final = ("analyst", "writer", "reviewer", "editor", "publisher")


def _glossary(times: int, seconds: float, *, cached: bool = False, new: bool = False) -> Workflow:
    """Several phases load the same glossary."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        for at, name in enumerate(_READERS):
            async with w.phase(name):
                if at == 0 or (at < times and not cached):
                    topic = w.said[0]
                    result = None if new else f"the glossary of {topic}"
                    await w.tool("load_glossary", {"topic": topic}, seconds=seconds, result=result)
                await talk(w, calls=1)

    return run


def _same_question(times: int, *, cached: bool = False, temperature: float | None = 0.0) -> Workflow:
    """A model is asked the same thing again at temperature 0."""

    async def run(w: World) -> None:
        question = f"classify {w.said[0]}"
        for at in range(times):
            async with w.phase(_READERS[at]):
                if at == 0 or not cached:
                    answer = None if temperature else "it is about energy, and about nothing else at all"
                    asked: dict[str, Any] = {"given": [question], "system": "You classify.", "model": "gpt-4-0613"}
                    await w.llm(900, 60, temperature=temperature, answer=answer, **asked)
                await talk(w, calls=1)

    return run


async def _write_between(w: World) -> None:
    """The stock is read again after each order."""
    async with w.agent("shop"):
        for at in range(4):
            item = w.said[0]
            await w.tool("get_inventory", {"item": item}, result=f"stock of {item} is 120 pieces", seconds=1.0)
            await w.tool("create_order", {"item": item, "of": at}, seconds=0.5)
        await w.llm(600, 40)


async def _time_dependent(w: World) -> None:
    async with w.agent("ops"):
        for _ in range(4):
            await w.tool("get_status", {"job": w.said[0]}, result="the job runs on three machines", seconds=1.0)
            await w.llm(500, 20)


async def _other_arguments(w: World) -> None:
    async with w.agent("reader"):
        for at in range(5):
            await w.tool("load_glossary", {"topic": f"{at} {w.said[0]}"}, result="the glossary is empty", seconds=1.0)
            await w.llm(500, 20)


async def _polls(w: World) -> None:
    """A job is asked for until it is done; only the last answer differs."""
    async with w.agent("builder"):
        job = await w.tool("start_build", {"of": w.said[0]})
        for at in range(5):
            result = f"{job} is done" if at == 4 else f"{job} is pending"
            await w.tool("job_result", {"job": job}, result=result, seconds=0.8)
        await w.llm(600, 60)


async def _samples(w: World) -> None:
    """Five answers to one question are drawn on purpose, at a temperature."""
    async with w.phase("sample"):
        calls = (w.llm(800, 60, given=[w.said[0]], temperature=0.9, key=at) for at in range(5))
        w.said += [each.text for each in await w.gather(*calls)]
    await phases(w, names=("vote",), calls=1)


def _same_in_all_runs(*, cached: bool = False) -> Workflow:
    """Each run asks for the same rates; cached, only the first does."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        async with w.phase("analyst"):
            if w.number == 0 or not cached:
                await w.tool("load_rates", {"base": "EUR"}, seconds=2.5, result="rates of the European bank for EUR")
            await talk(w, calls=1)
        await phases(w, names=("writer",), calls=1)

    return run


def _repeated(name: str, run: Workflow, fixed: Workflow, subject: tuple[str, str], **fields: Any) -> Scenario:
    needs = fields.pop("needs", frozenset()) | {CONTENT}
    also = frozenset({"n_plus_one", "loop"})
    return _case(
        "repeated_call", name, Kind.POSITIVE, run, fixed=fixed, subjects=(subject,), needs=needs, also=also, **fields
    )


_TOOL: Final = ("tool", "load_glossary")
_REPEATED: Final = (
    _repeated("glossary x3", _glossary(3, 0.6), _glossary(3, 0.6, cached=True), _TOOL, strength="at the least count"),
    _repeated("glossary x5", _glossary(5, 0.6), _glossary(5, 0.6, cached=True), _TOOL, strength="1.7 times the count"),
    _repeated("glossary x2 of 4 s", _glossary(2, 4), _glossary(2, 4, cached=True), _TOOL, strength="twice the least s"),
    _repeated(
        "question x4",
        _same_question(4),
        _same_question(4, cached=True),
        ("llm", "gpt-4-0613"),
        needs=frozenset({TEMPERATURE}),
        strength="1.3 times the least count",
    ),
    _repeated(
        "rates in all runs",
        _same_in_all_runs(),
        _same_in_all_runs(cached=True),
        ("tool", "load_rates"),
        runs=(15, 30),
        strength="1.5 to 3 times the least count",
    ),
    _case("repeated_call", "rates in 6 runs", Kind.NEAR_MISS, _same_in_all_runs(), runs=(6,)),
    _case("repeated_call", "glossary x2 of 0.6 s", Kind.NEAR_MISS, _glossary(2, 0.6)),
    _case("repeated_call", "glossary x3 of 0.03 s", Kind.NEAR_MISS, _glossary(3, 0.03)),
    _case("repeated_call", "results differ", Kind.LOOK_ALIKE, _glossary(5, 0.6, new=True)),
    _case("repeated_call", "write between", Kind.LOOK_ALIKE, _write_between),
    _case("repeated_call", "status of a job", Kind.LOOK_ALIKE, _time_dependent),
    _case("repeated_call", "other arguments", Kind.LOOK_ALIKE, _other_arguments),
    _case("repeated_call", "polling", Kind.LOOK_ALIKE, _polls, also=frozenset({"loop"})),
    _case("repeated_call", "samples on purpose", Kind.LOOK_ALIKE, _samples),
)


# -- retry_storm --------------------------------------------------------------------------------------------------


def _storm(
    failures: int, *, seconds: float = 1.5, pause_s: float = 0.5, growth: float = 1.0, share: float = 1.0
) -> Workflow:
    """A tool fails several times before it succeeds; the pauses stay the same."""

    async def run(w: World) -> None:
        async def fetch() -> None:
            count = failures if w.draw("fails").random() < share else 0
            for attempt in range(1, count + 1):
                try:
                    await w.tool(
                        "fetch_quotes", {"of": w.said[-1]}, attempt=attempt, seconds=seconds, fails="TimeoutError"
                    )
                except CallFailedError:
                    await w.wait("fetch_quotes", "retry_backoff", pause_s * growth ** (attempt - 1))
            await w.tool("fetch_quotes", {"of": w.said[-1]}, attempt=count + 1, seconds=0.5, key="good")
            await talk(w, calls=1)

        await phases(w, {"research": fetch})

    return run


def _layers(outer: int, inner: int) -> Workflow:
    """A tool retries requests, and the agent retries the tool: the tries multiply."""

    async def run(w: World) -> None:
        async def fetch() -> None:
            request = {"method": "GET", "host": "quotes.example.com", "route": "/quotes", "seconds": 0.5}
            for attempt in range(1, outer + 1):
                bad = [request | {"status": 503, "resend": at} for at in range(inner)]
                try:
                    await w.tool(
                        "fetch_quotes", {"of": w.said[-1]}, attempt=attempt, http=bad, fails="ServiceUnavailable"
                    )
                except CallFailedError:
                    await w.wait("fetch_quotes", "retry_backoff", 0.3)
            if outer:
                await w.tool("fetch_quotes", {"of": w.said[-1]}, attempt=outer + 1, http=[request])
            await talk(w, calls=1)

        await phases(w, {"research": fetch})

    return run


def _impatient(tries: int) -> Workflow:
    """The service says how long to wait; the tool asks again after a tenth of that."""

    async def run(w: World) -> None:
        async def fetch() -> None:
            for attempt in range(1, tries + 1):
                request = {"method": "POST", "host": "api.example.com", "route": "/search", "seconds": 0.6}
                bad = [request | {"status": 429, "retry_after_s": 5}]
                try:
                    await w.tool("search_api", {"of": w.said[-1]}, attempt=attempt, http=bad, fails="RateLimited")
                except CallFailedError:
                    await w.sleep(0.5)
            await w.tool("search_api", {"of": w.said[-1]}, attempt=tries + 1, seconds=0.6, key="good")
            await talk(w, calls=1)

        await phases(w, {"research": fetch})

    return run


async def _self_correction(w: World) -> None:
    """The model corrects the arguments of a query that is refused."""
    async with w.agent("analyst"):
        for at in range(4):
            answer = await w.llm(700, 40, asks=True)
            fails = "ValidationError" if at < 3 else None
            try:
                await w.tool("query_sql", {"query": f"select {at}"}, turn=answer.turn, seconds=0.6, fails=fails)
            except CallFailedError:
                continue
        await w.llm(900, 60)


_STORM_TOOL: Final = (("tool", "fetch_quotes"), ("tool", "search_api"), ("tool", "quotes.example.com"))
_STORM_ALSO: Final = frozenset({"error_hotspot", "timeout_burn", "loop", "repeated_call", "slow_phase", "n_plus_one"})


def _retry(name: str, run: Workflow, fixed: Workflow | None = None, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"subjects": _STORM_TOOL, "also": _STORM_ALSO, "fixed": fixed} | fields
    return _case("retry_storm", name, Kind.POSITIVE, run, **given)


_STORMS: Final = (
    _retry("3 failures with equal pauses", _storm(3), _storm(0), strength="4 tries of 3"),
    _retry("5 failures with equal pauses", _storm(5), _storm(0), strength="6 tries of 3"),
    _retry("3 x 3 tries in two layers", _layers(3, 3), strength="product 9 of 4"),
    _retry("retry-after ignored", _impatient(3), strength="4 tries of 3"),
    _case("retry_storm", "1 failure in 3 of 10 runs", Kind.NEAR_MISS, _storm(1, growth=2, share=0.3), also=_STORM_ALSO),
    _case("retry_storm", "1 failure in 1 run", Kind.NEAR_MISS, _storm(1, growth=2), runs=(1,), also=_STORM_ALSO),
    _case("retry_storm", "arguments corrected", Kind.LOOK_ALIKE, _self_correction, also=_STORM_ALSO),
    _case("retry_storm", "no failures", Kind.LOOK_ALIKE, _storm(0)),
)


# -- loop ---------------------------------------------------------------------------------------------------------


def _circle(turns: int, names: Sequence[str] = ("search_web",), *, new: bool = False) -> Workflow:
    """An agent does the same things again, and finds what it found before."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        async with w.agent("researcher"):
            for turn in range(turns):
                for name in names:
                    answer = await w.llm(600, 30, asks=True)
                    arguments = {"query": f"page {turn} of {answer.text}" if new else w.said[0]}
                    result = None if new else f"nothing was found by {name} about {w.said[0]}"
                    await w.tool(name, arguments, turn=answer.turn, result=result, seconds=0.7)
            await w.llm(900, 60, key="last")
        await phases(w, names=("writer",), calls=1)

    return run


def _ping_pong(turns: int) -> Workflow:
    """Two agents hand the work to and fro."""

    async def run(w: World) -> None:
        await phases(w, names=("plan",), calls=1)
        for _ in range(turns):
            for name, other in (("billing", "support"), ("support", "billing")):
                async with w.agent(name):
                    await w.llm(600, 30)
                w.handoff(name, other)
        async with w.agent("billing"):
            await w.llm(600, 80, key="last")

    return run


async def _reviews(w: World) -> None:
    """A writer and a reviewer take turns, and each draft is new."""
    for _ in range(3):
        async with w.agent("writer"):
            await w.llm(900, 120)
        async with w.agent("reviewer"):
            await w.llm(900, 40)


_LOOP_SUBJECTS: Final = (
    ("agent", "researcher"),
    ("tool", "search_web"),
    ("tool", "search_web, read_page"),
    ("tool", "search_web → read_page"),
)
_LOOP_ALSO: Final = frozenset({"repeated_call", "context_bloat", "n_plus_one", "critical_path_hog"})


def _loop(name: str, run: Workflow, fixed: Workflow, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"subjects": _LOOP_SUBJECTS, "also": _LOOP_ALSO} | fields
    return _case("loop", name, Kind.POSITIVE, run, fixed=fixed, **given)


_PING_PONG: Final = (
    ("agent", "billing, support"),
    ("agent", "support, billing"),
    ("agent", "billing"),
    ("agent", "support"),
    ("agent", "billing → support"),
    ("agent", "billing, support, billing"),
)
_LOOPS: Final = (
    _loop("one tool 4 times", _circle(4), _circle(2), strength="1.3 times the least repeats"),
    _loop("one tool 6 times", _circle(6), _circle(2), strength="2 times the least repeats"),
    _loop(
        "two tools 4 times",
        _circle(4, ("search_web", "read_page")),
        _circle(2, ("search_web", "read_page")),
        strength="1.3 times the least repeats",
    ),
    _loop(
        "hand-offs to and fro 5 times",
        _ping_pong(5),
        _ping_pong(2),
        subjects=_PING_PONG,
        needs=frozenset({HANDOFFS}),
        strength="1.3 times the least repeats",
    ),
    _case("loop", "one tool twice", Kind.NEAR_MISS, _circle(2)),
    _case("loop", "hand-offs to and fro once", Kind.NEAR_MISS, _ping_pong(1)),
    _case("loop", "pages that advance", Kind.LOOK_ALIKE, _circle(6, new=True), also=_LOOP_ALSO),
    _case("loop", "drafts and reviews", Kind.LOOK_ALIKE, _reviews),
)


# -- n_plus_one ---------------------------------------------------------------------------------------------------


def _items(count: int, seconds: float, *, batched: bool = False, at_once: bool = False, http: bool = False) -> Workflow:
    """Items are loaded one by one; batched, the longest call and a tenth for each further item."""

    async def run(w: World) -> None:
        async def one(at: int) -> None:
            request = {"method": "GET", "host": "items.example.com", "route": "/items/{id}", "path": f"/items/{at}"}
            requests = [request | {"seconds": seconds}] if http else []
            await w.tool(
                "get_item", {"id" if http else "item": at, "of": w.plan}, seconds=seconds, key=at, http=requests
            )

        async def load() -> None:
            w.plan = (await w.llm(500, 40)).text
            if batched:
                whole_s = seconds * (1.25 + 0.1 * count)
                await w.tool("get_items", {"ids": list(range(count)), "of": w.plan}, seconds=whole_s)
            elif at_once:
                await w.gather(*(one(at) for at in range(count)))
            else:
                for at in range(count):
                    await one(at)

        await phases(w, {"load": load}, names=("plan", "load", "writer"), calls=1)

    return run


_ITEM: Final = (("tool", "get_item"), ("tool", "GET /items/{id}"))
_N_ALSO: Final = frozenset({"missed_parallelism", "critical_path_hog"})


def _n_plus_one(name: str, run: Workflow, fixed: Workflow, **fields: Any) -> Scenario:
    return _case("n_plus_one", name, Kind.POSITIVE, run, fixed=fixed, subjects=_ITEM, also=_N_ALSO, **fields)


_NS: Final = (
    _n_plus_one("8 items", _items(8, 0.3), _items(8, 0.3, batched=True), strength="1.6 times the least count"),
    _n_plus_one("15 items", _items(15, 0.25), _items(15, 0.25, batched=True), strength="3 times the least count"),
    _n_plus_one(
        "12 requests", _items(12, 0.3, http=True), _items(12, 0.3, batched=True), strength="2.4 times the least count"
    ),
    _case("n_plus_one", "4 items", Kind.NEAR_MISS, _items(4, 0.3), also=_N_ALSO),
    _case("n_plus_one", "12 items of 0.01 s", Kind.NEAR_MISS, _items(12, 0.01), also=_N_ALSO),
    _case("n_plus_one", "items at once", Kind.LOOK_ALIKE, _items(12, 0.3, at_once=True)),
    _case(
        "n_plus_one", "model between the items", Kind.LOOK_ALIKE, _circle(7, new=True), also=_LOOP_ALSO - {"n_plus_one"}
    ),
)
SCENARIOS: Final = (*_REPEATED, *_STORMS, *_LOOPS, *_NS)
