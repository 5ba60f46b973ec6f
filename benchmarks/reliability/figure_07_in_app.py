"""Figure 7: what recording costs the program that is recorded, with nobody listening."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any, Final

from benchmarks.reliability.figure import Figure, Outcome
from tests.processes import free_ports

_ROUNDS: Final = 5
_MAX_SPAN_US: Final = 20.0
_MAX_SHARE: Final = 0.03
_MAX_BLOCKED_S: Final = 0.05
# Twenty agents at once, each with two model calls and a tool; their times are those of a fast model. What a span
# costs is the time inside of entering and leaving it.
_PROGRAM: Final = """
import asyncio, json, statistics, sys, time
RECORDED = sys.argv[1] == "recorded"
if RECORDED:
    import otel_wfperf.auto
    from otel_wfperf import agent, llm, tool, workflow
else:
    from contextlib import nullcontext
    workflow = agent = llm = tool = lambda *_: nullcontext()
costs = []

class timed:
    def __init__(self, manager):
        self.manager = manager
    def __enter__(self):
        start = time.perf_counter()
        self.manager.__enter__()
        self.entered = time.perf_counter() - start
    def __exit__(self, *exc):
        start = time.perf_counter()
        self.manager.__exit__(*exc)
        costs.append((self.entered, time.perf_counter() - start))

async def work(number):
    with timed(agent(f"agent {number}")):
        for _ in range(2):
            with timed(llm("fake-1")):
                await asyncio.sleep(0.05)
            with timed(tool("search")):
                sum(range(20_000))
                await asyncio.sleep(0.02)

async def run():
    with timed(workflow("twenty agents")):
        await asyncio.gather(*(work(number) for number in range(20)))

asyncio.run(run())
costs.clear()
start = time.perf_counter()
for _ in range(20):
    asyncio.run(run())
took = time.perf_counter() - start
print(json.dumps({
    "took_s": took / 20,
    "span_us": 1e6 * statistics.median(entered + left for entered, left in costs),
    "longest_s": max(max(pair) for pair in costs),
}))
"""


def _run(kind: str, port: int) -> dict[str, Any]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "NO_PROXY": "127.0.0.1",
    }
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def measure() -> Outcome:
    """Run the same program with and without recording in turn, with a port that nobody listens on."""
    (port,) = free_ports(1)
    rounds = [(_run("plain", port), _run("recorded", port)) for _ in range(_ROUNDS)]
    share = statistics.median(recorded["took_s"] / plain["took_s"] - 1 for plain, recorded in rounds)
    span_us = statistics.median(recorded["span_us"] for _, recorded in rounds)
    longest_s = max(recorded["longest_s"] for _, recorded in rounds)
    return Outcome(
        got=f"{span_us:.0f} µs a span, {share:+.1%} of the run, longest call {longest_s * 1e3:.0f} ms",
        reached=span_us < _MAX_SPAN_US and share <= _MAX_SHARE and longest_s <= _MAX_BLOCKED_S,
    )


FIGURE: Final = Figure(
    number=7,
    title="the recorded program, 20 agents at once, nobody listening",
    asked="< 20 µs a span (median), <= 3 % of the run, no call above 50 ms",
    measure=measure,
)
