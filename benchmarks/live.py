"""How soon a running execution is visible: from its start to its line in the sidecar's /api/v1/live.

    python benchmarks/live.py --runs 20

A program starts executions one after the other and keeps each open until it has been seen, with all of its open spans.
The sidecar runs in this process; the answer is asked for every 10 ms. Prints medians and the slowest of all (seconds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.embedded import RunningSidecar, embedded

OPEN_SPANS = 3
PROGRAM = """
import sys, time
import otel_wfperf.auto
from otel_wfperf import agent, phase, workflow

for _ in sys.stdin:
    print(time.time_ns(), flush=True)
    with workflow("notes"), phase("draft"), agent("writer"):
        sys.stdin.readline()
"""


def measure(sidecar: RunningSidecar, runs: int) -> list[tuple[float, float]]:
    """Return how long each execution and all of its open spans took to be visible (seconds)."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{sidecar.endpoints.grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if program.stdin is None or program.stdout is None:
        raise SystemExit("the program has no standard input or output")
    delays = []
    for number in range(runs):
        print(f"run {number + 1} of {runs}", file=sys.stderr)
        print("start", file=program.stdin, flush=True)
        started_s = int(program.stdout.readline()) / 1e9
        delays.append((seen(sidecar, 1) - started_s, seen(sidecar, OPEN_SPANS) - started_s))
        print("end", file=program.stdin, flush=True)
        while open_spans(sidecar):
            time.sleep(0.01)
    program.stdin.close()
    program.wait()
    return delays


def seen(sidecar: RunningSidecar, spans: int) -> float:
    """Wait until so many open spans are visible; return the time (seconds since the Unix epoch)."""
    while open_spans(sidecar) < spans:
        time.sleep(0.01)
    return time.time()


def open_spans(sidecar: RunningSidecar) -> int:
    """Count the open spans that the sidecar shows."""
    with urlopen(f"{sidecar.endpoints.page}/api/v1/live") as answer:  # noqa: S310 - our own server on loopback
        return sum(len(each["open_spans"]) for each in json.load(answer)["executions"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=20, help="executions to start (default: 20)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "page": "127.0.0.1:0"}
        config = SidecarConfig.model_validate({"data_dir": Path(folder), "listen": listen})
        with embedded(config) as sidecar:
            delays = measure(sidecar, runs)
    for what, values in zip(("execution", f"all {OPEN_SPANS} open spans"), zip(*delays, strict=True), strict=True):
        print(f"{what}: median {statistics.median(values):.2f} s, slowest {max(values):.2f} s")


if __name__ == "__main__":
    main()
