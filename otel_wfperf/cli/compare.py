"""``wfperf compare``: whether workflows became faster or slower."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from otel_wfperf.analysis.comparison import MIN_RUNS, Comparison, Verdict, compare
from otel_wfperf.cli.command import Parser, UsageError
from otel_wfperf.cli.output import (
    add_report_arguments,
    check_writable,
    page_of_standard_output,
    report_format,
    unwritable,
    write_standard_output,
)
from otel_wfperf.cli.reading import STANDARD_INPUT
from otel_wfperf.cli.selection import Selection, select
from otel_wfperf.errors import InputError
from otel_wfperf.report.comparison import comparison_document, other_inputs, render_comparison
from otel_wfperf.report.comparison_page import render_comparison_page
from otel_wfperf.report.text import Page


class Compare:
    """Reads two sets of runs, tests whether they differ, and says so with its exit status."""

    name: ClassVar[str] = "compare"
    summary: ClassVar[str] = "tell whether workflows became faster or slower between two sets of runs"
    details: ClassVar[str] = f"""\
Each of BEFORE and AFTER is a file or directory of traces (formats as for wfperf analyze), - for standard input, or a
selection from the store of a sidecar: store:FILE?workflow=NAME&since=7d&until=1d (FILE may be its data folder; since
and until are times ago, such as 7d, 12h, 30m, or moments such as 2026-01-31T12:00:00Z; limit is a number of runs).

Runs are compared with runs of the same workflow; where its input is recorded, with those that were given the same. The
whole run is tested first, then its phases and agents: of 100 comparisons of equal sets, at most one gives a false
verdict. At least {MIN_RUNS} runs that succeeded are needed on each side; 30 find a change of half in most workflows.
The report says what the smallest change is that the runs at hand would have shown, and which calls became more or
fewer.

exit status:
  0  faster, or no evidence of a change
  1  slower (--fail-on never: 0)
  2  an input could not be used, there is no workflow that both have, there are too few runs, or they were given
     different inputs

examples:
  wfperf compare main.jsonl branch.jsonl
  wfperf compare --tolerance 20 before/ after/           up to 20 % slower is accepted, of the whole and of each part
  wfperf compare baseline.jsonl - < now.jsonl
  wfperf compare --format json -o change.json before/ after/
  wfperf compare 'store:wfperf.db?workflow=research&since=7d&until=1d' 'store:wfperf.db?workflow=research&since=1d'

Durations are in seconds (s), milliseconds (ms) or as written; a ratio of 1.50 means half as long again."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("before", metavar="BEFORE", help="a file, a directory, -, or store:FILE?QUERY")
        parser.add_argument("after", metavar="AFTER", help="the same, of the runs after")
        add_report_arguments(parser)
        parser.add_argument(
            "--fail-on",
            choices=("regression", "never"),
            default="regression",
            help="exit with 1 when a workflow or a part of it became slower (default: regression)",
        )
        parser.add_argument(
            "--tolerance",
            type=_percent,
            default=5.0,
            metavar="PERCENT",
            help="least change that counts, of the whole run and of each of its phases and agents (default: 5)",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        report_format(arguments)
        check_writable(arguments.output)
        names = (arguments.before, arguments.after)
        if names == (STANDARD_INPUT, STANDARD_INPUT):
            raise UsageError("standard input can be one side only", hint="name a file for BEFORE or AFTER")
        sides = select(names)
        comparison = compare(*(side.runs for side in sides), min_change_ratio=arguments.tolerance / 100)
        if not comparison.workflows:
            raise InputError(_why_not(sides, comparison))
        for side in sides:
            if side.failed_runs:
                sys.stderr.write(f"warning: {side.name}: {side.failed_runs} runs that failed are not compared\n")
        _write(comparison, sides, arguments)
        if any(side.unusable for side in sides):
            return 2
        return int(arguments.fail_on == "regression" and comparison.verdict is Verdict.SLOWER)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage; write a number such as 10")
    return value


def _why_not(sides: Sequence[Selection], comparison: Comparison) -> str:
    """Say why nothing could be compared, and what would help."""
    for side in sides:
        if not side.runs:
            failed = f" that succeeded ({side.failed_runs} failed)" if side.failed_runs else ""
            return f"{side.name}: holds no runs{failed}; record at least {MIN_RUNS}"
    known = [sorted({run.workflow for run in side.runs}) for side in sides]
    if set(known[0]).isdisjoint(known[1]):
        named = [", ".join(each[:5]) + (", ..." if len(each) > 5 else "") for each in known]
        return (
            f"no workflow is on both sides: {sides[0].name} has {named[0]}; {sides[1].name} has {named[1]}; "
            "compare runs of workflows of the same name"
        )
    if comparison.other_inputs:
        told = [f"{workflow}: {other_inputs(*counts)}" for workflow, counts in comparison.other_inputs.items()]
        return f"nothing to compare: {'; '.join(told)}"
    counts = "; ".join(
        f"{workflow}: {before} before, {after} after"
        for workflow, (before, after) in comparison.too_few.items()
        if before and after
    )
    return f"too few runs: {counts}; at least {MIN_RUNS} on each side are needed, 30 find a change of half"


def _write(comparison: Comparison, sides: Sequence[Selection], arguments: argparse.Namespace) -> None:
    output: Path | None = arguments.output
    form = report_format(arguments)
    errors = tuple(error for side in sides for error in side.errors)
    if form == "json":
        content = json.dumps(comparison_document(comparison, errors), indent=2, allow_nan=False) + "\n"
    elif form == "html":
        content = render_comparison_page(comparison, errors)
    else:
        # A person who reads the report in the terminal has just seen the errors there.
        page = page_of_standard_output() if output is None else Page()
        content = render_comparison(comparison, () if output is None else errors, page=page)
    if output is None:
        write_standard_output(content, form)
        return
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise unwritable(output, error) from error
    sys.stderr.write(f"wfperf: report written to {output}\n")
