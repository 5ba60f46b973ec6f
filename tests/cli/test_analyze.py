import json
from pathlib import Path

import pytest

from otel_wfperf.cli import main
from tests.cli.conftest import Wfperf

SECOND = 1_000_000_000


def span(name: str, span_id: int, start_s: float, end_s: float, **attributes: str) -> dict[str, object]:
    """Build an OTLP/JSON span; span 1 is the root."""
    return {
        "traceId": "ab" * 16,
        "spanId": f"{span_id:016x}",
        "parentSpanId": "" if span_id == 1 else f"{1:016x}",
        "name": name,
        "startTimeUnixNano": str(int((1_700_000_000 + start_s) * SECOND)),
        "endTimeUnixNano": str(int((1_700_000_000 + end_s) * SECOND)),
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in attributes.items()
        ],
    }


def trace() -> str:
    """Write a workflow of 3 s with one slow tool."""
    spans = [
        span("invoke_workflow team", 1, 0, 3, gen_ai__operation__name="invoke_workflow", gen_ai__workflow__name="team"),
        span("execute_tool search", 2, 0.5, 2.5, gen_ai__operation__name="execute_tool", gen_ai__tool__name="search"),
    ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "trace.json"
    path.write_text(trace())
    return path


def test_prints_a_report_to_read(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(recording)]) == 0

    printed = capfd.readouterr()
    assert printed.out.startswith("team: 1 run, ok, 3.00 s\n")
    assert "search" in printed.out
    assert printed.err == ""


def test_json_is_one_document_and_nothing_else(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "--format", "json", str(recording)]) == 0

    content = json.loads(capfd.readouterr().out)
    [run] = content["executions"]
    assert (run["workflow"], run["duration_s"], run["span_count"]) == ("team", 3.0, 2)
    assert [section["name"] for section in run["critical_path"]] == ["team", "search", "team"]
    assert content["errors"] == []


def test_writes_a_page_to_a_file(recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["analyze", "--format", "html", "-o", str(page), str(recording)]) == 0

    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert str(page) in printed.err


def test_reads_standard_input(wfperf: Wfperf) -> None:
    result = wfperf("analyze", "-", given=trace().encode())
    assert result.returncode == 0
    assert result.stdout.startswith(b"team: 1 run")


def test_one_bad_file_does_not_stop_the_others(
    recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("remember the milk")
    missing = tmp_path / "missing.json"
    status = main(["analyze", "--format", "json", str(bad), str(missing), str(recording)])

    printed = capfd.readouterr()
    content = json.loads(printed.out)
    assert status == 2
    assert len(content["executions"]) == 1
    assert len(content["errors"]) == 2
    assert str(bad) in content["errors"][0]
    assert f"{missing}: cannot be read: No such file or directory" in content["errors"][1]
    assert all(f"error: {error}\n" in printed.err for error in content["errors"])


def test_reads_what_a_directory_holds(recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk")
    (tmp_path / ".hidden").write_text("not looked at")
    (tmp_path / "below").mkdir()
    recording.rename(tmp_path / "below" / "trace.json")
    status = main(["analyze", "--format", "json", str(tmp_path)])

    content = json.loads(capfd.readouterr().out)
    assert status == 0
    assert len(content["executions"]) == 1
    [error] = content["errors"]
    assert "notes.txt" in error


def test_a_directory_without_traces_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(tmp_path)]) == 2
    assert "holds no files" in capfd.readouterr().err
    (tmp_path / "notes.txt").write_text("remember the milk")
    assert main(["analyze", str(tmp_path)]) == 2


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low", "info"])
def test_no_finding_reaches_no_limit(severity: str, recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "--fail-on", severity, str(recording)]) == 0
    assert "No findings" in capfd.readouterr().out


def test_a_finding_that_is_severe_enough_fails(wfperf: Wfperf, tmp_path: Path) -> None:
    recording = tmp_path / "series.json"
    turn = {"wfperf__span__kind": "tool", "wfperf__turn__id": "turn 1"}
    tools = [span(f"load_{number}", number, number - 2, number - 1, **turn) for number in (2, 3, 4)]
    root = span("team", 1, 0, 3, wfperf__span__kind="workflow")
    recording.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [root, *tools]}]}]}))

    assert wfperf("analyze", "--fail-on", "medium", recording).returncode == 1
    assert wfperf("analyze", recording).returncode == 0


