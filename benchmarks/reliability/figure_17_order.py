"""Figure 17: in whatever order spans come, how often, how late, and whatever the clock does, the findings are the same.

Executions of three workflows with known faults are analysed once with every span in its place. Then, seed by seed, the
same spans come in another order, in other requests, some of them twice and some up to 50 s after the end of their
execution, while the wall clock jumps by an hour forward or back. The analyzer and its clock are those of the sidecar;
time passes as it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from benchmarks.reliability.figure import Figure, Outcome
from otel_wfperf import semconv
from otel_wfperf.assembly import Assembler
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import Span, StatusCode
from otel_wfperf.otlp import protobuf
from otel_wfperf.report.document import execution_document, finding_document
from otel_wfperf.sidecar.analyzer import Analyzer
from otel_wfperf.sidecar.clock import steady_clock

SEEDS: Final = 1_000
EXECUTIONS: Final = 2  # of each workflow
_CALLS: Final = 11
_MS: Final = 1_000_000
_SECOND_NS: Final = 1_000 * _MS
_HOUR_NS: Final = 3_600 * _SECOND_NS
_START_NS: Final = 1_800_000_000 * _SECOND_NS
_TICK_NS: Final = 250 * _MS
# The quiet period is 2 s and late spans are taken for 60 s by default.
_ON_TIME_NS: Final = 1_500 * _MS
_LATE_NS: Final = 50 * _SECOND_NS


def _span(trace: int, number: int, times_ms: tuple[int, int], attributes: dict[str, Any], *, failed: bool) -> Span:
    start_ns = _START_NS + trace * 60 * _SECOND_NS
    return Span(
        trace_id=f"{trace + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=None if number == 0 else f"{1:016x}",
        name=" ".join(str(value) for value in list(attributes.values())[:2]),
        start_ns=start_ns + times_ms[0] * _MS,
        end_ns=start_ns + times_ms[1] * _MS,
        attributes=attributes,
        status=StatusCode.ERROR if failed else StatusCode.UNSET,
        scope=semconv.INSTRUMENTATION_SCOPE,
        resource={semconv.SERVICE_NAME: "order"},
    )


def _execution(trace: int, kind: str) -> Iterator[Span]:
    """Yield a workflow and its calls: the same question again and again, calls that fail, or nothing wrong."""
    root = {semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW, semconv.WORKFLOW_NAME: kind}
    yield _span(trace, 0, (0, _CALLS * 500), root, failed=False)
    for number in range(_CALLS):
        times_ms = (number * 500, number * 500 + 400 + 3 * trace)
        tool = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: "search"}
        failed = kind == "failing" and number % 2 == 0
        if kind == "repeating":
            tool |= {semconv.INPUT_HASH: "same", semconv.OUTPUT_HASH: "same"}
        elif kind == "failing":
            tool |= {semconv.INPUT_HASH: f"{number // 2}"} | ({semconv.ERROR_TYPE: "Timeout"} if failed else {})
        else:
            tool |= {semconv.TOOL_NAME: f"tool_{number}", semconv.INPUT_HASH: f"{number}"}
        yield _span(trace, number + 1, times_ms, tool, failed=failed)


def encoded_spans() -> list[bytes]:
    """Return a request for each span, in the order in which a program would send them."""
    kinds = ["repeating", "failing", "sound"] * EXECUTIONS
    spans = [span for trace, kind in enumerate(kinds) for span in _execution(trace, kind)]
    return [protobuf.encode_traces([span]) for span in sorted(spans, key=lambda span: span.end_ns)]


@dataclass(slots=True)
class _Clocks:
    """A machine's clocks: the wall clock may be set."""

    monotonic_ns: int = 0
    wall_offset_ns: int = _START_NS

    def wall_ns(self) -> int:
        return self.monotonic_ns + self.wall_offset_ns


