"""From the command line to a command, and from its result to an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from otel_wfperf.cli.alerts import Alerts
from otel_wfperf.cli.analyze import Analyze
from otel_wfperf.cli.checks.software import installed_version
from otel_wfperf.cli.command import Command, UsageError, parser_for, unknown
from otel_wfperf.cli.compare import Compare
from otel_wfperf.cli.config import Config
from otel_wfperf.cli.demo import Demo
from otel_wfperf.cli.doctor import Doctor
from otel_wfperf.cli.lint import Lint
from otel_wfperf.cli.plan import Plan
from otel_wfperf.cli.run import Run
from otel_wfperf.cli.sidecar import SidecarCommand
from otel_wfperf.errors import ConfigError, WfperfError

USAGE_STATUS: Final = 2

# In the order of the help. To add one: its file, its line here, its test.
COMMANDS: Final[tuple[Command, ...]] = (
    Run(),
    Demo(),
    Analyze(),
    Compare(),
    Lint(),
    Plan(),
    SidecarCommand(),
    Alerts(),
    Config(),
    Doctor(),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except UsageError as error:
        _complain(str(error), hint=error.hint)
    except ConfigError as error:
        check = "" if arguments[:1] == ["config"] else "wfperf config check lists all problems, "
        _complain(*error.problems, hint=f"{check}wfperf config schema lists all keys")
    except WfperfError as error:
        _complain(str(error))
    except BrokenPipeError:
        # The reader has gone (`wfperf ... | head`): nobody is left to print to, not even the interpreter at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return USAGE_STATUS


def help_text() -> str:
    """Return what ``wfperf --help`` prints."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: wfperf COMMAND [ARGUMENTS]",
            "",
            "Find out what to change to make a multi-agent LLM workflow faster.",
            "",
            *lines,
            "",
            "wfperf COMMAND --help shows arguments and examples; wfperf --version prints the version.",
            "Start with: wfperf demo",
            "",
        ]
    )


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        raise UsageError("no command given", hint="wfperf --help lists the commands; wfperf demo shows what it does")
    name, *rest = arguments
    if name in {"-h", "--help", "help"}:
        sys.stdout.write(help_text())
        return 0
    if name in {"-V", "--version"}:
        sys.stdout.write(f"wfperf {installed_version()}\n")
        return 0
    if name.startswith("-"):
        raise UsageError(f"unknown option: {name}", hint="options follow the command: wfperf COMMAND [ARGUMENTS]")
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        raise unknown("command", name, [command.name for command in COMMANDS])
    return command.run(parser_for(command).parse_args(rest))


def _complain(*messages: str, hint: str | None = None) -> None:
    for message in messages:
        sys.stderr.write(f"error: {message}\n")
    if hint:
        sys.stderr.write(f"hint: {hint}\n")
