"""What recording costs a LangGraph program, side by side: nothing, otel-wfperf, the other instrumentors, and by hand.

Examples:
  python -m benchmarks.overhead                        all of it: about 20 minutes
  python -m benchmarks.overhead --write docs/overhead.md
  python -m benchmarks.overhead --workload chain --size 200 --growth-runs 0
  python -m benchmarks.overhead --rounds 1 --seconds 0.2 --growth-runs 0 --workload agent

Each measurement is a fresh process; within a round the order is shuffled, so that a machine that gets slower does so
for all. Compare ratios: times of two machines differ. "best" is the fastest round, which disturbances touch least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.measuring import GROWTH_NODES, SETTLED_RUNS, measure, measure_growth
from benchmarks.receiver import Receiver, receiver
from benchmarks.recorders import BY_HAND, INSTRUMENTORS, NOTHING, RECORDERS, WFPERF, WFPERF_UNHEARD, Recorder
from benchmarks.workloads import WORKLOADS, Workload

SIZES: Final = (200, 200_000)
REPOSITORY: Final = Path(__file__).resolve().parents[1]
# Nobody listens there.
CLOSED_URL: Final = "http://127.0.0.1:9"
PACKAGES: Final = (
    "langgraph",
    "langchain-core",
    "opentelemetry-sdk",
    "openinference-instrumentation-langchain",
    "opentelemetry-instrumentation-langchain",
    "opentelemetry-instrumentation-genai-langchain",
)


@dataclass(slots=True)
class Cell:
    """The measurements of one recorder with one workload and size.

    Attributes:
        rounds: What :func:`benchmarks.measuring.measure` returned.
        spans: Spans that arrived for each run (count); None = nobody listened.
    """

    rounds: list[dict[str, float]] = field(default_factory=list)
    spans: float | None = None

    def median(self, key: str) -> float:
        """Return the median of the rounds (milliseconds)."""
        return statistics.median(each[key] for each in self.rounds)

    def best(self, key: str) -> float:
        """Return the lowest of the rounds (milliseconds)."""
        return min(each[key] for each in self.rounds)


def fresh_process(recorder: Recorder, url: str, arguments: Sequence[str]) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGSMITH_"))}
    sending = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url if recorder.is_heard else CLOSED_URL,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--measure", recorder.name, *arguments],
        cwd=REPOSITORY,
        env={**clean, **sending},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{recorder.name}: the measurement failed\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_all(options: argparse.Namespace, recorders: Sequence[Recorder]) -> dict[tuple[str, int, str], Cell]:
    """Measure each recorder with each workload and size, round by round."""
    cells = {
        (workload, size, recorder.name): Cell()
        for workload in options.workload
        for size in options.size
        for recorder in recorders
    }
    with receiver() as received:
        for number in range(options.rounds):
            for workload, size, name in random.sample(list(cells), len(cells)):
                tell(f"round {number + 1} of {options.rounds}: {workload}, {size:,} B, {name}")
                cell = cells[workload, size, name]
                arguments = ["--workload", workload, "--size", str(size), "--runs", str(options.runs)]
                arguments += ["--seconds", str(options.seconds)]
                cell.rounds.append(fresh_process(RECORDERS[name], received.url, arguments))
                note_spans(cell, RECORDERS[name], WORKLOADS[workload], received)
    return cells


def note_spans(cell: Cell, recorder: Recorder, workload: Workload, received: Receiver) -> None:
    """Note how many spans came; a recorder that did not record must not look cheap."""
    spans = received.take_spans() / cell.rounds[-1]["runs"]
    if not recorder.is_heard:
        return
    expected = sum(1 if what == "workflow" else int(getattr(workload, what)) for what in recorder.records)
    if spans < expected * 0.95:  # queues may have been full for a moment
        sys.exit(
            f"{recorder.name}, {workload.name}: {spans:.1f} spans came for each run, of {expected}; nothing is shown"
        )
    cell.spans = spans


def measure_growths(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure how memory grows."""
    growths = {}
    with receiver() as received:
        for name in (NOTHING, WFPERF, WFPERF_UNHEARD):
            tell(f"{options.growth_runs:,} runs: {name}")
            growths[name] = fresh_process(RECORDERS[name], received.url, ["--growth-runs", str(options.growth_runs)])
            received.bodies.clear()
    return growths