def test_a_report_that_cannot_be_written_is_found_out_first(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = recording.parent / "missing"
    assert main(["analyze", "-o", str(folder / "report.txt"), str(recording)]) == 2
    assert "cannot write the report to" in capfd.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_bars_fit_the_encoding_of_standard_output(encoding: str, recording: Path, wfperf: Wfperf) -> None:
    result = wfperf("analyze", recording, env={"PYTHONIOENCODING": encoding})

    written = result.stdout.decode(encoding)
    assert result.returncode == 0
    assert ("█" in written) == (encoding == "utf-8")
    assert "\N{REPLACEMENT CHARACTER}" not in written


@pytest.mark.parametrize(
    ("name", "start"), [("page.html", "<!doctype html>"), ("page.json", "{"), ("page.txt", "team")]
)
def test_the_ending_of_the_file_says_the_form(name: str, start: str, recording: Path, tmp_path: Path) -> None:
    assert main(["analyze", "-o", str(tmp_path / name), str(recording)]) == 0
    assert (tmp_path / name).read_text().startswith(start)


@pytest.mark.parametrize("option", ["--format", "--report"])
def test_the_form_has_the_names_of_both_commands(
    option: str, recording: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", option, "json", str(recording)]) == 0
    assert json.loads(capfd.readouterr().out)["errors"] == []


def test_a_problem_is_told_once(tmp_path: Path, recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("no traces")

    assert main(["analyze", str(bad), str(recording)]) == 2
    said = capfd.readouterr()
    assert (said.err.count("bad.json"), said.out.count("bad.json")) == (1, 0)


def test_answers_what_if(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "--what-if", "faster tool:search x2", "--what-if", "remove tool:*", str(recording)]) == 0

    assert capfd.readouterr().out.startswith(
        "What if: faster tool:search x2\n"
        "  team: saves about 1.00 s, 33 %, in 1 run\n"
        "    takes 2.00 s instead of 3.00 s; 1 operation changed; confidence: indicative\n"
        "    Assuming that:\n"
        "    - What had ended before a step started was waited for; this is taken from the times.\n"
        "    - Pauses between steps and the results of steps stay as they were.\n"
        "\n"
        "What if: remove tool:*\n"
        "  team: saves about 2.00 s, 67 %, in 1 run\n"
    )


def test_answers_what_if_for_programs_and_as_a_page(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["analyze", "--what-if", "remove tool:search", str(recording), "--format"]

    assert main([*arguments, "json"]) == 0
    [prediction] = json.loads(capfd.readouterr().out)["what_if"]
    assert (prediction["scenario"], prediction["workflow"]) == ("remove tool:search", "team")
    assert prediction["saving_s"] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert (prediction["duration_before_s"], prediction["duration_after_s"]["median"]) == (3.0, 1.0)
    assert (prediction["runs_touched"], prediction["touched_ratio"], prediction["operations"]) == (1, 1.0, 1)
    assert prediction["confidence"] == "indicative"
    assert len(prediction["assumptions"]) == 3

    assert main([*arguments, "html"]) == 0
    assert "team: saves about 2.00 s, 67 %, in 1 run." in capfd.readouterr().out


@pytest.mark.parametrize(
    ("scenario", "message", "hint"),
    [
        ("remove tool:serch", "character 8: no tool is called serch (did you mean search?)", "tools are search"),
        ("delete tool:search", "character 1: unknown verb delete", "verbs are cache, remove"),
        ("cache tool:search", "character 7: cannot tell for tool:search of team", "are not recorded"),
    ],
)
def test_a_change_that_cannot_be_made_is_an_error(
    scenario: str, message: str, hint: str, recording: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "--what-if", scenario, str(recording)]) == 2

    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: --what-if {scenario!r}, {message}")
    assert hint in printed.err.partition("\nhint: ")[2]


def test_what_if_says_nothing_where_no_trace_could_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "--what-if", "remove tool:search", str(tmp_path / "missing.json")]) == 2
    assert "no tool is called" not in capfd.readouterr().err


def test_what_if_answers_alone_unless_the_report_is_asked_for(
    recording: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["analyze", "--what-if", "faster tool:search x2", str(recording)]

    assert main(arguments) == 0
    alone = capfd.readouterr().out
    assert main([*arguments, "--full"]) == 0
    full = capfd.readouterr().out

    assert alone.endswith("\n\nThe report on the runs themselves: the same command with --full.\n")
    assert "team: 1 run, ok" not in alone
    assert full.startswith(alone[: alone.index("The report on")])
    assert "\nteam: 1 run, ok, 3.00 s\n" in full


def test_foreign_files_of_a_directory_are_warnings_and_many_are_one_line(
    recording: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        (recording.parent / f"note-{number}.txt").write_text("buy milk")

    assert main(["analyze", "--format", "json", str(recording.parent)]) == 0

    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning"] * 4
    assert "note-0.txt" in lines[0]
    assert f"{recording.parent}: 6 more of the 10 files cannot be read as traces" in lines[3]
    assert len(json.loads(printed.out)["errors"]) == 9


def test_an_ending_that_is_no_reports_is_refused(
    recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "x.pdf"

    assert main(["analyze", "-o", str(report), str(recording)]) == 2
    assert "the ending .pdf is that of no report\nhint: endings are .txt, .json, .html" in capfd.readouterr().err
    assert not report.exists()
    assert main(["analyze", "--format", "text", "-o", str(report), str(recording)]) == 0


def test_a_store_cannot_be_analysed_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", f"store:{tmp_path}"]) == 2

    said = capfd.readouterr().err
    assert said.startswith(f"error: store:{tmp_path}: a store keeps the results of runs, not the spans")
    assert "wfperf compare" in said
