"""The command line as users start it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0


class Wfperf(Protocol):
    """Runs ``wfperf`` and returns what it printed and its exit status."""

    def __call__(
        self, *arguments: object, env: Mapping[str, str] | None = None, given: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]: ...


def command(*arguments: object) -> Sequence[str]:
    return [sys.executable, "-m", "otel_wfperf.cli", *map(str, arguments)]


def surroundings(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Leave out what a developer may have set for other purposes."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    return own | dict(env or {})


@pytest.fixture
def wfperf() -> Wfperf:
    def run(
        *arguments: object, env: Mapping[str, str] | None = None, given: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command(*arguments),
            cwd=REPOSITORY,
            env=surroundings(env),
            input=given,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that reports two workflow runs of 40 ms through OpenTelemetry, as any instrumented one would."""
    path = tmp_path / "team.py"
    path.write_text(
        """
import sys
import time

from opentelemetry import trace

tracer = trace.get_tracer("team")
for _ in range(2):
    workflow = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "team"}
    with tracer.start_as_current_span("invoke_workflow team", attributes=workflow):
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        with tracer.start_as_current_span("execute_tool search", attributes=tool):
            time.sleep(0.04)
print("the program's own output")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""
    )
    return path
