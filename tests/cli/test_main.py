import subprocess

import pytest

from otel_wfperf.cli import main
from otel_wfperf.cli.command import Command
from otel_wfperf.cli.main import COMMANDS, USAGE_STATUS
from tests.cli.conftest import REPOSITORY, Wfperf, command, surroundings


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0

    printed = capsys.readouterr().out
    assert all(f"  {command.name} " in printed and command.summary in printed for command in COMMANDS)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_is_printed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out.startswith("wfperf ")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself_with_examples(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command.name, "--help"])

    printed = capsys.readouterr().out
    assert f"wfperf {command.name}" in printed
    assert "examples:" in printed
    assert max(map(len, printed.splitlines())) <= 120


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "no command given", "wfperf demo"),
        (["analyse", "x"], "unknown command: analyse (did you mean analyze?)", "commands are run, demo,"),
        (["zzz"], "unknown command: zzz\n", "commands are run, demo,"),
        (["--format", "json"], "unknown option: --format", "options follow the command"),
        (["analyze"], "required: FILE", "wfperf analyze --help"),
        (["analyze", "x", "--format", "yaml"], "yaml", "wfperf analyze --help"),
        (["analyze", "x", "--form", "json"], "unrecognized arguments: --form", "wfperf analyze --help"),
        (["run"], "no program given", "wfperf run -- python app.py"),
        (["run", "--"], "no program given", "wfperf run -- python app.py"),
        (["sidecar", "--grpc", "4317"], "'4317': write host:port", "wfperf sidecar --help"),
    ],
)
def test_says_what_is_wrong_and_what_to_do(
    arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE_STATUS

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert hint in printed.err.partition("\nhint: ")[2]


def test_runs_as_a_module(wfperf: Wfperf) -> None:
    result = wfperf("--version")
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        command("config", "schema"), cwd=REPOSITORY, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode in {0, 141}