@dataclass(slots=True)
class Arrival:
    """A request that comes at a time (nanoseconds from the beginning); spans of several may come in one.

    Attributes:
        jump_ns: How far the wall clock is set then (nanoseconds).
    """

    at_ns: int
    data: bytes
    jump_ns: int = 0


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        documents: Findings and executions, without what tells of the arrival itself.
        dropped: Items that were not analysed, by reason.
    """

    documents: list[dict[str, Any]]
    dropped: dict[str, int] = field(default_factory=dict)


def analyse(arrivals: Iterable[Arrival]) -> Result:
    """Let the requests come at their times, looking four times a second as the pipeline does."""
    clocks = _Clocks()
    clock_ns = steady_clock(clocks.wall_ns, lambda: clocks.monotonic_ns)
    analyzer = Analyzer(Assembler(), window=20, keep=True)
    next_look_ns = 0
    for offset, arrival in enumerate(arrivals, start=1):
        while next_look_ns <= arrival.at_ns:
            clocks.monotonic_ns = next_look_ns
            analyzer.due(now_ns=clock_ns())
            next_look_ns += _TICK_NS
        clocks.monotonic_ns = arrival.at_ns
        clocks.wall_offset_ns += arrival.jump_ns
        record = Record(offset=offset, signal=Signal.TRACES, data=arrival.data, items=1, received_ns=clocks.wall_ns())
        analyzer.add([record], now_ns=clock_ns())
    analyzer.flush()
    executions, findings = analyzer.summary()
    documents = [finding_document(each) for each in findings]
    documents += [_without_arrival(execution_document(each)) for each in executions]
    return Result(documents, dict(analyzer.dropped))


def _without_arrival(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out that a span came twice and that an execution was opened again: that is what differs."""
    return {key: value for key, value in document.items() if key not in {"version", "adjustments"}}


def in_order(requests: Sequence[bytes]) -> list[Arrival]:
    """Let each span come in its place."""
    return [Arrival(number * _MS, data) for number, data in enumerate(requests)]


def shuffled(requests: Sequence[bytes], seed: int) -> list[Arrival]:
    """Let the spans come in any order, in requests of any size, a fifth of them twice and a twentieth late."""
    random = Random(seed)
    arrivals = []
    for data in requests:
        for _ in range(2 if random.random() < 0.2 else 1):
            is_late = random.random() < 0.05
            at_ns = random.randrange(_ON_TIME_NS) + (random.randrange(_LATE_NS) if is_late else 0)
            arrivals.append(Arrival(at_ns, data))
    arrivals.sort(key=lambda each: each.at_ns)
    merged: list[Arrival] = []
    for arrival in arrivals:
        # Requests one after another are one request: that is how protobuf joins messages.
        if merged and arrival.at_ns - merged[-1].at_ns < _TICK_NS and random.random() < 0.8:
            merged[-1].data += arrival.data
        else:
            merged.append(arrival)
    for arrival in random.sample(merged, k=min(2, len(merged))):
        arrival.jump_ns = random.choice([-_HOUR_NS, _HOUR_NS])
    return merged


def differing_seeds(seeds: Iterable[int]) -> tuple[list[int], int]:
    """Return the seeds with other results than in order, and how many findings there are in order."""
    requests = encoded_spans()
    expected = analyse(in_order(requests))
    differing = [seed for seed in seeds if analyse(shuffled(requests, seed)) != expected]
    return differing, sum("detector" in each for each in expected.documents)


def measure() -> Outcome:
    """Compare."""
    differing, findings = differing_seeds(range(SEEDS))
    got = f"{SEEDS - len(differing)} of {SEEDS} orders with the same {findings} findings and executions"
    if differing:
        got += f"; others with seeds {differing[:5]}"
    return Outcome(got=got, reached=not differing and findings > 0)


FIGURE: Final = Figure(
    number=17,
    title="order and clocks",
    asked=f"the same findings for {SEEDS} orders with duplicates, late spans and clock jumps of an hour",
    measure=measure,
)
