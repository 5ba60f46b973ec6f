"""Figure 5: one trace of 10,000 spans that are nested 500 deep, and one that goes on for six hours."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.figure_01_throughput import settled
from benchmarks.reliability.load import Batch, send
from benchmarks.reliability.rig import running_sidecar
from otel_wfperf.assembly import Assembler
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import Span
from otel_wfperf.otlp import protobuf
from otel_wfperf.sidecar.analyzer import Analyzer, Finished

SPANS: Final = 10_000
DEPTH: Final = 500
_BATCH_SPANS: Final = 512
_SECOND_NS: Final = 1_000_000_000
_HOURS: Final = 6
_STEP_NS: Final = 60 * _SECOND_NS
_TRACE_ID: Final = f"{5:032x}"
_START_NS: Final = 1_700_000_000 * _SECOND_NS


def measure() -> Outcome:
    """Send the large trace to a real sidecar; give the long one to an analyzer whose time we make."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder, running_sidecar(Path(folder)) as sidecar:
        sent = asyncio.run(send(sidecar.grpc, batches(deep_trace())))
        analysed = settled(sidecar, 1)
        document = sidecar.fetch(f"/api/v1/executions/{_TRACE_ID}")
        rss_bytes = sidecar.rss_bytes()
    spent_s = time.monotonic() - started_s
    whole = f'"span_count":{SPANS}' in document.replace(" ", "")
    finished = long_run()
    [run] = finished if len(finished) == 1 else [None]
    hours = 0.0 if run is None else run.execution.duration_ns / _SECOND_NS / 3600
    return Outcome(
        got=f"{len(sent.accepted):,} spans of depth {DEPTH} became {analysed:.0f} execution in {spent_s:.0f} s, start "
        f"included, {rss_bytes / 2**20:.0f} MiB; the long trace became {len(finished)} execution of {hours:.1f} h",
        reached=whole and analysed == 1 and not sent.refused and len(finished) == 1 and hours >= _HOURS - 0.1,
    )


def deep_trace() -> Iterator[Span]:
    """Make chains of so many spans below one root, each span within the one before."""
    length_ns = 60 * _SECOND_NS
    yield _span(1, None, _START_NS, _START_NS + length_ns)
    for number in range(2, SPANS + 1):
        chain, level = divmod(number - 2, DEPTH - 1)
        parent = 1 if level == 0 else number - 1
        start_ns = _START_NS + chain * _SECOND_NS + level * 1_000_000
        yield _span(number, parent, start_ns, _START_NS + (chain + 1) * _SECOND_NS + 500_000_000 - level * 1_000_000)


def _span(number: int, parent: int | None, start_ns: int, end_ns: int) -> Span:
    return Span(
        trace_id=_TRACE_ID,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=f"invoke_agent agent-{number % 7}" if number > 1 else "invoke_workflow deep",
        start_ns=start_ns,
        end_ns=end_ns,
        attributes={
            "gen_ai.operation.name": "invoke_agent" if number > 1 else "invoke_workflow",
            "gen_ai.agent.name" if number > 1 else "gen_ai.workflow.name": f"agent-{number % 7}",
        },
    )


def batches(spans: Iterator[Span]) -> Iterator[Batch]:
    """Encode spans in requests of the usual size."""
    all_spans = list(spans)
    for start in range(0, len(all_spans), _BATCH_SPANS):
        some = all_spans[start : start + _BATCH_SPANS]
        yield Batch(protobuf.encode_traces(some), tuple((each.trace_id, each.span_id) for each in some))


def long_run() -> list[Finished]:
    """Let a step of one trace end each minute for six hours, and the root at last; look each second."""
    analyzer = Analyzer(Assembler(), window=20)
    finished: list[Finished] = []
    # Younger than six hours, at which a trace is given up.
    steps = _HOURS * 60 - 1
    for step in range(1, steps + 1):
        now_ns = _START_NS + step * _STEP_NS
        span = _span(step + 1, 1, now_ns - _STEP_NS, now_ns)
        analyzer.add([_record(step, span)], now_ns=now_ns)
        for second in range(0, 60, 5):
            finished += analyzer.due(now_ns=now_ns + second * _SECOND_NS)
    now_ns = _START_NS + steps * _STEP_NS + 2 * _SECOND_NS
    analyzer.add([_record(steps + 1, _span(1, None, _START_NS, now_ns))], now_ns=now_ns)
    finished += analyzer.due(now_ns=now_ns + 30 * _SECOND_NS)
    return finished


def _record(offset: int, span: Span) -> Record:
    return Record(offset=offset, signal=Signal.TRACES, data=protobuf.encode_traces([span]), items=1, received_ns=0)


FIGURE: Final = Figure(
    number=5,
    title="one trace of 10,000 spans, 500 deep; one trace of 6 h (with a clock of ours)",
    asked="each becomes one execution with all its spans",
    measure=measure,
)
