"""What analysis costs: all detectors over executions of 1,000 to 100,000 spans, and over windows as the sidecar's.

Examples:
  python -m benchmarks.analysis_cost
  python -m benchmarks.analysis_cost --spans 10000 --rounds 9 --detectors

An execution has phases one after another, with agents side by side in them, each of which calls its model and tools in
turn; every call has a prompt of its own, tokens, hashes and fragments. What is timed is ``detect``: critical path,
replays, all detectors, and the merging of findings. The sizes take turns, so that a machine that gets slower does so
for all of them; "a span" is the median time divided by the spans. Each time the execution is new, so that nothing is
known of it. A window is what the sidecar compares each time that an execution completes: the 20 newest of a workflow,
of which it has compared 19 before.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from random import Random

from otel_wfperf.detectors import DETECTORS, detect
from otel_wfperf.model import Execution, Operation, OperationKind, ResourceUse, TokenUsage

SIZES = (1_000, 10_000, 100_000)
WINDOW = 20
WINDOW_SPANS = (40, 100, 200, 500)
TURNS = 6
AGENTS = 8
MS = 1_000_000
TOOLS = ("search_web", "read_page", "query_sql", "get_prices")


class Drawing:
    """An execution that is being drawn (times in nanoseconds).

    Attributes:
        operations: What was drawn.
    """

    def __init__(self, seed: int) -> None:
        """Begin with nothing."""
        self.operations: list[Operation] = []
        self._random = Random(seed)

    def add(self, kind: OperationKind, name: str, parent: str | None, start_ns: int, **fields: object) -> Operation:
        """Add an operation without length."""
        number = len(self.operations) + 1
        operation = Operation(
            trace_id=f"{1:032x}",
            span_id=f"{number:016x}",
            parent_id=parent,
            kind=kind,
            name=name,
            span_name=name,
            dialect="wfperf",
            service="bench",
            host="bench",
            start_ns=start_ns,
            end_ns=start_ns,
            **fields,  # type: ignore[arg-type]  # those of Operation
        )
        self.operations.append(operation)
        return operation

    def last(self, operation: Operation, end_ns: int) -> int:
        """Let an operation end; return when."""
        object.__setattr__(operation, "end_ns", end_ns)
        return end_ns

    def call(self, kind: OperationKind, name: str, parent: Operation, start_ns: int, turn: str) -> int:
        """Add a call of a model or a tool; return when it ends."""
        random = self._random
        is_model = kind is OperationKind.LLM
        call = self.add(
            kind,
            name,
            parent.span_id,
            start_ns,
            agent=parent.name,
            phase=parent.phase,
            model=name if is_model else None,
            turn=None if is_model else turn,
            tokens=TokenUsage(input=random.randrange(200, 3000), output=random.randrange(10, 300))
            if is_model
            else None,
            input_hash=f"{random.getrandbits(64):016x}",
            output_hash=f"{random.getrandbits(64):016x}",
            input_fragments=frozenset(random.getrandbits(32) for _ in range(24)),
            output_fragments=frozenset(random.getrandbits(32) for _ in range(8)),
            resources=ResourceUse(cpu_time_s=0.002, cpu_pressure_ratio=random.uniform(0, 0.05), loop_lag_s=0.002),
        )
        return self.last(call, start_ns + int(400 * MS * random.lognormvariate(0, 0.5)))

    def agent(self, name: str, phase: Operation, start_ns: int) -> int:
        """Add an agent with its calls; return when it ends."""
        agent = self.add(OperationKind.AGENT, name, phase.span_id, start_ns, phase=phase.name)
        at_ns = start_ns + MS
        for turn in range(TURNS):
            at_ns = self.call(OperationKind.LLM, "model-1", agent, at_ns, "") + MS
            at_ns = (
                self.call(OperationKind.TOOL, self._random.choice(TOOLS), agent, at_ns, f"{agent.span_id}-{turn}") + MS
            )
        return self.last(agent, at_ns)


def drawn(spans: int, seed: int = 0) -> Execution:
    """Draw an execution of about so many spans."""
    drawing = Drawing(seed)
    root = drawing.add(OperationKind.WORKFLOW, "bench", None, 1_700_000_000 * 10**9)
    at_ns = root.start_ns + MS
    number = 0
    agents = min(AGENTS, max(1, spans // (2 * TURNS + 1)))
    while len(drawing.operations) < spans:
        phase = drawing.add(OperationKind.PHASE, f"phase {number % 12}", root.span_id, at_ns)
        ends = [drawing.agent(f"agent {each}", phase, at_ns + MS) for each in range(agents)]
        at_ns = drawing.last(phase, max(ends) + MS) + MS
        number += 1
    drawing.last(root, at_ns)
    order = sorted(drawing.operations, key=lambda each: (each.start_ns, -each.end_ns, each.span_id))
    return Execution(trace_id=root.trace_id, workflow="bench", root_id=root.span_id, operations=tuple(order))


def window(size: int, spans: int) -> list[Execution]:
    """Draw executions of one workflow, a minute apart, each of about so many spans."""
    found = []
    for seed in range(size):
        execution = drawn(spans, seed)
        trace_id, later_ns = f"{seed + 1:032x}", seed * 60 * 10**9
        operations = (
            dataclasses.replace(
                each, trace_id=trace_id, start_ns=each.start_ns + later_ns, end_ns=each.end_ns + later_ns
            )
            for each in execution.operations
        )
        found.append(dataclasses.replace(execution, trace_id=trace_id, trace_ids=(), operations=tuple(operations)))
    return found


def timed_s(work: Callable[[], object]) -> float:
    """Return the CPU time that some work takes (seconds)."""
    gc.collect()
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def window_times_s(executions: Sequence[Execution]) -> list[float]:
    """Return the CPU time of comparing each of the executions with those before it, once a window is full (seconds)."""
    detect(executions[:WINDOW])
    compared = (executions[end - WINDOW : end] for end in range(WINDOW + 1, len(executions) + 1))
    return [timed_s(lambda window=each: detect(window)) for each in compared]  # type: ignore[misc]


def print_windows(rounds: int) -> None:
    """Measure windows of each size, and print a table in Markdown."""
    print("\n| window | spans of each | detect, ms | a new span, µs | new spans per CPU-second |")
    print("|---:|---:|---:|---:|---:|")
    for spans in WINDOW_SPANS:
        executions = window(WINDOW + rounds, spans)
        a_run_s = statistics.median(window_times_s(executions))
        count = statistics.mean(len(each.operations) for each in executions)
        print(
            f"| {WINDOW} | {count:.0f} | {a_run_s * 1e3:.1f} | {a_run_s / count * 1e6:.0f} | {count / a_run_s:,.0f} |"
        )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.analysis_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--spans", action="append", type=int, help="sizes (count); default: 1000, 10000 and 100000")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each size (default: 5)")
    parser.add_argument("--detectors", action="store_true", help="also time each detector alone")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table in Markdown."""
    options = parsed(arguments)
    executions = {size: drawn(size) for size in options.spans or SIZES}
    times: dict[int, list[float]] = {size: [] for size in executions}
    for number in range(options.rounds):
        for size, execution in executions.items():
            print(f"round {number + 1} of {options.rounds}: {size:,} spans", file=sys.stderr, flush=True)
            new = dataclasses.replace(execution)
            times[size].append(timed_s(lambda execution=new: detect([execution])))  # type: ignore[misc]
    first: float | None = None
    print("| spans | all detectors, s | best | a span, µs | times the smallest |\n|---:|---:|---:|---:|---:|")
    for size, execution in executions.items():
        a_span_us = statistics.median(times[size]) / len(execution.operations) * 1e6
        first = first or a_span_us
        print(
            f"| {len(execution.operations):,} | {statistics.median(times[size]):.3f} | {min(times[size]):.3f} "
            f"| {a_span_us:.1f} | {a_span_us / first:.2f} |"
        )
    if options.detectors:
        print("\n| detector | " + " | ".join(f"{size:,} spans, s" for size in executions) + " |")
        print("|---|" + "---:|" * len(executions))
        for detector in DETECTORS:
            new_ones = [dataclasses.replace(each) for each in executions.values()]
            alone = (timed_s(lambda d=detector, e=each: detect([e], detectors=[d])) for each in new_ones)  # type: ignore[misc]
            print(f"| {detector.name} | " + " | ".join(f"{each:.3f}" for each in alone) + " |")
    print_windows(options.rounds)


if __name__ == "__main__":
    main()
