"""``wfperf lint``: what is wrong with a workflow definition, before anything runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import ClassVar

from otel_wfperf.cli.command import Parser, unknown
from otel_wfperf.cli.definition_files import ARGUMENT_HELP, load_definition
from otel_wfperf.cli.output import write_standard_output
from otel_wfperf.definitions import RULES, Definition, LintFinding, lint
from otel_wfperf.errors import InputError
from otel_wfperf.report.units import count


class Lint:
    """Reads definitions and applies the rules to each."""

    name: ClassVar[str] = "lint"
    summary: ClassVar[str] = "find false parallelism and wrong dependencies in workflow definitions"
    details: ClassVar[str] = """\
A definition is Markdown with `## Phase 1: Title`, `### Branch A: Title` and lines below them: subagent_type="..." is a
call of an agent; sentences such as `Depends on the schema from Branch C`, `Must complete before Branch A` and
`After Phase 2` say what waits for what. YAML has the same under keys: phases, branches, steps, agent, depends_on,
must_complete_before. What is not understood is left alone. A module of LangGraph code is imported, not run.

rules:
  misspelt_keyword       a word that is nearly Phase, Branch or subagent_type, and so read as prose
  repeated_label         two phases, or two branches of a phase, with the same label
  circular_dependency    branches or phases that wait for one another
  unknown_reference      something is waited for that the definition does not have
  contradicted_order     something waits for what runs later
  false_parallelism      branches side by side that run one after another, with the true schedule
  undeclared_dependency  a result of a sibling is used, but not waited for
  missing_agent          a branch names no agent, where most do
  mergeable_phases       a phase says what it needs, and that is not the phase before it
  splittable_phase       groups of branches that wait for one another without need
  granularity            too many or too few phases (fine 6-10, balanced 4-7, coarse 3-5)

exit status:
  0  no finding; a line for each definition says what was understood of it
  1  there are findings, one a line: file:line: rule: what is so
  2  a definition could not be used; the others are still looked at

examples:
  wfperf lint workflow.md
  wfperf lint --format json workflows/*.md release.yaml | jq .
  wfperf lint --ignore granularity --ignore missing_agent workflow.md
  wfperf lint team.app:graph"""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("workflows", nargs="+", metavar="WORKFLOW", help=ARGUMENT_HELP)
        parser.add_argument("--format", choices=("text", "json"), default="text", help="form (default: text)")
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="RULE", help="leave a rule out; may be repeated"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        names = [rule.name for rule in RULES]
        for ignored in arguments.ignore:
            if ignored not in names:
                raise unknown("rule", ignored, names)
        definitions: list[Definition] = []
        findings: list[LintFinding] = []
        errors: list[str] = []
        for workflow in arguments.workflows:
            try:
                definitions.append(load_definition(workflow))
                findings += lint(definitions[-1], ignored=arguments.ignore)
            except InputError as error:
                errors += str(error).splitlines()
        if arguments.format == "json":
            write_standard_output(_document(findings, errors), "json")
        else:
            fine = [one for one in definitions if one.source not in {finding.source for finding in findings}]
            write_standard_output("".join([*_lines(findings), *map(_understood, fine)]))
        for problem in errors:
            sys.stderr.write(f"error: {problem}\n")
        return 2 if errors else int(bool(findings))


def _lines(findings: list[LintFinding]) -> list[str]:
    return [f"{_place(finding)}: {finding.rule}: {finding.message}. {finding.recommendation}\n" for finding in findings]


def _understood(definition: Definition) -> str:
    """Say what was looked at, so that silence is not taken for health."""
    phases = definition.phases
    steps = sum(len(phase.steps) + sum(len(branch.steps) for branch in phase.branches) for phase in phases)
    agents = sum(len(phase.agents) for phase in phases)
    understood = ", ".join([count(len(phases), "phase"), count(steps, "step"), count(agents, "agent call")])
    return f"{definition.source}: no findings ({understood})\n"


def _place(finding: LintFinding) -> str:
    return f"{finding.source}:{finding.line}" if finding.line else finding.source


def _document(findings: list[LintFinding], errors: list[str]) -> str:
    listed = [asdict(finding) | {"line": finding.line or None} for finding in findings]
    return json.dumps({"findings": listed, "errors": errors}, indent=2, ensure_ascii=False) + "\n"
