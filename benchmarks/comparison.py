"""How often ``wfperf compare`` is wrong, and how small a change it finds.

Examples:
  python -m benchmarks.comparison
  python -m benchmarks.comparison --seeds 1000 --runs 30

Each comparison is of two sets of runs of a workflow with a loop of an agent between two phases; the number of turns,
the prompts and the times vary from run to run. Times are log-normal; the deviation of one call is given (recorded
calls of chat models have 0.2 to 1.3). Equal sets show false verdicts, times that are all longer show the power.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from random import Random

from otel_wfperf.analysis.comparison import Verdict, compare
from otel_wfperf.analysis.parts import RunFigures, run_figures
from otel_wfperf.model import Execution, Operation, OperationKind, TokenUsage

MS = 1_000_000
SPREADS = (0.3, 0.7, 1.3)
FACTORS = (1.0, 1.25, 1.5, 2.0)
# Seconds of the steps of the loop and around it.
USUAL_S = {"plan": 0.7, "turn": 0.9, "look_up": 0.4, "write": 2.0}


class Drawing:
    """One run that is being drawn, step after step."""

    def __init__(self, number: int, random: Random, *, spread: float, factor: float) -> None:
        """Begin with nothing."""
        self.number, self.random = number, random
        self.spread, self.factor = spread, factor
        self.now_ns = number * 60_000 * MS
        self.start_ns = self.now_ns
        self.operations: list[Operation] = []

    def add(self, kind: OperationKind, name: str, start_ns: int, parent: str | None, tokens: int = 0) -> None:
        """Add what has run from a moment until now."""
        self.operations.append(
            Operation(
                trace_id=f"{self.number + 1:032x}",
                span_id=f"{len(self.operations) + 1:016x}" if parent else "root",
                parent_id=parent,
                kind=kind,
                name=name,
                start_ns=start_ns,
                end_ns=self.now_ns,
                tokens=TokenUsage(input=tokens, output=40) if tokens else None,
            )
        )

    def call(self, kind: OperationKind, step: str, parent: str, tokens: int = 0) -> None:
        """Let a call take its time."""
        start_ns = self.now_ns
        usual_ns = USUAL_S[step] * self.factor * 1e9
        self.now_ns += round(usual_ns * math.exp(self.random.gauss(0, self.spread)))
        self.add(kind, step, start_ns, parent, tokens)

    def phase(self, name: str, tokens: int, turns: int = 0) -> None:
        """Call a model, after turns of a loop."""
        span_id, start_ns = f"phase-{name}", self.now_ns
        first = len(self.operations)
        for turn in range(turns):
            self.call(OperationKind.LLM, "turn", span_id, tokens + 150 * turn)
            self.call(OperationKind.TOOL, "look_up", span_id)
        self.call(OperationKind.LLM, name if name in USUAL_S else "turn", span_id, tokens)
        phase = Operation(
            trace_id=f"{self.number + 1:032x}",
            span_id=span_id,
            parent_id="root",
            kind=OperationKind.PHASE,
            name=name,
            start_ns=start_ns,
            end_ns=self.now_ns,
        )
        self.operations.insert(first, phase)


def drawn_run(number: int, random: Random, *, spread: float, factor: float) -> RunFigures:
    """Draw one run and add it up."""
    drawing = Drawing(number, random, spread=spread, factor=factor)
    drawing.phase("plan", 200 + random.randrange(200))
    drawing.phase("research", 400 + random.randrange(500), turns=random.choice((2, 3, 3, 4)))
    drawing.phase("write", 900 + random.randrange(300))
    drawing.add(OperationKind.WORKFLOW, "bench", drawing.start_ns, None)
    operations = sorted(drawing.operations, key=lambda each: (each.start_ns, -each.end_ns, each.span_id))
    trace_id = operations[0].trace_id
    return run_figures(Execution(trace_id=trace_id, workflow="bench", root_id="root", operations=tuple(operations)))


def verdicts(seeds: int, runs: int, *, spread: float, factor: float) -> Counter[Verdict]:
    """Compare as many pairs of sets as there are seeds."""
    found: Counter[Verdict] = Counter()
    for seed in range(seeds):
        random = Random(f"{seed}/{spread}/{factor}")
        before = [drawn_run(number, random, spread=spread, factor=1.0) for number in range(runs)]
        after = [drawn_run(runs + number, random, spread=spread, factor=factor) for number in range(runs)]
        found[compare(before, after).verdict] += 1
    return found


def main() -> int:
    """Print the table; fail when more than 2 % of equal sets got a verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=200, help="comparisons a line (default 200)")
    parser.add_argument("--runs", type=int, default=30, help="runs on each side (default 30)")
    arguments = parser.parse_args()
    print(f"{arguments.seeds} comparisons a line, {arguments.runs} against {arguments.runs} runs")
    print("deviation  times   slower   faster   no evidence")
    failed = False
    for spread in SPREADS:
        for factor in FACTORS:
            found = verdicts(arguments.seeds, arguments.runs, spread=spread, factor=factor)
            slower, faster, none = (found[each] / arguments.seeds for each in Verdict)
            print(f"{spread:9}  x{factor:<5} {slower:7.1%}  {faster:7.1%}  {none:12.1%}", flush=True)
            failed |= factor == 1.0 and slower + faster > 0.02
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
