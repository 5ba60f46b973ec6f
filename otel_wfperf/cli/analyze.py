"""``wfperf analyze``: findings from recorded traces."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from otel_wfperf.assembly import assemble
from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.output import Report, add_report_arguments, check_writable, report_format, write_report
from otel_wfperf.conventions import normalize
from otel_wfperf.detectors import detect
from otel_wfperf.errors import InputError
from otel_wfperf.model import Finding, Operation, Severity
from otel_wfperf.otlp.files import read_spans

STANDARD_INPUT: Final = "-"

# Chosen: who waits longer than this wants to know that something happens, and no more often.
PROGRESS_S: Final = 2.0


class Analyze:
    """Reads files, assembles executions, runs the detectors."""

    name: ClassVar[str] = "analyze"
    summary: ClassVar[str] = "find what slows the workflows in recorded traces"
    details: ClassVar[str] = """\
The format is found from the content: OTLP JSON, OTLP JSON lines (the Collector's file exporter), OTLP protobuf (with
or without a 4-byte length before each request), Jaeger JSON, Zipkin JSON v2; gzip is understood.

exit status:
  0  each input could be used; what is damaged or foreign in a file or directory is reported and left out
  1  --fail-on: there is a finding at least that severe
  2  an input could not be used at all; the report covers the others

examples:
  wfperf analyze traces.jsonl                         a report to read
  wfperf analyze --format json recordings/ | jq .     every file in a directory, for programs
  wfperf analyze --format html -o report.html a.pb    one self-contained page
  curl -s localhost:16686/api/traces?service=team | wfperf analyze -

Durations are in seconds (s), milliseconds (ms) or as written; sizes of prompts in tokens."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("inputs", nargs="+", metavar="FILE", help="a file, a directory, or - for standard input")
        add_report_arguments(parser)
        parser.add_argument(
            "--fail-on",
            choices=[severity.value for severity in Severity],
            metavar="SEVERITY",
            help="exit with 1 when a finding is at least this severe: critical, high, medium, low or info",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        check_writable(arguments.output)
        reading = _Reading()
        for name in arguments.inputs:
            reading.add(name)
        executions = assemble(reading.operations)
        findings = detect(executions)
        form = report_format(arguments)
        # A person who reads the report in the terminal has just seen the errors there.
        errors = () if form == "text" and arguments.output is None else reading.errors
        report = Report(executions=executions, findings=findings, errors=errors)
        write_report(report, report_format=form, output=arguments.output)
        if reading.failed:
            return 2
        return int(arguments.fail_on is not None and _is_reached(Severity(arguments.fail_on), findings))


def _is_reached(limit: Severity, findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity.rank <= limit.rank for finding in findings)


@dataclass(slots=True)
class _Reading:
    """What the inputs held so far.

    Attributes:
        errors: What could not be used; each is on standard error already.
        failed: Whether an input that the user named could not be used at all.
    """

    operations: list[Operation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed: bool = False
    _files: int = 0
    _reported_s: float = field(default_factory=time.monotonic)

    def add(self, name: str) -> None:
        """Read one input of the command line."""
        path = Path(name)
        if name != STANDARD_INPUT and path.is_dir():
            files = list(_files_below(path))
            if not files:
                self._fail(f"{name}: the directory holds no files; name files or another directory")
            # What else lies in a directory is no mistake of the user.
            usable = [self._read(str(file)) for file in files]
            if files and not any(usable):
                self.failed = True
            return
        if not self._read(name):
            self.failed = True

    def _read(self, name: str) -> bool:
        try:
            contents = read_spans(_bytes(name), name="standard input" if name == STANDARD_INPUT else name)
        except InputError as error:
            self._report(str(error))
            return False
        for problem in contents.errors:
            self._report(problem, level="warning")
        for reason, number in contents.rejected.items():
            self._report(f"{name}: {number} spans left out: {reason}", level="warning")
        self.operations += (operation for span in contents.spans if (operation := normalize(span)) is not None)
        self._progress()
        return True

    def _fail(self, problem: str) -> None:
        self._report(problem)
        self.failed = True

    def _report(self, problem: str, level: str = "error") -> None:
        self.errors.append(problem)
        sys.stderr.write(f"{level}: {problem}\n")

    def _progress(self) -> None:
        self._files += 1
        now_s = time.monotonic()
        if now_s - self._reported_s >= PROGRESS_S:
            self._reported_s = now_s
            sys.stderr.write(f"wfperf: {self._files} inputs read, {len(self.operations)} spans\n")


def _bytes(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}; check the path and its permissions") from error


def _files_below(folder: Path) -> Iterator[Path]:
    """List the files of a directory and those below it, by path; hidden ones are left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path
