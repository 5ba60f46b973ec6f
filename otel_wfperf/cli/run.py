"""``wfperf run``: record one run of a program and report what slows it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from otel_wfperf.cli import child
from otel_wfperf.cli.command import Parser, UsageError
from otel_wfperf.cli.output import (
    Report,
    add_report_arguments,
    check_writable,
    report_format,
    write_report,
    write_standard_output,
)
from otel_wfperf.config import ListenConfig, LogConfig, SidecarConfig
from otel_wfperf.errors import MissingExtraError
from otel_wfperf.instrumentation.integrations import INTEGRATIONS

if TYPE_CHECKING:
    from otel_wfperf.sidecar.embedded import RunningSidecar


class Run:
    """Starts a sidecar in this process, then the program; reports when the program ends."""

    name: ClassVar[str] = "run"
    summary: ClassVar[str] = "run a program and report what slows its workflows"
    details: ClassVar[str] = """\
The program is recorded without a change to it: frameworks that are known (wfperf doctor lists them), and everything
that it sends with OpenTelemetry. Its exit status is kept (128 + n when signal n ended it), and SIGINT and SIGTERM are
passed on to it. Its standard output is untouched, unless a JSON or HTML report needs standard output: then it goes to
standard error.

examples:
  wfperf run -- python app.py --fast                    a report to read, after the program's own output
  wfperf run -o report.html -- python -m team
  wfperf run --format json -- pytest tests/slow | jq .findings

Durations are in seconds (s), milliseconds (ms) or as written; sizes of prompts in tokens."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        add_report_arguments(parser)
        parser.add_argument(
            "--no-auto",
            dest="automatic",
            action="store_false",
            help="record only what the program sends with OpenTelemetry itself",
        )
        parser.add_argument(
            "program", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="the program and its arguments"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        program = list(arguments.program)
        if program[:1] == ["--"]:
            del program[0]
        if not program:
            raise UsageError("no program given", hint="wfperf run -- python app.py")
        return record(program, form=report_format(arguments), output=arguments.output, automatic=arguments.automatic)


def record(program: Sequence[str], *, form: str, output: Path | None, automatic: bool = True) -> int:
    """Run a program beside a sidecar of its own, write the report and return the program's exit status."""
    check_writable(output)
    _mention_overrides(os.environ)
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, _sidecar(Path(folder)) as sidecar:
        env = child.environment(os.environ, endpoint=sidecar.endpoints.http, command=program, automatic=automatic)
        ended = child.run(program, env, output_to_stderr=output is None and form != "text")
        analysis = sidecar.finish(str(ended))
    if not analysis.executions:
        _explain_silence(program, ended, automatic=automatic)
        if form == "text":
            return ended.status
    report = Report(executions=analysis.executions, findings=analysis.findings)
    if output is None and form == "text":
        # The program's own output may stand above.
        write_standard_output("\n")
    write_report(report, report_format=form, output=output)
    return ended.status


def _sidecar(folder: Path) -> AbstractContextManager[RunningSidecar]:
    """Start a sidecar on free loopback ports that keeps its data in a folder."""
    try:
        from otel_wfperf.sidecar.embedded import embedded  # noqa: PLC0415 - comes with the sidecar extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("wfperf run", "sidecar") from error
    free = "127.0.0.1:0"
    config = SidecarConfig(
        listen=ListenConfig(grpc=free, http=free, page=free),
        data_dir=folder,
        # The data does not outlive the run, so it need not survive a power failure.
        log=LogConfig(fsync="never"),
    )
    return embedded(config)


def _mention_overrides(environ: Mapping[str, str]) -> None:
    changed = [name for name in child.OVERRIDDEN if name.endswith("ENDPOINT") and environ.get(name)]
    for name in changed:
        sys.stderr.write(f"wfperf: {name} ({environ[name]}) is replaced for this run; telemetry stays here\n")


def _explain_silence(program: Sequence[str], ended: child.Ended, *, automatic: bool) -> None:
    if ended.was_killed:
        sys.stderr.write(f"wfperf: `{shlex.join(program)}` was {ended} before it had sent anything\n")
        sys.stderr.write(
            "hint: of a program that is killed, only what had been open for half a second or had ended is known\n"
        )
        return
    known = ", ".join(integration.name for integration in INTEGRATIONS)
    sys.stderr.write(f"wfperf: no spans arrived from `{shlex.join(program)}`, so there is nothing to report\n")
    if automatic:
        sys.stderr.write(
            f"hint: recorded without a change to the program: {known}; wfperf doctor tells what is installed\n"
        )
    else:
        sys.stderr.write("hint: without --no-auto, frameworks that are known are recorded without a change\n")
    sys.stderr.write(
        "hint: anything else: decorate it with otel_wfperf.workflow, or send OpenTelemetry spans over OTLP\n"
    )
