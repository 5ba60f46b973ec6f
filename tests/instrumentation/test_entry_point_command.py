"""The real ``opentelemetry-instrument`` command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("opentelemetry.distro")

COMMAND = Path(sys.executable).with_name("opentelemetry-instrument")
PROGRAM = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
class State(TypedDict):
    n: int
graph = StateGraph(State).add_node("step", lambda state: {"n": 1}).add_edge(START, "step").compile(name="g")
graph.invoke({"n": 0})
"""


def test_opentelemetry_instrument_finds_us_and_sends_to_its_own_exporter(tmp_path: Path) -> None:
    program = tmp_path / "team.py"
    program.write_text(PROGRAM)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        # Another instrumentor of LangChain may be installed; ours would leave the work to it.
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "langchain",
    }

    done = subprocess.run(
        [COMMAND, sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert '"name": "invoke_workflow g"' in done.stdout
    assert '"name": "phase step"' in done.stdout
