import json
import sys
from pathlib import Path

import pytest

from otel_wfperf.cli import main
from otel_wfperf.cli.lint import Lint
from otel_wfperf.definitions import RULES
from tests.cli.conftest import REPOSITORY, Wfperf

EXAMPLES = REPOSITORY / "examples" / "workflows"
FALSE = EXAMPLES / "false-parallelisation.md"


def test_a_good_definition_passes_and_what_was_understood_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    good, release = EXAMPLES / "good-parallelisation.md", EXAMPLES / "release.yaml"

    assert main(["lint", str(good), str(release)]) == 0

    assert capfd.readouterr() == (
        (
            f"{good}: no findings (3 phases, 5 steps, 5 agent calls)\n"
            f"{release}: no findings (3 phases, 6 steps, 6 agent calls)\n"
        ),
        "",
    )


def test_findings_are_lines_as_of_a_compiler(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(FALSE)]) == 1

    [line] = capfd.readouterr().out.splitlines()
    assert line.startswith(f"{FALSE}:7: false_parallelism: Phase 1 only looks parallel: ")
    assert "true schedule: C -> A -> B." in line


def test_json_is_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--format", "json", str(FALSE)]) == 1

    content = json.loads(capfd.readouterr().out)
    [finding] = content["findings"]
    assert (finding["rule"], finding["source"], finding["line"], finding["severity"]) == (
        "false_parallelism",
        str(FALSE),
        7,
        "high",
    )
    assert content["errors"] == []


def test_what_cannot_be_read_does_not_hide_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notes, broken, binary = tmp_path / "notes.md", tmp_path / "a.yaml", tmp_path / "b.md"
    notes.write_text("remember the milk")
    broken.write_text("phases:\n- duration: soon\n  agent: a\n- mode: odd\n")
    binary.write_bytes(b"\xff\xfe\x00")
    missing = tmp_path / "missing.md"
    assert main(["lint", *map(str, (notes, broken, binary, missing, FALSE))]) == 2

    printed = capfd.readouterr()
    assert "false_parallelism" in printed.out
    assert printed.err.splitlines()[0].startswith(f"error: {notes}: has no phase; write `## Phase 1: Title`")
    assert f"error: {broken}:2: duration: write seconds" in printed.err
    assert f"error: {broken}:4: mode: unknown: odd" in printed.err
    assert f"error: {binary}: is not text in UTF-8" in printed.err
    assert f"error: {missing}: there is no such file; check the path" in printed.err


def test_rules_can_be_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--ignore", "false_parallelism", str(FALSE)]) == 0
    assert main(["lint", "--ignore", "false_paralelism", str(FALSE)]) == 2
    assert "unknown rule: false_paralelism (did you mean false_parallelism?)" in capfd.readouterr().err


def test_the_help_names_every_rule() -> None:
    assert all(f"  {rule.name} " in Lint.details for rule in RULES)


def test_reads_standard_input(wfperf: Wfperf) -> None:
    result = wfperf("lint", "-", given=FALSE.read_bytes())
    assert result.returncode == 1
    assert result.stdout.startswith(b"standard input:7: false_parallelism: ")
    assert wfperf("lint", "-", given=(EXAMPLES / "release.yaml").read_bytes()).returncode == 0


GRAPHS = """
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    n: int


def build(*edges):
    graph = StateGraph(State)
    for name in dict.fromkeys(name for edge in edges for name in edge if name not in {START, END}):
        graph.add_node(name, lambda state: state)
    for source, target in edges:
        graph.add_edge(source, target)
    return graph


uncompiled = build((START, "planner"), ("planner", "a"), ("planner", "b"), ("a", END), ("b", END))
compiled = uncompiled.compile(name="team")
endless = build((START, "a"), ("a", "b"), ("b", "a"))


def made():
    return compiled


async def later():
    return compiled


def needs(argument):
    return compiled


number = 3
"""


@pytest.fixture
def graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langgraph")
    (tmp_path / "wfperf_lint_graphs.py").write_text(GRAPHS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "wfperf_lint_graphs", raising=False)


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("name", ["compiled", "uncompiled", "made"])
@pytest.mark.parametrize("module", ["wfperf_lint_graphs", "./wfperf_lint_graphs.py"])
def test_looks_at_graphs_of_langgraph_code(module: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", f"{module}:{name}"]) == 0
    assert capfd.readouterr().out == f"{module}:{name}: no findings (2 phases, 3 steps, 3 agent calls)\n"
    assert main(["plan", "--format", "json", f"{module}:{name}"]) == 0
    steps = json.loads(capfd.readouterr().out)["steps"]
    assert [(step["phase"], step["agent"]) for step in steps] == [("1", "planner"), ("2", "a"), ("2", "b")]


@pytest.mark.usefixtures("graphs")
def test_a_graph_that_never_ends_is_circular(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "wfperf_lint_graphs:endless"]) == 1
    assert capfd.readouterr().out.startswith("wfperf_lint_graphs:endless: circular_dependency: ")


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("wfperf_lint_graphs:number", "is a int; name a StateGraph"),
        ("wfperf_lint_graphs:later", "is a coroutine; name a StateGraph"),
        ("wfperf_lint_graphs:needs", "cannot be built: TypeError"),
        ("wfperf_lint_graphs:nothing", "has no nothing"),
        ("wfperf_no_such_module:graph", "cannot be imported: ModuleNotFoundError"),
        ("./missing.py:graph", "cannot be imported: FileNotFoundError"),
    ],
)
def test_a_graph_that_is_none_is_an_input_error(name: str, problem: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", name]) == 2
    assert f"error: {name}: " in (said := capfd.readouterr().err)
    assert problem in said


def test_a_folder_and_a_module_get_the_next_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(tmp_path), "team.app"]) == 2
    assert capfd.readouterr().err.splitlines() == [
        f"error: {tmp_path}: is a folder; name its files, such as {tmp_path}/*.md",
        "error: team.app: there is no such file; check the path, or team.app:graph for LangGraph code",
    ]
