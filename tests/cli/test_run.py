import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY, Wfperf, command, surroundings


def test_reports_after_the_programs_own_output(program: Path, wfperf: Wfperf) -> None:
    result = wfperf("run", "--", sys.executable, program)

    printed = result.stdout.decode()
    assert result.returncode == 0
    assert printed.startswith("the program's own output\n\nteam: 2 runs, ok, median ")
    assert "search" in printed


@pytest.mark.parametrize("report", ["json", "html"])
def test_standard_output_is_the_reports_when_it_is_data(report: str, program: Path, wfperf: Wfperf) -> None:
    result = wfperf("run", "--report", report, "--", sys.executable, program)

    assert result.returncode == 0
    assert b"the program's own output\n" in result.stderr
    if report == "json":
        assert [run["workflow"] for run in json.loads(result.stdout)["executions"]] == ["team", "team"]
    else:
        assert result.stdout.startswith(b"<!doctype html>")


def test_standard_output_is_untouched_when_the_report_goes_to_a_file(
    program: Path, tmp_path: Path, wfperf: Wfperf
) -> None:
    report = tmp_path / "report.json"
    result = wfperf("run", "--report", "json", "-o", report, "--", sys.executable, program)

    assert result.stdout == b"the program's own output\n"
    assert len(json.loads(report.read_text())["executions"]) == 2


@pytest.mark.parametrize("output", [["--report", "text"], ["--report", "json"]])
def test_keeps_the_programs_exit_status(output: list[str], program: Path, wfperf: Wfperf) -> None:
    result = wfperf("run", *output, "--", sys.executable, program, "7")

    assert result.returncode == 7
    assert b"team" in result.stdout


def test_a_program_that_sends_nothing_gets_next_steps(wfperf: Wfperf) -> None:
    result = wfperf("run", "--", sys.executable, "-c", "print('quiet')")

    assert result.returncode == 0
    assert result.stdout == b"quiet\n"
    assert b"no spans arrived from" in result.stderr
    [hint] = [line for line in result.stderr.splitlines() if line.startswith(b"hint: recorded without a change")]
    assert b"langgraph" in hint
    assert b"wfperf doctor" in result.stderr


def test_nothing_received_is_still_a_document(wfperf: Wfperf) -> None:
    result = wfperf("run", "--report", "json", "--no-auto", "--", sys.executable, "-c", "pass")

    assert json.loads(result.stdout) == {
        "executions": [],
        "findings": [],
        "together": [],
        "what_if": [],
        "errors": [],
    }
    assert b"without --no-auto" in result.stderr


def test_says_that_the_users_endpoint_is_replaced(program: Path, wfperf: Wfperf) -> None:
    elsewhere = "http://collector.invalid:4318"
    result = wfperf("run", "--", sys.executable, program, env={"OTEL_EXPORTER_OTLP_ENDPOINT": elsewhere})

    assert f"OTEL_EXPORTER_OTLP_ENDPOINT ({elsewhere}) is replaced for this run".encode() in result.stderr
    assert b"team: 2 runs" in result.stdout


def test_a_program_that_does_not_exist_is_a_usage_error(wfperf: Wfperf) -> None:
    result = wfperf("run", "--", "no-such-program")

    assert result.returncode == 2
    assert result.stderr.startswith(b"error: cannot run no-such-program: No such file or directory\nhint: ")


def test_an_interrupted_program_still_gets_its_report(tmp_path: Path) -> None:
    program = tmp_path / "endless.py"
    program.write_text(
        """
import signal, sys
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("step"):
    pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("ready", flush=True)
signal.pause()
"""
    )
    process = subprocess.Popen(
        command("run", "--", sys.executable, program),
        cwd=REPOSITORY,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)

    assert process.returncode == 5
    assert b"step: 1 run" in printed


KILLED = """
import os, signal, threading, time
from otel_wfperf import phase, workflow
for _ in range({finished}):
    with workflow("k"), phase("one"):
        time.sleep(0.01)
threading.Timer(1.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
with workflow("k"):
    with phase("zero"):
        time.sleep(0.3)
    with phase("one"):
        time.sleep(60)
"""


def test_a_killed_run_says_where_it_was(wfperf: Wfperf) -> None:
    result = wfperf("run", "--", sys.executable, "-c", KILLED.format(finished=0))

    assert result.returncode == 128 + signal.SIGTERM
    assert b"k: 1 run, incomplete, killed by signal 15 in phase one after 1." in result.stdout
    assert b"hint" not in result.stderr


def test_a_killed_run_stands_beside_those_that_ended(wfperf: Wfperf) -> None:
    result = wfperf("run", "--format", "json", "--", sys.executable, "-c", KILLED.format(finished=3))

    runs = json.loads(result.stdout)["executions"]
    assert [(run["workflow"], run["status"], run["cut_short"]) for run in runs] == [
        *[("k", "ok", None)] * 3,
        ("k", "incomplete", "killed by signal 15 in phase one"),
    ]
    assert runs[-1]["duration_s"] > 1


def test_a_program_killed_before_it_sent_anything_is_said_to_be(wfperf: Wfperf) -> None:
    result = wfperf("run", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")

    assert result.returncode == 128 + signal.SIGKILL
    assert b"was killed by signal 9 before it had sent anything" in result.stderr
    assert b"decorate" not in result.stderr


def test_what_was_received_is_kept_for_the_other_commands(program: Path, tmp_path: Path, wfperf: Wfperf) -> None:
    kept = tmp_path / "before.pb"
    result = wfperf("run", "--record", kept, "--", sys.executable, program)

    assert f"wfperf: 4 spans recorded in {kept}\n".encode() in result.stderr
    assert f"hint: wfperf analyze {kept}, or after a change: wfperf compare {kept} after.pb".encode() in result.stderr
    analysis = json.loads(wfperf("analyze", "--format", "json", kept).stdout)
    assert [run["workflow"] for run in analysis["executions"]] == ["team", "team"]
    assert [run["span_count"] for run in analysis["executions"]] == [2, 2]


def test_an_earlier_recording_stays_when_the_program_cannot_be_run(tmp_path: Path, wfperf: Wfperf) -> None:
    kept = tmp_path / "before.pb"
    kept.write_bytes(b"earlier")

    assert wfperf("run", "--record", kept, "--", "no-such-program").returncode == 2
    assert kept.read_bytes() == b"earlier"


def test_a_recording_that_cannot_be_written_is_told_before_the_program_runs(program: Path, wfperf: Wfperf) -> None:
    result = wfperf("run", "--record", "/no/such/folder/x.pb", "--", sys.executable, program)

    assert (result.returncode, result.stdout) == (2, b"")
    assert b"cannot write the spans to /no/such/folder/x.pb: No such file or directory" in result.stderr
    assert b"hint: name another file with --record FILE" in result.stderr


def test_predicts_with_the_report_and_a_wrong_name_does_not_cost_it(program: Path, wfperf: Wfperf) -> None:
    changes = ("--what-if", "faster tool:search x2", "--what-if", "remove tool:serch")
    result = wfperf("run", *changes, "--", sys.executable, program)

    printed = result.stdout.decode()
    assert result.returncode == 0
    assert "What if: faster tool:search x2\n  team: saves about " in printed
    assert " per run, 50 %, in 2 runs" in printed
    assert "team: 2 runs, ok, median " in printed
    assert b"no tool is called serch (did you mean search?)\nhint: tools are search" in result.stderr
