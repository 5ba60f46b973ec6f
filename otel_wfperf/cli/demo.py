"""``wfperf demo``: the bundled workflow, recorded and explained."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import ClassVar, Final

import otel_wfperf
from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.output import add_report_arguments, report_format
from otel_wfperf.cli.run import record
from otel_wfperf.errors import InputError, MissingExtraError

SCRIPT: Final = "langgraph_research.py"


class Demo:
    """``wfperf run`` on an example that needs no key and no network."""

    name: ClassVar[str] = "demo"
    summary: ClassVar[str] = "run the bundled LangGraph example and show what slows it (no key, no network)"
    details: ClassVar[str] = """\
A research team of seven agents with a scripted model runs a few times. Four mistakes that are common in agent
workflows are built in; the report should name them. --healthy runs the same team without them.

examples:
  wfperf demo                                 about 40 s
  wfperf demo -o demo.html                    the same as a page for the browser
  wfperf demo --healthy                       the same team without the mistakes

Durations are in seconds (s), milliseconds (ms) or as written; sizes of prompts in tokens."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        add_report_arguments(parser)
        parser.add_argument("--healthy", action="store_true", help="run it without the built-in mistakes")
        parser.add_argument("--runs", type=int, default=4, metavar="N", help="executions (count, default 4)")
        parser.add_argument("--seed", type=int, default=7, metavar="N", help="seed of the service times (default 7)")
        parser.add_argument(
            "--time-scale",
            type=float,
            default=0.2,
            metavar="X",
            help="factor on the service times; 1 is as slow as real models (default 0.2)",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        if find_spec("langgraph") is None:
            raise MissingExtraError("wfperf demo", "langgraph")
        program = [sys.executable, str(example()), f"--runs={arguments.runs}", f"--seed={arguments.seed}"]
        program.append(f"--time-scale={arguments.time_scale}")
        if arguments.healthy:
            program.append("--healthy")
        sys.stderr.write(f"wfperf: running {program[1]} {arguments.runs} times\n")
        form = report_format(arguments)
        status = record(program, form=form, output=arguments.output)
        if status == 0:
            _say_where_to_look(program[1], healthy=arguments.healthy, form=form)
        return status


def example() -> Path:
    """Find the example, in an installed package or in a source tree."""
    package = Path(otel_wfperf.__file__).parent
    for folder in (package / "_examples", package.parent / "examples"):
        if (folder / SCRIPT).is_file():
            return folder / SCRIPT
    raise InputError(f"{SCRIPT} is not part of this installation of otel-wfperf; install it again from its wheel")


def _say_where_to_look(script: str, *, healthy: bool, form: str) -> None:
    # A virtual environment that is not activated has the command, but not on the PATH.
    command, python = ("wfperf", "python") if which("wfperf") else (sys.argv[0], sys.executable)
    following = {
        f"{command} demo -o demo.html": "the report as a page for the browser" if form != "html" else None,
        f"{command} demo --healthy": None if healthy else "the same team without the mistakes",
        f"{command} run -- {python} your_app.py": "the same for your own workflow",
        script: "the program: nothing in it knows about otel-wfperf",
    }
    width = max(len(step) for step, reason in following.items() if reason)
    lines = [f"  {step:<{width}}  {reason}" for step, reason in following.items() if reason]
    sys.stderr.write("\nNext:\n" + "\n".join(lines) + "\n")
