"""A real sidecar process for a measurement: started by its command, killed at will, asked for its metrics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from prometheus_client.parser import text_string_to_metric_families

_LOOPBACK: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_LIMIT_S: Final = 60.0
_STOP_LIMIT_S: Final = 30.0
_PROGRAM: Final = """
import json, os, sys
from pathlib import Path
from otel_wfperf.config import load
from otel_wfperf.sidecar.diagnostics import write_events
from otel_wfperf.sidecar.process import run_forever

def ready(endpoints):
    file = Path(sys.argv[2])
    file.with_suffix(".new").write_text(json.dumps([endpoints.grpc, endpoints.http, endpoints.page]))
    os.replace(file.with_suffix(".new"), file)

def read():
    return load(Path(sys.argv[1]), os.environ).sidecar

write_events(level="info", style="text")
run_forever(read(), on_ready=ready, reread=read)
"""


@dataclass(slots=True)
class SidecarProcess:
    """A sidecar with its data in a folder; it can be started again there after its end.

    Attributes:
        folder: Its data, its standard error (``sidecar.log``).
        settings: The ``sidecar`` mapping of the configuration; addresses default to free ports.
        grpc: OTLP over gRPC (host:port), once started.
        http: OTLP over HTTP (base URL), once started.
        page: Page, API, metrics (base URL), once started.
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    grpc: str = ""
    http: str = ""
    page: str = ""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._running.pid

    def start(self) -> None:
        """Start it and wait until it serves; raise RuntimeError with its last words when it does not."""
        self.configure(self.settings)
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(self.file), str(ready)],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the sidecar did not start: {self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)
        self.grpc, self.http, self.page = json.loads(ready.read_text())

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "wfperf.yaml"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write its configuration; it is read at the start and on SIGHUP."""
        listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "page": "127.0.0.1:0"}
        # JSON is YAML.
        whole = {"sidecar": {"listen": listen, "data_dir": str(self.folder / "data"), **settings}}
        self.file.write_text(json.dumps(whole), encoding="utf-8")

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "sidecar.log"

    def kill(self) -> None:
        """End it without a warning (SIGKILL)."""
        self._running.kill()
        self._running.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running.send_signal(number)

    def wait(self, timeout_s: float = _STOP_LIMIT_S) -> int:
        """Wait for its end and return its exit status."""
        return self._running.wait(timeout_s)

    def stop(self) -> float:
        """Let it drain (SIGTERM); return how long that took (seconds)."""
        started_s = time.monotonic()
        if self._running.poll() is None:
            self._running.send_signal(signal.SIGTERM)
            try:
                self._running.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return time.monotonic() - started_s

    def rss_bytes(self) -> int:
        """Return its resident set (bytes)."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads (seconds)."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a metric whose labels are these; 0 when there are none."""
        text = self.fetch("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def fetch(self, path: str) -> str:
        """Return the body of a page."""
        with _LOOPBACK.open(self.page + path, timeout=30) as answer:
            body: bytes = answer.read()
            return body.decode()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the sidecar was not started")
        return self._process


@contextmanager
def running_sidecar(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[SidecarProcess]:
    """Run a sidecar for the length of a measurement."""
    sidecar = SidecarProcess(folder, settings or {})
    sidecar.start()
    try:
        yield sidecar
    finally:
        sidecar.stop()
