"""What recording costs a LangGraph program: without, with otel-wfperf, and with OpenInference if it is installed.

    python benchmarks/langgraph_overhead.py --rounds 6

The program is a chain of nodes that do nothing, so the whole time is LangGraph's own and the recorder's. Spans and
metrics go over OTLP/HTTP to a receiver on loopback that throws them away. Each measurement is a fresh process; within a
round the order is shuffled, so that a machine that gets slower does so for all. Compare ratios rather than times: those
of two machines differ. "best" is the fastest round of each, which disturbances touch least.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, TypedDict

STATE_BYTES = 200
WARM_UP_RUNS = 5


class State(TypedDict):
    """What the nodes pass on."""

    text: str


def build_chain(nodes: int) -> Any:
    """Build a graph of nodes that do nothing, one after the other."""
    from langgraph.graph import START, StateGraph  # noqa: PLC0415 - after the recorder, as in a program

    graph = StateGraph(State)
    previous = START
    for number in range(nodes):
        name = f"step_{number}"
        graph.add_node(name, lambda _state: {})
        graph.add_edge(previous, name)
        previous = name
    return graph.compile(name="chain")


def record_nothing() -> None:
    """Leave the program as it is."""


def record_with_wfperf() -> None:
    """Do what a user of this project does."""
    import otel_wfperf.auto  # noqa: F401, PLC0415 - importing it is the point


def record_with_openinference() -> None:
    """Do what its documentation says, with the batch processor that production needs."""
    langchain = import_module("openinference.instrumentation.langchain")
    exporters = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")

    provider = sdk.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(exporters.OTLPSpanExporter()))
    langchain.LangChainInstrumentor().instrument(tracer_provider=provider)


RECORDERS: dict[str, Callable[[], None]] = {
    "none": record_nothing,
    "otel-wfperf": record_with_wfperf,
    "openinference": record_with_openinference,
}


def measure(recorder: str, *, nodes: int, runs: int) -> dict[str, float]:
    """Time runs of the chain in this process: median wall time and mean CPU time of one run (milliseconds)."""
    RECORDERS[recorder]()
    graph = build_chain(nodes)
    given: Any = {"text": "x" * STATE_BYTES}
    config: Any = {"recursion_limit": nodes + 5}
    for _ in range(WARM_UP_RUNS):
        graph.invoke(given, config)
    walls_ms = []
    cpu_start_s = time.process_time()
    for _ in range(runs):
        start_s = time.perf_counter()
        graph.invoke(given, config)
        walls_ms.append((time.perf_counter() - start_s) * 1000)
    return {"wall_ms": statistics.median(walls_ms), "cpu_ms": (time.process_time() - cpu_start_s) * 1000 / runs}


class Sink(BaseHTTPRequestHandler):
    """Accepts what is posted and forgets it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer as an OTLP receiver does."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def sink() -> Iterator[str]:
    """Run the receiver; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def measure_in_a_fresh_process(recorder: str, url: str, options: argparse.Namespace) -> dict[str, float]:
    """Run :func:`measure` in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGSMITH_"))}
    paths = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    arguments = ["--measure", recorder, "--nodes", str(options.nodes), "--runs", str(options.runs)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**clean, **sending, "NO_PROXY": "127.0.0.1", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def print_table(results: dict[str, list[dict[str, float]]], nodes: int) -> None:
    """Print medians, best rounds, and what recording adds to each node."""

    def column(recorder: str, key: str, of: Callable[[list[float]], float]) -> float:
        return of([result[key] for result in results[recorder]])

    kinds: list[tuple[str, str, Callable[[list[float]], float]]] = [
        ("wall, median", "wall_ms", statistics.median),
        ("wall, best", "wall_ms", min),
        ("CPU, median", "cpu_ms", statistics.median),
    ]
    print("| recorder |" + "".join(f" {title} ms | ratio | us a node |" for title, _, _ in kinds))
    print("|---|" + "---:|" * 3 * len(kinds))
    for recorder in results:
        cells = [recorder]
        for _, key, of in kinds:
            value, without = column(recorder, key, of), column("none", key, of)
            cells += [f"{value:.2f}", f"{value / without:.2f}", f"{(value - without) / nodes * 1000:+.0f}"]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="fresh processes of each recorder (default: 6)")
    parser.add_argument("--runs", type=int, default=60, help="timed runs in each process (default: 60)")
    parser.add_argument("--nodes", type=int, default=50, help="nodes of the chain (default: 50)")
    parser.add_argument("--measure", choices=RECORDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, nodes=options.nodes, runs=options.runs)))
        return
    has_openinference = find_spec("openinference") is not None
    names = [name for name in RECORDERS if name != "openinference" or has_openinference]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with sink() as url:
        for _ in range(options.rounds):
            for name in random.sample(names, len(names)):
                results[name].append(measure_in_a_fresh_process(name, url, options))
    print_table(results, options.nodes)


if __name__ == "__main__":
    main()
