"""Measure the figures of reliability on this machine, with real processes on loopback.

Examples:
  python -m benchmarks.reliability                    every figure but the long ones
  python -m benchmarks.reliability --long             the long ones
  python -m benchmarks.reliability --figure 13 --figure 15
  python -m benchmarks.reliability --list
  python -m benchmarks.reliability --write docs/reliability.md

Exit status 1 when a figure is not reached or could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.reliability import page
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.figures import FIGURES

PROGRAM: Final = "python -m benchmarks.reliability"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page when asked to."""
    options = _parsed(arguments)
    if options.list:
        print("\n".join(f"{each.number:3}{' long' if each.long else '     '} {each.title}" for each in FIGURES))
        return 0
    chosen = _chosen(options)
    outcomes = [(each, _measured(each)) for each in chosen]
    print("\n" + "\n".join(each.line(outcome) for each, outcome in outcomes))
    if options.write:
        page.write(options.write, FIGURES, outcomes)
    return 0 if all(outcome.reached for _, outcome in outcomes) else 1


def _chosen(options: argparse.Namespace) -> list[Figure]:
    """Return what to measure; of a figure that has a quick and a long part, the one that is asked for."""
    if not options.figure:
        return [each for each in FIGURES if options.all or each.long == options.long]
    named = [each for each in FIGURES if each.number in options.figure]
    asked = {each.number for each in named if each.long == options.long}
    return [each for each in named if options.all or each.long == options.long or each.number not in asked]


def _measured(figure: Figure) -> Outcome:
    """Measure; what cannot be measured is not reached."""
    print(f"figure {figure.number}: {figure.title} …", file=sys.stderr, flush=True)
    started_s = time.monotonic()
    try:
        outcome = figure.measure()
    except Exception as error:  # noqa: BLE001 - the other figures are still to be measured
        traceback.print_exc()
        outcome = Outcome(got=f"no measurement: {type(error).__name__}: {error}", reached=False)
    print(f"{figure.line(outcome)} in {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
    return outcome


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    numbers = [each.number for each in FIGURES]
    parser.add_argument("--figure", type=int, action="append", default=[], choices=numbers, metavar="N", help="only it")
    parser.add_argument("--long", action="store_true", help="the figures that take many minutes")
    parser.add_argument("--all", action="store_true", help="all figures")
    parser.add_argument("--list", action="store_true", help="list the figures")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page; other rows stay")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
