"""What the sidecar costs beside the OpenTelemetry Collector and rotel, on the same requests, in turn.

    python -m benchmarks.sidecar --rounds 5 --write docs/sidecar-cost.md

Every program runs as a process and forwards to a sink of its own, uncompressed. They are sent the same batches of 512
spans in turn; the CPU time is that of the process from the first request until all spans are forwarded and, for the
sidecar, every execution is analysed and stored. The sidecar is measured as it is installed here, and once more from
`--compiled`, a folder into which a wheel with compiled modules was installed (`pip install --target`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from benchmarks.reliability.load import Batch, Sent, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess
from benchmarks.sidecar_page import Curve, Result, page
from benchmarks.sink import spans_at
from benchmarks.traces import interleaved
from tests.peers import CONFIG_FOLDER, peer_path, running_rotel
from tests.processes import free_ports, listens, running_process, temporary_folder

_SETTLE_LIMIT_S: Final = 180.0
# Chosen: a quarter of what the slowest can take, so that queues do not count.
_PACED_SPANS_PER_S: Final = 4_000
_PACED_S: Final = 3
# Numbers of executions that no other load has.
_PACED_FIRST: Final = 10**13


@dataclass(slots=True)
class Program:
    """Something that takes traces, analyses them and sends them on.

    Attributes:
        name: What the page calls it.
        target: OTLP over gRPC (host:port).
        pid: The process.
        sink: Where it forwards to (host:port); "" = nowhere.
        executions: Counts the analysed executions of a workflow; None = it analyses none.
        not_compared: Counts those that detectors did not look at.
        figures: One result of each round.
    """

    name: str
    target: str
    pid: int
    sink: str
    executions: Callable[[str], float] | None
    not_compared: Callable[[], float]
    figures: list[Result] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads (seconds)."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        """Return its resident set (bytes)."""
        return int(psutil.Process(self.pid).memory_info().rss)


def measured(program: Program, batches: Sequence[Batch], *, workflow: str, executions: int) -> Result:
    """Send batches as fast as they are taken, and wait until nothing is left to do; then some more for the latency."""
    skipped = program.not_compared()
    before_s = program.cpu_s()
    sent = _sent(program, batches, workflow, executions)
    cpu_s = program.cpu_s() - before_s
    not_compared = program.not_compared() - skipped
    paced_spans = _PACED_SPANS_PER_S * _PACED_S
    more = list(workflow_batches(paced_spans, first=_PACED_FIRST + time.time_ns() // 1_000_000, workflow="paced"))
    paced = _sent(program, more, "paced", paced_spans // 16, spans_per_s=_PACED_SPANS_PER_S)
    latencies_s = sorted(paced.latencies_s)
    return Result(
        spans_per_cpu_s=len(sent.accepted) / cpu_s,
        p50_ms=statistics.median(latencies_s) * 1e3,
        p99_ms=latencies_s[int(len(latencies_s) * 0.99)] * 1e3,
        rss_bytes=program.rss_bytes(),
        lost=sum(len(batch.spans) for batch in batches) - len(sent.accepted),
        compared_ratio=None if program.executions is None else 1 - not_compared / executions,
    )


def _sent(
    program: Program, batches: Sequence[Batch], workflow: str, executions: int, *, spans_per_s: float | None = None
) -> Sent:
    """Send, and wait until all is forwarded, analysed and stored."""
    count = program.executions or (lambda _workflow: float("inf"))
    expected = count(workflow) + executions
    forwarded = spans_at(program.sink) if program.sink else 0
    sent = asyncio.run(send(program.target, batches, spans_per_s=spans_per_s))
    deadline_s = time.monotonic() + _SETTLE_LIMIT_S
    while time.monotonic() < deadline_s:
        is_forwarded = not program.sink or spans_at(program.sink) - forwarded >= len(sent.accepted)
        if is_forwarded and count(workflow) >= expected:
            return sent
        time.sleep(0.1)
    raise SystemExit(f"{program.name}: not done {_SETTLE_LIMIT_S:.0f} s after the last request")


# -- the programs ----------------------------------------------------------------------------------------------------


@contextmanager
def sink() -> Iterator[str]:
    """Run a sink."""
    (port,) = free_ports(1)
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.sink", str(port)]
    with temporary_folder() as folder, running_process(command, folder, ready=lambda: listens(port)):
        yield f"127.0.0.1:{port}"


@contextmanager
def sidecar(name: str, site: Path | None, *, forwards: bool = True) -> Iterator[Program]:
    """Run the sidecar, from this environment or with the package from a folder."""
    environment = {} if site is None else {"PYTHONPATH": str(site.resolve()), "PYTHONSAFEPATH": "1"}
    with ExitStack() as opened:
        target = opened.enter_context(sink()) if forwards else ""
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="wfperf-")))
        exporters = [{"name": "sink", "endpoint": f"http://{target}"}] if target else []
        process = SidecarProcess(folder, {"exporters": exporters, "annotate": False}, environment)
        process.start()
        opened.callback(process.stop)
        if site is not None and process.metric("wfperf_build_info", compiled="true") != 1:
            raise SystemExit(
                f"--compiled {site}: the package there is not compiled; build the wheel as CONTRIBUTING says"
            )
        yield Program(
            name=name,
            target=process.grpc,
            pid=process.pid,
            sink=target,
            executions=lambda workflow: process.metric("wfperf_executions_total", workflow=workflow),
            not_compared=lambda: process.metric("wfperf_analyzer_dropped_items_total", reason="not_compared"),
        )


@contextmanager
def collector(executable: Path) -> Iterator[Program]:
    """Run the Collector of `collector-config/builder-benchmark.yaml`."""
    (port,) = free_ports(1)
    command: list[str | Path] = [executable, "--config", CONFIG_FOLDER / "collector-benchmark.yaml"]
    with sink() as target, temporary_folder() as folder:
        environment = {"OTELCOL_OTLP_GRPC_PORT": str(port), "BENCHMARK_SINK_PORT": target.rpartition(":")[2]}
        with running_process(command, folder, ready=lambda: listens(port), environment=environment) as process:
            yield _forwarder("OpenTelemetry Collector", f"127.0.0.1:{port}", process.pid, target)


@contextmanager
def rotel() -> Iterator[Program]:
    """Run rotel, which forwards and does nothing else."""
    with sink() as target, running_rotel(forward_to=target) as process:
        yield _forwarder("rotel (forwards only)", process.otlp_grpc, process.pid, target)


def _forwarder(name: str, target: str, pid: int, sink_target: str) -> Program:
    return Program(name=name, target=target, pid=pid, sink=sink_target, executions=None, not_compared=lambda: 0.0)


def programs(opened: ExitStack, compiled: Path | None, collector_path: Path | None) -> list[Program]:
    """Start all that can be had; say what is missing."""
    running = [opened.enter_context(sidecar("sidecar, interpreted", None))]
    if compiled is not None:
        running.append(opened.enter_context(sidecar("sidecar, compiled", compiled)))
    if collector_path is None:
        print("no Collector: build collector-config/builder-benchmark.yaml and give --collector", file=sys.stderr)
    else:
        running.append(opened.enter_context(collector(collector_path)))
    if peer_path("rotel") is None:
        print("no rotel: run `make peers`", file=sys.stderr)
    else:
        running.append(opened.enter_context(rotel()))
    return running


# -- the cost curve --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent for one line of the cost curve."""

    name: str
    workflow: str
    make: Callable[[], Iterator[Batch]]
    executions: int


