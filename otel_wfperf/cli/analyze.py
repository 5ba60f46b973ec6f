"""``wfperf analyze``: findings from recorded traces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import ClassVar

from otel_wfperf.analysis.prediction import Prediction, predict
from otel_wfperf.analysis.scenario import LANGUAGE, Scenario, ScenarioError, parse_scenario
from otel_wfperf.assembly import assemble
from otel_wfperf.cli.command import Parser, UsageError
from otel_wfperf.cli.output import Report, add_report_arguments, check_writable, report_format, write_report
from otel_wfperf.cli.reading import Reading
from otel_wfperf.detectors import detect
from otel_wfperf.model import Execution, Finding, Severity


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

        parser.add_argument(
            "--what-if",
            action="append",
            default=[],
            metavar="CHANGES",
            help="predict how long the runs would take with these changes; may be given several times, each is "
            "predicted on its own (language below)",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        check_writable(arguments.output)
        scenarios = [_scenario(text) for text in arguments.what_if]
        reading = Reading()
        for name in arguments.inputs:
            reading.add(name)
        executions = assemble(reading.operations)
        predictions = _predictions(scenarios, executions)
        findings = detect(executions)
        form = report_format(arguments)
        # A person who reads the report in the terminal has just seen the errors there.
        errors = () if form == "text" and arguments.output is None else reading.errors
        report = Report(executions=executions, findings=findings, errors=errors, predictions=predictions)
        write_report(report, report_format=form, output=arguments.output)
        if reading.failed:
            return 2
        return int(arguments.fail_on is not None and _is_reached(Severity(arguments.fail_on), findings))


def _scenario(text: str) -> Scenario:
    try:
        return parse_scenario(text)
    except ScenarioError as error:
        raise UsageError(str(error), hint=error.hint) from error


def _predictions(scenarios: Sequence[Scenario], executions: Sequence[Execution]) -> list[Prediction]:
    """Replay each scenario; without executions none, as no name could be right."""
    if not executions:
        return []
    try:
        return [prediction for scenario in scenarios for prediction in predict(scenario, executions)]
    except ScenarioError as error:
        raise UsageError(str(error), hint=error.hint) from error


def _is_reached(limit: Severity, findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity.rank <= limit.rank for finding in findings)