def table(cells: dict[tuple[str, int, str], Cell], workload: Workload, size: int) -> Iterator[str]:
    """Write the costs of one workload and size in Markdown."""
    of = {name: cell for (each, bytes_, name), cell in cells.items() if (each, bytes_) == (workload.name, size)}
    none = of[NOTHING]

    def added_us(name: str, key: str) -> float:
        return (of[name].median(key) - none.median(key)) * 1000 / workload.nodes

    def best_us(name: str, key: str) -> float:
        return (of[name].best(key) - none.best(key)) * 1000 / workload.nodes

    def ratios(name: str, others: Sequence[str]) -> str:
        measured = [other for other in others if other in of]
        if not measured or name == NOTHING:
            return ""
        return " / ".join(
            f"{added_us(name, key) / min(added_us(other, key) for other in measured):.2f}"
            for key in ("wall_ms", "cpu_ms")
        )

    yield f"### {workload.name}, {size:,} B of state"
    yield ""
    yield f"{workload.nodes} nodes take {none.median('wall_ms'):.2f} ms without recording."
    yield ""
    yield (
        "| recorder | spans a run | wall, µs a node | best | CPU, µs a node | best "
        "| times the cheaper instrumentor: wall / CPU | times by hand: wall / CPU |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, cell in of.items():
        if name == NOTHING:
            continue
        spans = "-" if cell.spans is None else f"{cell.spans:.0f}"
        costs = [f"{figure(name, key):.0f}" for key in ("wall_ms", "cpu_ms") for figure in (added_us, best_us)]
        yield f"| {' | '.join([name, spans, *costs, ratios(name, INSTRUMENTORS), ratios(name, [BY_HAND])])} |"
    yield ""


def growth_table(growths: dict[str, dict[str, float]], runs: int) -> Iterator[str]:
    """Write how memory grows in Markdown."""
    yield "### Memory"
    yield ""
    yield (
        f"Growth from run {min(SETTLED_RUNS, runs // 2):,} to run {runs:,} of a chain of {GROWTH_NODES} nodes, "
        "after what waited was sent and garbage was collected."
    )
    yield ""
    yield "| recorder | resident set, MiB | Python objects |"
    yield "|---|---:|---:|"
    for name, growth in growths.items():
        yield f"| {name} | {growth['resident_mib']:+.2f} | {growth['blocks']:+.0f} |"
    yield ""


def report(options: argparse.Namespace) -> str:
    """Measure and write everything in Markdown."""
    recorders = [recorder for recorder in RECORDERS.values() if recorder.is_installed]
    cells = measure_all(options, recorders)
    lines = [line for name in options.workload for size in options.size for line in table(cells, WORKLOADS[name], size)]
    if options.growth_runs:
        lines += growth_table(measure_growths(options), options.growth_runs)
    for recorder in RECORDERS.values():
        if not recorder.is_installed:
            lines += [f"Not measured: {recorder.name} is not installed (`pip install {recorder.package}`).", ""]
    return "\n".join(lines)


def page(body: str, options: argparse.Namespace) -> str:
    """Put the tables into a page that says how they came about."""
    return f"""# What recording costs

<!-- Made by `python -m benchmarks.overhead --write docs/overhead.md`; do not edit. -->

Programs of LangGraph whose nodes do nothing and whose model answers at once, so that all of the time is LangGraph's
own and the recorder's. The figures are what recording adds to each node: medians of {options.rounds} rounds of
at least {options.runs} runs and {options.seconds:g} s, each a fresh process, in shuffled order, with the time to send
what was recorded. CPU time is that of all threads. Everybody sends OTLP over HTTP to a receiver on the same machine, in
batches, after every 20 runs at the latest, as the SDK's queues lose spans otherwise; otel-wfperf records metrics and
sends start events besides spans, the others spans alone. "By hand" is a callback handler that writes one span for each
node, model call and tool call, with three attributes and no content: less cannot be recorded. The official genai
instrumentation records no nodes.

The state of 200,000 B is a hundred documents of 2,000 B; of the agent it is the user's message. No two runs have the
same text, so that nothing is remembered from one to the next.

{described_machine()}

{body}"""


def described_machine() -> str:
    """Say where this was measured."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()}; {', '.join(versions)}."


def tell(progress: str) -> None:
    """Show what is being done."""
    print(progress, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6, help="fresh processes of each measurement (default: 6)")
    parser.add_argument("--runs", type=int, default=20, help="timed runs in each process, at least (default: 20)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for how long, at least (seconds; default: 2)")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="one of them; default: all")
    parser.add_argument("--size", action="append", type=int, help="bytes of state; default: 200 and 200000")
    parser.add_argument(
        "--growth-runs", type=int, default=10_000, help="runs after which memory is compared; 0 = not (default: 10000)"
    )
    parser.add_argument("--write", type=Path, metavar="PATH", help="also write the page with the tables")
    parser.add_argument("--measure", choices=RECORDERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.is_sized = options.size is not None
    options.workload = options.workload or list(WORKLOADS)
    options.size = options.size or list(SIZES)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print tables."""
    options = parsed(arguments)
    if options.measure and options.is_sized:
        [workload], [size] = options.workload, options.size
        given = {"size_bytes": size, "runs": options.runs, "seconds": options.seconds}
        print(json.dumps(measure(options.measure, workload, **given)))
        return
    if options.measure:
        print(json.dumps(measure_growth(options.measure, runs=options.growth_runs)))
        return
    body = report(options)
    print(body)
    if options.write:
        options.write.write_text(page(body, options), encoding="utf-8")
        tell(f"written: {options.write}")


if __name__ == "__main__":
    main()