def loads(spans: int) -> Iterator[Load]:
    """List more and more spans, more and more open traces, small and large traces."""
    for factor in (1, 10, 100):
        some = spans * factor
        yield Load(f"{some:,} spans", "load", partial(workflow_batches, some), some // 16)
    for traces in (10, 100, 1_000, 10_000):
        if traces * 40 <= spans * 100:
            count = spans * 100 // 40
            yield Load(f"{traces:,} open traces", "interleaved", partial(interleaved, count * 40, traces, 40), count)
    for size in (40, 10_000):
        load = partial(interleaved, 40_000, 1, size)
        yield Load(f"{size:,} spans a trace", "interleaved", load, 40_000 // size)


def curves(compiled: Path | None, spans: int) -> Iterator[Curve]:
    """Measure how the sidecar's cost for a span changes with how much there is."""
    kind = "interpreted" if compiled is None else "compiled"
    for load in loads(spans):
        print(f"{load.name} …", file=sys.stderr, flush=True)
        with sidecar(kind, compiled, forwards=False) as program:
            batches = list(load.make())
            yield Curve(load.name, measured(program, batches, workflow=load.workflow, executions=load.executions))


def main() -> None:
    """Measure, print, and write the page when asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each has its turn (default: 3)")
    parser.add_argument("--spans", type=int, default=40_960, help="spans of a turn (default: 40960)")
    parser.add_argument("--curve-spans", type=int, default=5_120, help="1x of the cost curve (default: 5120); 0 = none")
    parser.add_argument("--compiled", type=Path, metavar="FOLDER", help="package with compiled modules")
    parser.add_argument(
        "--collector", type=Path, metavar="FILE", help="the Collector (default: as `make peers` has it)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page")
    options = parser.parse_args()
    with ExitStack() as opened:
        running = programs(opened, options.compiled, options.collector or _collector())
        for number in range(options.rounds):
            for program in running:
                batches = list(workflow_batches(options.spans, first=1 + number * options.spans))
                result = measured(program, batches, workflow="load", executions=options.spans // 16)
                program.figures.append(result)
                print(f"round {number + 1}: {program.name}: {result}", file=sys.stderr, flush=True)
        results = {program.name: program.figures for program in running}
    found = list(curves(options.compiled, options.curve_spans)) if options.curve_spans else []
    text = page(results, found, _command(options))
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


def _command(options: argparse.Namespace) -> str:
    """Write the command without the paths of this machine."""
    compiled = " --compiled FOLDER" if options.compiled else ""
    numbers = f"--rounds {options.rounds} --spans {options.spans} --curve-spans {options.curve_spans}"
    return f"python -m benchmarks.sidecar {numbers}{compiled} --write docs/sidecar-cost.md"


def _collector() -> Path | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-wfperf" / "peers" / "bin"
    found = shutil.which("otelcol-benchmark") or shutil.which("otelcol-benchmark", path=cache)
    return Path(found) if found else None


if __name__ == "__main__":
    main()
