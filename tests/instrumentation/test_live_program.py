"""Programs that run, against the real sidecar: what it shows of them before and after they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.sidecar.embedded import RunningSidecar, embedded
from tests.instrumentation.programs import run_program, running_program
from tests.processes import eventually
from tests.sidecar.running import configured, fetch, fetch_json

# Starts an execution with each line of its standard input, and keeps it open until the next one.
WAITING = """
import asyncio, sys
import otel_wfperf.auto
from opentelemetry import trace
from otel_wfperf import agent, phase, workflow

chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": "a secret"}

async def main():
    async with workflow("notes"), phase("draft"), agent("writer"):
        with trace.get_tracer("a framework").start_as_current_span("chat m", attributes=chat):
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

while sys.stdin.readline():
    asyncio.run(main())
"""

STUCK = """
import sys, time
import otel_wfperf.auto
from otel_wfperf import workflow
from otel_wfperf.instrumentation.operations import start_phase

with workflow("notes"):
    call = start_phase("draft", start_ns=time.time_ns() - 300_000_000_000)
    sys.stdin.readline()
    call.end()
"""

TURNS = """
import asyncio, time
import otel_wfperf.auto
from otel_wfperf import agent, workflow

def burn(cpu_s):
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        pass

async def busy():
    async with agent("busy"):
        for _ in range(10):
            burn(0.02)
            await asyncio.sleep(0.001)

async def idle():
    async with agent("idle"):
        for _ in range(10):
            await asyncio.sleep(0.001)

async def blocking():
    async with agent("blocking"):
        await asyncio.sleep(0)
        time.sleep(0.3)

async def main():
    async with workflow("turns"):
        await asyncio.gather(busy(), idle(), blocking())

asyncio.run(main())
"""


@contextmanager
def sidecar(folder: Path, protocol: str = "http/protobuf") -> Iterator[tuple[RunningSidecar, dict[str, str]]]:
    """Run a sidecar, and say what a program needs in its environment to find it."""
    with embedded(configured(folder)) as running:
        endpoint = f"http://{running.endpoints.grpc}" if protocol == "grpc" else running.endpoints.http
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        yield running, environment


def live(running: RunningSidecar) -> Any:
    return fetch_json(f"{running.endpoints.page}/api/v1/live")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_running_execution_is_visible_with_its_open_spans(protocol: str, tmp_path: Path) -> None:
    with sidecar(tmp_path, protocol) as (running, environment), running_program(WAITING, **environment) as program:
        assert program.stdin is not None
        for _ in range(3):
            program.stdin.write("start\n")
            program.stdin.flush()

            def all_open() -> Any:
                return [one for one in live(running)["executions"] if len(one["open_spans"]) == 4]

            [execution] = eventually(all_open)
            page = fetch(f"{running.endpoints.page}/")[0]
            program.stdin.write("end\n")
            program.stdin.flush()
            eventually(lambda: not all_open())
        program.stdin.close()
        program.stdin = None
        program.wait(60)
        finished = running.finish().executions

    assert execution["workflow"] == "notes"
    assert [(one["kind"], one["name"], one["phase"], one["agent"]) for one in execution["open_spans"]] == [
        ("workflow", "notes", None, None),
        ("phase", "draft", None, None),
        ("agent", "writer", "draft", "writer"),
        ("llm", "m", "draft", "writer"),
    ]
    assert all(0 < one["age_s"] <= execution["age_s"] and not one["stalled"] for one in execution["open_spans"])
    assert "<td>llm m</td>" in page
    assert [(one.workflow, one.completeness, len(one.operations)) for one in finished] == [("notes", 1.0, 4)] * 3


def test_a_stalled_phase_is_visible_as_such(tmp_path: Path) -> None:
    with sidecar(tmp_path) as (running, environment), running_program(STUCK, **environment):

        def stalled() -> Any:
            found = live(running)
            return found if found["stalled"] else None

        [execution] = eventually(stalled)["executions"]
        page = fetch(f"{running.endpoints.page}/")[0]
        metrics = eventually(lambda: "wfperf_stalled_executions 1.0" in fetch(f"{running.endpoints.page}/metrics")[0])

    root, phase = sorted(execution["open_spans"], key=lambda one: one["kind"] == "phase")
    assert (phase["name"], phase["stalled"], phase["age_s"] >= 300) == ("draft", True, True)
    assert phase["stalled_reason"].startswith("nothing in it has begun or ended for 5 min")
    assert root["stalled_reason"] == "all that is open in it has stalled"
    assert execution["stalled_reason"].startswith("phase draft: nothing in it")
    assert "stalled: phase draft: nothing in it" in page
    assert metrics


def test_cpu_time_and_blocking_reach_the_report_by_agent(tmp_path: Path) -> None:
    with sidecar(tmp_path) as (running, environment):
        done = run_program(TURNS, **environment)
        running.finish()
        [execution] = fetch_json(f"{running.endpoints.page}/api/v1/executions")["executions"]

    assert (done.returncode, done.stderr) == (0, "")
    agents = {one["name"]: one for one in execution["agents"]}
    assert agents["busy"]["cpu_s"] == pytest.approx(0.2, rel=0.1)
    assert agents["idle"]["cpu_s"] < 0.02
    assert agents["blocking"]["loop_blocked_s"] >= 0.3
    assert execution["completeness"] == 1.0
