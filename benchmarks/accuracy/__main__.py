"""How right the findings are, and whether predicted savings come true: planted faults, executed and analysed.

Examples:
  python -m benchmarks.accuracy                              everything, on the seeds that judge: some minutes
  python -m benchmarks.accuracy --write docs/accuracy.md
  python -m benchmarks.accuracy --seeds tuning               the same on other seeds, with a list of what went wrong
  python -m benchmarks.accuracy --seeds tuning --only repeated_call
  python -m benchmarks.accuracy --quick                      one population of each scenario
  python -m benchmarks.accuracy --list                       the scenarios
  python -m benchmarks.accuracy --explain "repeated_call glossary x3" --seed 0

Progress goes to standard error, results to standard output. Cases of the seeds that judge are never shown: who has
looked at one may tune to it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.accuracy.dialects import DIALECTS
from benchmarks.accuracy.judging import Verdict, judge_case, sort_out
from benchmarks.accuracy.page import page, tables
from benchmarks.accuracy.recording import Dialect, executions_of
from benchmarks.accuracy.results import Results
from benchmarks.accuracy.running import Case, record
from benchmarks.accuracy.scenario import Kind, Scenario
from benchmarks.accuracy.scenarios import DETECTORS_TRIED, SCENARIOS
from benchmarks.accuracy.seeds import JUDGING, SEEDS, TUNING, Seeds, case_of, cases, seeds_of
from otel_wfperf.detectors import DETECTORS, detect
from otel_wfperf.report import text

PROGRAM: Final = "python -m benchmarks.accuracy"
_QUICK_SEEDS: Final = 1
# Chosen: dialects are compared on the same cases, which needs fewer; each costs as much as the execution itself.
_DIALECT_SEEDS: Final = 3
_PROGRESS_S: Final = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 unless the command line is wrong."""
    options = parsed(arguments)
    if options.list:
        print("\n".join(f"{each.kind:10} {each.detector or '-':22} {each.name}" for each in options.scenarios))
        return 0
    if options.explain:
        explain(next(each for each in SCENARIOS if each.name == options.explain), options.seed, options.dialect)
        return 0
    results = run(options)
    populations = f" --populations {options.populations}" if options.populations else ""
    command = f"{PROGRAM} --seeds {options.seeds.name}{populations} --write docs/accuracy.md"
    print("\n".join(tables(results)) if options.format == "markdown" else json.dumps(results.document(), indent=2))
    if options.write:
        options.write.write_text(page(results, command), encoding="utf-8")
        tell(f"written: {options.write}")
    return 0


def run(options: argparse.Namespace) -> Results:
    """Execute and judge all cases."""
    start_s = time.perf_counter()
    most = _QUICK_SEEDS if options.quick else options.populations
    listed = list(cases(options.scenarios, options.seeds, most=most))
    tell(f"{len(listed)} populations of {len(options.scenarios)} scenarios, {options.seeds.name} seeds")
    dialects = [each for each in DIALECTS if each.name in options.dialects]
    verdicts = list(_verdicts(listed, dialects, options.seeds))
    return Results(
        seeds=options.seeds,
        most_seeds=max(min(seeds_of(each), most or seeds_of(each)) for each in options.scenarios),
        detectors=[each for each in DETECTORS_TRIED if each in {detector.name for detector in DETECTORS}],
        verdicts=verdicts,
        spent_s=time.perf_counter() - start_s,
    )


def _verdicts(listed: Sequence[Case], dialects: Sequence[Dialect], seeds: Seeds) -> Iterator[Verdict]:
    told_s = time.perf_counter()
    for done, case in enumerate(listed):
        compared = case.seed - seeds.base < _DIALECT_SEEDS or case.scenario.kind is Kind.HEALTHY
        yield from judge_case(case, dialects if compared else dialects[:1])
        if time.perf_counter() - told_s > _PROGRESS_S:
            told_s = time.perf_counter()
            tell(f"{done + 1} of {len(listed)}: {case.scenario.name}")


def explain(scenario: Scenario, number: int, dialect_name: str) -> None:
    """Show what is said about one case, and what should have been."""
    dialect = next(each for each in DIALECTS if each.name == dialect_name)
    case = case_of(scenario, TUNING, number)
    executions = executions_of(dialect.write(record(case)))
    findings = detect(executions)
    right, false = sort_out(scenario, findings)
    print(text.render(executions, findings, ()))
    print(f"Scenario: {scenario.name} ({scenario.kind}, {case.runs} runs, {dialect.name})")
    if scenario.kind is Kind.POSITIVE:
        wanted = " or ".join(f"{kind}:{name}" for kind, name in scenario.subjects)
        print(f"To be found: {scenario.detector} of {wanted}; {'found' if right else 'MISSED'}")
    for each in findings:
        verdict = "right" if each in right else "FALSE" if each in false else "beside the point"
        saving = "" if each.saving is None else f", saves {each.saving.median_s:.3g} s"
        print(f"  {verdict}: {each.detector} {each.severity} {each.confidence} {each.subject.name}{saving}")
        print(f"    {dict(each.evidence)}")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--seeds", choices=SEEDS, help="which populations (default: judging)")
    parser.add_argument("--quick", action="store_true", help="one population of each scenario")
    parser.add_argument("--populations", type=int, metavar="N", help="so many of each scenario (default: 4-12)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a detector, scenario or healthy")
    parser.add_argument("--dialect", default=DIALECTS[0].name, choices=[each.name for each in DIALECTS])
    parser.add_argument("--dialects", default="all", help="those to judge besides ours, with commas (default: all)")
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown", help="default: markdown")
    parser.add_argument("--write", type=Path, metavar="PATH", help="also write the page of documentation")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--explain", metavar="SCENARIO", help="show one population instead of counting")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which one: counted from 0 (default: 0)")
    options = parser.parse_args(arguments)
    if options.explain and options.seeds == JUDGING.name:
        parser.error("--explain shows cases of tuning seeds only: who has looked at one that judges may tune to it")
    if options.explain and options.explain not in {each.name for each in SCENARIOS}:
        near = difflib.get_close_matches(options.explain, [each.name for each in SCENARIOS], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; --list names them"
        parser.error(f"--explain: unknown scenario {options.explain!r}{hint}")
    options.seeds = SEEDS[options.seeds or JUDGING.name]
    options.scenarios = chosen(options.only)
    if not options.scenarios:
        parser.error(f"--only: nothing is called {', '.join(options.only)!r}; --list names scenarios and detectors")
    all_dialects = [each.name for each in DIALECTS]
    wanted = all_dialects if options.dialects == "all" else options.dialects.split(",")
    if unknown := {*wanted} - {*all_dialects}:
        parser.error(f"--dialects: unknown: {', '.join(sorted(unknown))}; known are {', '.join(all_dialects)}")
    # All are compared with our own.
    options.dialects = [all_dialects[0], *wanted]
    return options


def chosen(names: Sequence[str]) -> Sequence[Scenario]:
    """Return the scenarios of some names, detectors or kinds; of no names, all."""
    return [each for each in SCENARIOS if not names or {each.name, each.detector, each.kind.value} & {*names}]


def tell(progress: str) -> None:
    """Show what is being done."""
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
