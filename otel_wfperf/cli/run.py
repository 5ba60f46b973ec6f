"""``wfperf run``: record one run of a program and report what slows it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from otel_wfperf.analysis.prediction import Prediction
from otel_wfperf.analysis.scenario import LANGUAGE, Scenario
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
from otel_wfperf.cli.what_if import add_what_if_argument, predictions, read_scenarios
from otel_wfperf.config import ListenConfig, LogConfig, SidecarConfig
from otel_wfperf.errors import MissingExtraError
from otel_wfperf.instrumentation.integrations import INTEGRATIONS
from otel_wfperf.model import Execution
from otel_wfperf.report.units import count

if TYPE_CHECKING:
    from otel_wfperf.sidecar.embedded import RunningSidecar
    from otel_wfperf.sidecar.pipeline import Analysis
    from otel_wfperf.sidecar.recorder import Recorder


class Run:
    """Starts a sidecar in this process, then the program; reports when the program ends."""

    name: ClassVar[str] = "run"
    summary: ClassVar[str] = "run a program and report what slows its workflows"
    details: ClassVar[str] = f"""\
The program is recorded without a change to it: frameworks that are known (wfperf doctor lists them), and everything
that it sends with OpenTelemetry. Its exit status is kept (128 + n when signal n ended it), and SIGINT and SIGTERM are
passed on to it. Its standard output is untouched, unless a JSON or HTML report needs standard output: then it goes to
standard error.

--record keeps what was received (the spans that ended) for wfperf analyze and wfperf compare: runs of before and after
a change, each in a file, can then be compared.

examples:
  wfperf run -- python app.py --fast                    a report to read, after the program's own output
  wfperf run -o report.html -- python -m team
  wfperf run --format json -- pytest tests/slow | jq .findings
  wfperf run --record before.pb -- python app.py        then change it, and: wfperf compare before.pb after.pb
  wfperf run --what-if 'cache tool:search' -- python app.py

{LANGUAGE}

Durations are in seconds (s), milliseconds (ms) or as written; sizes of prompts in tokens."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        add_report_arguments(parser)
        parser.add_argument(
            "--record", type=Path, metavar="FILE", help="keep the spans as OTLP protobuf, for analyze and compare"
        )
        add_what_if_argument(parser)
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
        form = report_format(arguments)
        scenarios = read_scenarios(arguments.what_if)
        if arguments.record is not None:
            check_writable(arguments.record, what="the spans to ", option="--record FILE")
        return record(
            program,
            form=form,
            output=arguments.output,
            automatic=arguments.automatic,
            keep=arguments.record,
            scenarios=scenarios,
        )


def record(
    program: Sequence[str],
    *,
    form: str,
    output: Path | None,
    automatic: bool = True,
    keep: Path | None = None,
    scenarios: Sequence[Scenario] = (),
) -> int:
    """Run a program beside a sidecar of its own, write the report and return the program's exit status.

    Args:
        program: It and its arguments.
        form: Of the report.
        output: Where the report goes; None = standard output.
        automatic: Record the frameworks that are known.
        keep: Gets the spans that were received.
        scenarios: Changes to predict.
    """
    check_writable(output)
    _mention_overrides(os.environ)
    ended, analysis = _watched(program, form=form, output=output, automatic=automatic, keep=keep)
    if not analysis.executions:
        _explain_silence(program, ended, automatic=automatic)
        if form == "text":
            return ended.status
    report = Report(
        executions=analysis.executions,
        findings=analysis.findings,
        predictions=_predictions(scenarios, analysis.executions),
    )
    if output is None and form == "text":
        # The program's own output may stand above.
        write_standard_output("\n")
    write_report(report, report_format=form, output=output)
    return ended.status


def _watched(
    program: Sequence[str], *, form: str, output: Path | None, automatic: bool, keep: Path | None
) -> tuple[child.Ended, Analysis]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfperf-")))
        # Not where it is wanted before it is complete: an earlier recording may be there.
        file = stack.enter_context((folder / "spans.pb").open("wb")) if keep is not None else None
        sidecar, recorder = stack.enter_context(_sidecar(folder, file))
        env = child.environment(os.environ, endpoint=sidecar.endpoints.http, command=program, automatic=automatic)
        ended = child.run(program, env, output_to_stderr=output is None and form != "text")
        analysis = sidecar.finish(str(ended))
        if keep is not None and recorder is not None:
            _keep(keep, folder / "spans.pb", recorder.spans)
    return ended, analysis


def _keep(keep: Path, written: Path, spans: int) -> None:
    """Put what was recorded where the user wants it, and say what to do with it."""
    try:
        shutil.copyfile(written, keep)
    except OSError as error:
        sys.stderr.write(f"error: cannot write the spans to {keep}: {error.strerror}\n")
        return
    sys.stderr.write(f"wfperf: {count(spans, 'span')} recorded in {keep}\n")
    if spans:
        name = shlex.quote(str(keep))
        sys.stderr.write(f"hint: wfperf analyze {name}, or after a change: wfperf compare {name} after{keep.suffix}\n")


def _predictions(scenarios: Sequence[Scenario], executions: Sequence[Execution]) -> list[Prediction]:
    """Replay the scenarios; a name that nothing has must not cost the report of a run that took its time."""
    found = []
    for scenario in scenarios:
        try:
            found += predictions([scenario], executions)
        except UsageError as error:
            sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
    return found


@contextmanager
def _sidecar(folder: Path, file: BinaryIO | None) -> Iterator[tuple[RunningSidecar, Recorder | None]]:
    """Start a sidecar on free loopback ports that keeps its data in a folder, and its spans in a file, if any."""
    try:
        from otel_wfperf.sidecar.embedded import embedded  # noqa: PLC0415 - comes with the sidecar extra
        from otel_wfperf.sidecar.recorder import Recorder  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("wfperf run", "sidecar") from error
    free = "127.0.0.1:0"
    config = SidecarConfig(
        listen=ListenConfig(grpc=free, http=free, page=free),
        data_dir=folder,
        # The data does not outlive the run, so it need not survive a power failure.
        log=LogConfig(fsync="never"),
    )
    recorder = None if file is None else Recorder(file)
    with embedded(config, recorder=recorder) as running:
        yield running, recorder


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
