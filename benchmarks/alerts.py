"""How soon a running workflow is alerted: from the moment at which it passes its threshold to the message.

    python benchmarks/alerts.py --runs 20

A program runs a workflow again and again, each time until its alert has arrived at a web hook. The sidecar is a process
of its own with a threshold of 2 s; the hook is here. Prints the median of the delays and the slowest of all (seconds),
and how soon the end of the workflow was told after the half second that it must last.
"""

from __future__ import annotations

import argparse
import http.server
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.rig import SidecarProcess, running_sidecar

THRESHOLD_S = 2.0
KEEP_FIRING_S = 0.5
LIMIT_S = 30.0
PROGRAM = """
import sys, time
import otel_wfperf.auto
from otel_wfperf import agent, phase, workflow

for _ in sys.stdin:
    print(time.time_ns(), flush=True)
    with workflow("notes"), phase("draft"), agent("writer"):
        sys.stdin.readline()
    print(time.time_ns(), flush=True)
"""


@dataclass(slots=True)
class Hook:
    """Notes when which state of an alert came (seconds since the Unix epoch)."""

    url: str = ""
    came: queue.Queue[tuple[float, str]] = field(default_factory=queue.Queue)

    def wait(self, state: str) -> float:
        """Return when a state came."""
        while True:
            moment_s, came = self.came.get(timeout=LIMIT_S)
            if came == state:
                return moment_s


@contextmanager
def running_hook() -> Iterator[Hook]:
    """Serve a web hook on loopback."""
    hook = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            moment_s = time.time()
            body: Any = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            for alert in body["alerts"]:
                hook.came.put((moment_s, alert["state"]))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hook.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


def settings(hook: Hook) -> dict[str, Any]:
    """Configure the alerts of the sidecar."""
    rule = {"threshold": f"{THRESHOLD_S}s", "keep_firing_for": f"{KEEP_FIRING_S}s"}
    others = {name: {"enabled": False} for name in ("memory", "cpu", "error_rate")}
    notifiers = {"log": {"enabled": False}, "webhooks": [{"name": "hook", "url": hook.url, "max_messages": 1000}]}
    return {"alerts": {"execution_time": rule, "notifiers": notifiers, **others}}


def measure(sidecar: SidecarProcess, hook: Hook, runs: int) -> tuple[list[float], list[float]]:
    """Return the delays of the alerts and of their ends (seconds)."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{sidecar.grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if program.stdin is None or program.stdout is None:
        raise SystemExit("the program has no standard input or output")
    begun, ended = [], []
    for number in range(runs):
        print(f"run {number + 1} of {runs}", file=sys.stderr)
        print("start", file=program.stdin, flush=True)
        started_s = int(program.stdout.readline()) / 1e9
        begun.append(hook.wait("firing") - started_s - THRESHOLD_S)
        print("end", file=program.stdin, flush=True)
        ended_s = int(program.stdout.readline()) / 1e9
        ended.append(hook.wait("resolved") - ended_s - KEEP_FIRING_S)
    program.stdin.close()
    program.wait()
    return begun, ended


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=20, help="workflows to run (default: 20)")
    runs = parser.parse_args().runs
    with (
        tempfile.TemporaryDirectory() as folder,
        running_hook() as hook,
        running_sidecar(Path(folder), settings(hook)) as sidecar,
    ):
        begun, ended = measure(sidecar, hook, runs)
    for what, delays in ((f"alerted after passing {THRESHOLD_S:g} s", begun), ("its end told", ended)):
        print(f"{what}: median {statistics.median(delays):.3f} s, slowest {max(delays):.3f} s ({runs} runs)")


if __name__ == "__main__":
    main()
