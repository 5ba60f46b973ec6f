"""``wfperf analyze``: findings from recorded traces."""

from __future__ import annotations

import argparse
from typing import ClassVar

from otel_wfperf.analysis.scenario import LANGUAGE
from otel_wfperf.assembly import assemble
from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.output import Report, add_report_arguments, check_writable, report_format, write_report
from otel_wfperf.cli.reading import Reading
from otel_wfperf.cli.what_if import add_what_if_argument, predictions, read_scenarios
from otel_wfperf.detectors import detect
from otel_wfperf.model import Finding, Severity


class Analyze:
    """Reads files, assembles executions, runs the detectors."""

    name: ClassVar[str] = "analyze"
    summary: ClassVar[str] = "find what slows the workflows in recorded traces"
    details: ClassVar[str] = f"""\
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
  wfperf analyze --what-if 'cache tool:get_inventory; parallel phase:fetch' traces.jsonl
  wfperf analyze --what-if 'faster llm:* 30%' --what-if 'context agent:reader 8k tokens' recordings/

{LANGUAGE}

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
        add_what_if_argument(parser)
        parser.add_argument(
            "--full", action="store_true", help="with --what-if: print the report on the runs too, not the answer alone"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        form = report_format(arguments)
        check_writable(arguments.output)
        scenarios = read_scenarios(arguments.what_if)
        # For programs and for the browser, the answer is a part of the report.
        answer_alone = bool(scenarios) and form == "text" and not arguments.full
        reading = Reading()
        for name in arguments.inputs:
            reading.add(name)
        executions = assemble(reading.operations)
        predicted = predictions(scenarios, executions)
        findings = () if answer_alone and arguments.fail_on is None else detect(executions)
        # A person who reads the report in the terminal has just seen the errors there.
        errors = () if form == "text" and arguments.output is None else reading.errors
        report = Report(
            executions=executions,
            findings=findings,
            errors=errors,
            predictions=predicted,
            answer_alone=answer_alone and bool(executions),
        )
        write_report(report, report_format=form, output=arguments.output)
        if reading.failed:
            return 2
        return int(arguments.fail_on is not None and _is_reached(Severity(arguments.fail_on), findings))


def _is_reached(limit: Severity, findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity.rank <= limit.rank for finding in findings)
