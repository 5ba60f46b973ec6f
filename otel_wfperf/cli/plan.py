"""``wfperf plan``: how a workflow definition will run, and how long it will take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from otel_wfperf.cli.agent_profiles import live_profiles
from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.definition_files import ARGUMENT_HELP, load_definition
from otel_wfperf.cli.gantt import render
from otel_wfperf.cli.output import page_of_standard_output, write_standard_output
from otel_wfperf.definitions import Definition, Prediction, lint, predict, with_undeclared_waits
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.prediction import Spread, spread
from otel_wfperf.definitions.profiles import Profile
from otel_wfperf.definitions.schedule import can_run
from otel_wfperf.report.units import count, duration_s


class Plan:
    """Predicts the schedule of one definition."""

    name: ClassVar[str] = "plan"
    summary: ClassVar[str] = "predict the schedule and the critical path of a workflow definition"
    details: ClassVar[str] = """\
Definitions are those of wfperf lint. Phases run in the order written, the branches of a phase side by side unless they
wait for one another, the steps of a branch one after another. How long an agent takes is measured (--profiles), else a
usual time; the definition may say it itself (YAML: duration: 90-180s). The total is the median over many combinations
of slow and fast steps. The bars and their axis show every step at its own median, which need not add up to it: where
the slowest of several decides the total is more, and uneven waits can make it a little less.

exit status:
  0  the schedule is printed
  2  the definition or the profiles could not be used

examples:
  wfperf plan workflow.md
  wfperf plan --max-parallel 2 workflow.md
  wfperf plan --profiles store:~/.local/state/otel-wfperf/store.sqlite workflow.md
  wfperf plan --profiles traces.jsonl --format json release.yaml | jq .total_s
  wfperf plan team.app:graph

Durations are in seconds (s), minutes (min) or as written; in JSON in seconds."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("workflow", metavar="WORKFLOW", help=ARGUMENT_HELP)
        parser.add_argument(
            "--profiles",
            metavar="SOURCE",
            help="measured times: store:PATH, or a file or directory of traces (default: usual times of known agents)",
        )
        parser.add_argument(
            "--max-parallel", type=_positive, metavar="N", help="most steps that run at once (count, default no limit)"
        )
        parser.add_argument("--format", choices=("text", "json"), default="text", help="form (default: text)")

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        definition = load_definition(arguments.workflow)
        live = live_profiles(arguments.profiles) if arguments.profiles else {}
        prediction = predict(definition, live, max_parallel=arguments.max_parallel)
        notes = [
            *_waiting_notes(prediction, live),
            *definition.assumptions,
            *_lint_notes(definition, arguments.workflow),
        ]
        if arguments.format == "json":
            content = json.dumps(document(prediction, notes), indent=2, ensure_ascii=False, allow_nan=False)
            write_standard_output(content + "\n", "json")
        else:
            write_standard_output(render(prediction, page_of_standard_output(), notes))
        return 0


def document(prediction: Prediction, notes: list[str]) -> dict[str, Any]:
    """Return the prediction as JSON values; durations in seconds."""
    return {
        "workflow": prediction.definition.name,
        "source": prediction.definition.source,
        "total_s": _spread(prediction.total),
        "at_medians_s": prediction.at_medians.duration_s,
        "work_s": prediction.work_s,
        "max_parallel": prediction.max_parallel,
        "steps": [_step(prediction, number) for number in range(len(prediction.tasks))],
        "critical_path": list(prediction.at_medians.critical_path()),
        "notes": notes,
    }


def _step(prediction: Prediction, number: int) -> dict[str, Any]:
    task, profile = prediction.tasks[number], prediction.profiles[number]
    phase = prediction.definition.phases[task.place.phase]
    return {
        "phase": phase.label,
        "branch": None if task.place.branch is None else phase.branches[task.place.branch].label,
        "agent": task.step.agent,
        "text": task.step.text,
        "line": task.step.line or None,
        "start_s": prediction.at_medians.starts_s[number],
        "end_s": prediction.at_medians.ends_s[number],
        "duration_s": _spread(spread(profile)),
        "profile": profile.source.value,
        "calls": profile.count,
        "critical": number in prediction.at_medians.critical_path(),
        "after": list(task.after),
    }


def _spread(value: Spread) -> dict[str, float]:
    return {"median": value.median_s, "low": value.low_s, "high": value.high_s}


def _waiting_notes(prediction: Prediction, live: Mapping[str, Profile]) -> Iterator[str]:
    """Say how long it takes if what is used without a word about waiting is waited for."""
    waiting = with_undeclared_waits(prediction.definition)
    if waiting is None or not can_run(Dependencies(waiting)):
        return
    total_s = predict(waiting, live, max_parallel=prediction.max_parallel).total.median_s
    if total_s > prediction.total.median_s:
        yield (
            f"branches use results of their siblings without saying that they wait for them; if they do wait, it takes "
            f"about {duration_s(total_s)}"
        )


def _lint_notes(definition: Definition, name: str) -> Iterator[str]:
    findings = lint(definition)
    if findings:
        rules = ", ".join(dict.fromkeys(finding.rule for finding in findings))
        yield f"{count(len(findings), 'finding')} about the definition itself ({rules}): wfperf lint {name}"


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number of at least 1")
    return int(text)
