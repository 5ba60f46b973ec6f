"""Writing a report where the user wants it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_wfperf.analysis.prediction import Prediction
from otel_wfperf.cli.command import Parser, UsageError
from otel_wfperf.model import Execution, Finding
from otel_wfperf.report import html, text
from otel_wfperf.report.document import document

FORMATS: Final = ("text", "json", "html")
_FORMAT_OF_SUFFIX: Final = {"": "text", ".txt": "text", ".json": "json", ".html": "html", ".htm": "html"}

# Chosen: shorter lines hide the bars, longer ones are hard to follow.
MIN_COLUMNS: Final = 60
MAX_COLUMNS: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report is about.

    Attributes:
        findings: Worst first.
        errors: What could not be read, one sentence each.
        predictions: What the changes that were asked about would do.
        answer_alone: The text says nothing else.
    """

    executions: Sequence[Execution]
    findings: Sequence[Finding]
    errors: Sequence[str] = ()
    predictions: Sequence[Prediction] = ()
    answer_alone: bool = False

    def render(self, report_format: str, page: text.Page | None = None) -> str:
        """Write it in one of ``FORMATS``; ``page`` is the layout of text."""
        if report_format == "json":
            content = document(self.executions, self.findings, self.errors, predictions=self.predictions)
            return json.dumps(content, indent=2, allow_nan=False) + "\n"
        if report_format == "html":
            return html.render(self.executions, self.findings, self.errors, predictions=self.predictions)
        if self.answer_alone:
            return text.render_answer(self.predictions, self.errors, page=page)
        return text.render(self.executions, self.findings, self.errors, predictions=self.predictions, page=page)


def add_report_arguments(parser: Parser) -> None:
    """Declare the arguments that say what becomes of the report."""
    parser.add_argument(
        "--format",
        "--report",
        choices=FORMATS,
        help="form of the report (default: that of FILE's ending: .txt, .json or .html; text without FILE)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the report to a file")


def report_format(arguments: argparse.Namespace) -> str:
    """Return the form that was asked for, or that the name of the file stands for; refuse a name that says none."""
    output: Path | None = arguments.output
    if arguments.format is not None or output is None:
        return str(arguments.format or "text")
    form = _FORMAT_OF_SUFFIX.get(output.suffix.lower())
    if form is None:
        known = ", ".join(filter(None, _FORMAT_OF_SUFFIX))
        raise UsageError(
            f"{output}: the ending {output.suffix} is that of no report",
            hint=f"endings are {known}; --format says it for any other name",
        )
    return form


def write_report(report: Report, *, report_format: str, output: Path | None) -> None:
    """Write to a file, or to standard output when there is none."""
    if output is None:
        write_standard_output(report.render(report_format, page_of_standard_output()), report_format)
        return
    try:
        output.write_text(report.render(report_format), encoding="utf-8")
    except OSError as error:
        raise unwritable(output, error) from error
    sys.stderr.write(f"wfperf: report written to {output}\n")


def check_writable(output: Path | None, *, what: str = "the report to ", option: str = "-o FILE") -> None:
    """Refuse a file that cannot be written before any work is done for it; it is not changed.

    Args:
        output: The file; None = standard output.
        what: What the message says before its name.
        option: How the user names another.
    """
    if output is None:
        return
    try:
        created = not output.exists()
        with output.open("a"):
            pass
        if created:
            output.unlink()
    except OSError as error:
        raise unwritable(output, error, what=what, option=option) from error


def unwritable(output: Path, error: OSError, *, what: str = "the report to ", option: str = "-o FILE") -> UsageError:
    """Build the error for a file that cannot be written; arguments as those of :func:`check_writable`."""
    return UsageError(f"cannot write {what}{output}: {error.strerror}", hint=f"name another file with {option}")


def page_of_standard_output() -> text.Page:
    """Fit the text to the terminal, if there is one, and to the characters that standard output can write."""
    columns = text.Page().columns
    if sys.stdout.isatty():
        # Some terminals do not know their width and say 0.
        terminal_columns = os.get_terminal_size(sys.stdout.fileno()).columns or columns
        columns = min(MAX_COLUMNS, max(MIN_COLUMNS, terminal_columns))
    return text.Page(columns=columns, marks=text.UNICODE if _can_write(text.UNICODE.characters) else text.ASCII)


def write_standard_output(content: str, report_format: str = "text") -> None:
    """Write at once and flush; text that the encoding lacks becomes ``?``, HTML is always UTF-8."""
    encoding = "utf-8" if report_format == "html" else _encoding()
    sys.stdout.flush()
    sys.stdout.buffer.write(content.encode(encoding, errors="replace"))
    sys.stdout.buffer.flush()


def _encoding() -> str:
    return sys.stdout.encoding or "ascii"


def _can_write(characters: str) -> bool:
    try:
        characters.encode(_encoding())
    except UnicodeEncodeError:
        return False
    return True
