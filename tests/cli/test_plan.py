import json
from pathlib import Path

import pytest

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.cli import main
from otel_wfperf.model import Execution, Operation, OperationKind
from otel_wfperf.report.units import duration_s
from otel_wfperf.store import Analysed, Position, Sample, Store
from tests.cli.conftest import REPOSITORY, Wfperf

EXAMPLES = REPOSITORY / "examples" / "workflows"
FIVE = EXAMPLES / "five-phases.md"
SECOND = 1_000_000_000
TWO_STEPS = (
    '## Phase 1: Build\n### Branch A: One\nsubagent_type="senior-architect"\n'
    '### Branch B: Two\nsubagent_type="painter"\n'
)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "flow.md"
    path.write_text(TWO_STEPS)
    return path


def test_a_schedule_reads_like_this(definition: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--max-parallel", "1", str(definition)]) == 0

    printed = capfd.readouterr()
    assert printed.err == ""
    assert printed.out == (
        "flow: 1 phase, 2 steps, at most 1 at once, about 2 min 16 s\n"
        "  90 % interval: 1 min 43 s to 2 min 46 s; 2 min 15 s of work, 1.0 steps at once on average\n"
        "\n"
        "                                    0 s                                        2 min 15 s\n"
        "  Phase 1: Build\n"
        "    Branch A: One\n"
        "        senior-architect           │███████████████████████████████████                  │1 min 30 s\n"
        "    Branch B: Two\n"
        "        painter                    │                                   ██████████████████│    45.0 s\n"
        "\n"
        "  █ critical path; ░ in parallel; every step at its median\n"
        "  Critical path: senior-architect (1 min 30 s) → painter (45.0 s)\n"
        "  - not measured, usual times of such agents taken (--profiles gives yours): senior-architect\n"
        "  - nothing known, 30.0 s to 1 min 00 s assumed for each: painter\n"
    )


def test_json_has_every_step_and_the_total(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--format", "json", str(FIVE)]) == 0

    content = json.loads(capfd.readouterr().out)
    assert content["workflow"] == "feature-delivery"
    assert content["total_s"]["low"] < content["total_s"]["median"] < content["total_s"]["high"]
    assert content["at_medians_s"] == 472.5
    assert [content["steps"][number]["agent"] for number in content["critical_path"]] == [
        "senior-architect",
        "security-specialist",
        "backend-developer",
        "general-developer",
        "security-specialist",
        "integration-specialist",
    ]
    assert content["steps"][3] == {
        "phase": "3",
        "branch": "A",
        "agent": "backend-developer",
        "text": '- Call `subagent_type="backend-developer"` to write the service',
        "line": 21,
        "start_s": 225.0,
        "end_s": 262.5,
        "duration_s": {"median": 37.5, "low": 26.25, "high": 48.75},
        "profile": "prior",
        "calls": 0,
        "critical": True,
        "after": [1, 2],
    }


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_bars_fit_the_encoding_and_the_width(encoding: str, wfperf: Wfperf) -> None:
    result = wfperf("plan", FIVE, env={"PYTHONIOENCODING": encoding})

    lines = result.stdout.decode(encoding).splitlines()
    assert result.returncode == 0
    assert max(map(len, lines)) <= 100
    assert any("█" in line for line in lines) == (encoding == "utf-8")


def test_findings_about_the_definition_are_announced(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(EXAMPLES / "false-parallelisation.md")]) == 0
    assert "1 finding about the definition itself (false_parallelism)" in capfd.readouterr().out


def test_branches_that_wait_for_one_another_cannot_be_planned(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flow.md"
    path.write_text("## Phase 1: All\n### Branch A: a\nAfter Branch B\n### Branch B: b\nAfter Branch A\n")
    assert main(["plan", str(path)]) == 2
    assert f"run: wfperf lint {path}" in capfd.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5"])
def test_capacity_is_a_whole_number(count: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", f"--max-parallel={count}", str(FIVE)]) == 2
    assert "write a whole number of at least 1" in capfd.readouterr().err


def planned(definition: Path, profiles: str, capfd: pytest.CaptureFixture[str]) -> dict[str, tuple[float, str, int]]:
    """Return median, source and number of calls of each agent."""
    assert main(["plan", "--format", "json", "--profiles", profiles, str(definition)]) == 0
    steps = json.loads(capfd.readouterr().out)["steps"]
    return {step["agent"]: (step["duration_s"]["median"], step["profile"], step["calls"]) for step in steps}


def test_traces_give_profiles(definition: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recording = tmp_path / "traces.json"
    spans = [
        {
            "traceId": "ab" * 16,
            "spanId": f"{number:016x}",
            "parentSpanId": "" if number == 1 else f"{1:016x}",
            "name": f"invoke_agent {name}",
            "startTimeUnixNano": str(1_700_000_000 * SECOND),
            "endTimeUnixNano": str((1_700_000_000 + seconds) * SECOND),
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
                {"key": "gen_ai.agent.name", "value": {"stringValue": name}},
            ],
        }
        for number, (name, seconds) in enumerate([("lead", 20), ("painter", 4), ("painter", 6), ("painter", 11)], 1)
    ]
    recording.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))

    assert planned(definition, str(recording), capfd) == {
        "senior-architect": (90.0, "prior", 0),
        "painter": (6.0, "live", 3),
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A sidecar's data folder, with two workflows that called the painter."""
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    for number, (workflow, seconds) in enumerate([("house", 8.0), ("fence", 2.0), ("fence", 2.0)], start=1):
        root = Operation(
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            parent_id=None,
            kind=OperationKind.WORKFLOW,
            name=workflow,
            start_ns=number * SECOND,
            end_ns=(number + 9) * SECOND,
        )
        execution = Execution(trace_id=root.trace_id, workflow=workflow, root_id=root.span_id, operations=(root,))
        sample = Sample(kind="agent", name="painter", duration_s=seconds)
        store.save(
            [Analysed(execution=execution, last_offset=number, document={}, samples=(sample,))],
            consumer="test",
            position=Position(log_id="log", offset=number),
            now_unix_ns=SECOND,
        )
    store.close()
    return tmp_path


@pytest.mark.parametrize(
    ("selection", "median_s", "calls"),
    [("", 2.0, 3), ("/store.sqlite", 2.0, 3), ("?workflow=house", 8.0, 1), ("?workflow=fence", 2.0, 2)],
)
def test_a_store_gives_profiles(
    selection: str, median_s: float, calls: int, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    definition = store / "flow.md"
    definition.write_text(TWO_STEPS)
    found = planned(definition, f"store:{store}{selection}", capfd)

    assert found["painter"][0] == pytest.approx(median_s, rel=2 * Sketch().alpha)
    assert found["painter"][1:] == ("live", calls)


@pytest.mark.parametrize(
    ("profiles", "problem"),
    [
        ("store:missing.db", "store:missing.db: there is no store at missing.db"),
        ("store:?since=7d", "'since=7d' is not understood"),
        ("missing.json", "missing.json: gives no profiles"),
    ],
)
def test_profiles_that_do_not_exist_are_an_error(
    profiles: str, problem: str, definition: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--profiles", profiles, str(definition)]) == 2
    assert problem in capfd.readouterr().err
    assert not (tmp_path / "missing.db").exists()


def test_a_store_without_agents_or_that_is_none_is_an_error(
    store: Path, definition: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--profiles", f"store:{store}?workflow=nobody", str(definition)]) == 2
    assert "holds no agent that ran" in capfd.readouterr().err
    assert main(["plan", "--profiles", f"store:{definition}", str(definition)]) == 2
    assert "cannot be opened as a store" in capfd.readouterr().err


def test_what_is_used_without_waiting_for_it_is_said_with_the_time_that_waiting_would_take(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flow = tmp_path / "flow.md"
    branches = "## Phase 1: P\n### Branch A: List\n- x\n### Branch B: Read\n- Uses the list from Branch A\n"
    flow.write_text(branches)
    assert main(["plan", str(flow)]) == 0
    told = capfd.readouterr().out
    flow.write_text(branches.replace("Uses the list from", "Waits for"))
    assert main(["plan", "--format", "json", str(flow)]) == 0
    waiting_s = json.loads(capfd.readouterr().out)["total_s"]["median"]

    assert "if they do wait, it takes about" in " ".join(told.split())
    assert duration_s(waiting_s) in " ".join(told.split())
