"""Detector: calls are slow while the machine is short of something."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import service_time
from otel_wfperf.analysis.statistics import median, spearman
from otel_wfperf.detectors.severity import Impact, examples, replayed
from otel_wfperf.model import (
    CALLS,
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    ResourceUse,
    Scale,
    Subject,
    SubjectKind,
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign that a resource is short.

    Attributes:
        name: Public name of the resource.
        unit: Suffix of its figures in the evidence.
        threshold: Value from which on it is short.
        read: Takes the value out of a recording.
        recommendation: What to do.
    """

    name: str
    unit: str
    threshold: float
    read: Callable[[ResourceUse], float | None]
    recommendation: str


# Chosen: of ten seconds one lost to the CPU is felt, for memory and for what other guests take half of that; a tenth of
# a second of event-loop lag delays every call in the process.
SIGNALS = (
    Signal("cpu", "ratio", 0.10, lambda use: use.cpu_pressure_ratio, "Give the process more CPU or run less at once."),
    Signal(
        "memory", "ratio", 0.05, lambda use: use.memory_pressure_ratio, "Raise the memory limit or keep less in memory."
    ),
    Signal("cpu steal", "ratio", 0.05, lambda use: use.steal_ratio, "Move to a host that is less shared."),
    Signal(
        "event loop", "s", 0.1, lambda use: use.loop_lag_s, "Move blocking calls off the event loop, to a thread pool."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceContention:
    """Report a resource that is short in the same windows in which calls are slow, again and again.

    Calls are compared with what is usual for them, model calls after their tokens are allowed for. Windows of one host
    are short when the median of the signal reaches its threshold, quiet below half of that, and neither between.
    This is coincidence, and the finding says so.

    Attributes:
        window_ns: Length of a window (nanoseconds). Chosen: calls take seconds; windows of a minute would need
            hours of runs.
        min_windows: Fewest windows with calls. Chosen: a rank correlation of 0.7 is significant at 1 % from here.
        min_slow_ratio: Least ratio of the calls' slowness in short windows to that in quiet ones. Chosen: as
            for queueing.
        min_episodes: Fewest times that it became short. Chosen: twice is coincidence.
        min_correlation: Least rank correlation of signal and slowness over the windows. Chosen: as for queueing.
        min_baseline: Fewest calls of a thing to know what is usual. Chosen: as for fits of time on tokens.
    """

    name: ClassVar[str] = "resource_contention"
    window_ns: int = 10_000_000_000
    min_windows: int = 12
    min_slow_ratio: float = 1.5
    min_episodes: int = 3
    min_correlation: float = 0.5
    min_baseline: int = 8

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each resource of each host; the worst host speaks for a resource."""
        signals = [signal for signal in SIGNALS if _is_ever_short(signal, population)]
        samples = _samples(population, self.min_baseline) if signals else []
        for signal in signals:
            cases = []
            for host in sorted({sample.call.host for sample in samples}):
                windows = self._windows(signal, [sample for sample in samples if sample.call.host == host])
                case = _Case(signal, host, windows)
                if self._coincides(case):
                    cases.append(case)
            if cases:
                worst = max(cases, key=lambda case: case.slow_ratio)
                impact = replayed(population, worst.changes)
                if impact is not None:
                    yield _finding(self.name, population, worst, impact)

    def _windows(self, signal: Signal, samples: Sequence[_Sample]) -> tuple[_Window, ...]:
        found: dict[int, list[_Sample]] = {}
        for sample in samples:
            if sample.call.resources is not None and signal.read(sample.call.resources) is not None:
                found.setdefault(sample.call.start_ns // self.window_ns, []).append(sample)
        return tuple(_Window(number, tuple(found[number]), signal) for number in sorted(found))

    def _coincides(self, case: _Case) -> bool:
        if len(case.windows) < self.min_windows or len(case.quiet) < self.min_episodes:
            return False
        if case.episodes < self.min_episodes or case.slow_ratio < self.min_slow_ratio:
            return False
        # The normal approximation is a little lenient at 12 windows; the recurrence makes up for it.
        limit = NormalDist().inv_cdf(0.99) / math.sqrt(len(case.windows) - 1)
        return case.correlation >= max(self.min_correlation, limit)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A call, and its duration over what is usual for it."""

    call: Operation
    ratio: float


@dataclass(frozen=True, slots=True)
class _Window:
    """The calls that started in one stretch of time."""

    number: int
    samples: tuple[_Sample, ...]
    signal: Signal

    @property
    def value(self) -> float:
        values = [self.signal.read(sample.call.resources) for sample in self.samples if sample.call.resources]
        return median([value for value in values if value is not None])

    @property
    def slowness(self) -> float:
        return median([sample.ratio for sample in self.samples])

    @property
    def is_short(self) -> bool:
        return self.value >= self.signal.threshold

    @property
    def is_quiet(self) -> bool:
        return self.value < self.signal.threshold / 2


@dataclass(frozen=True, slots=True)
class _Case:
    """One signal of one host over all windows."""

    signal: Signal
    host: str
    windows: tuple[_Window, ...]

    @property
    def short(self) -> list[_Window]:
        return [window for window in self.windows if window.is_short]

    @property
    def quiet(self) -> list[_Window]:
        return [window for window in self.windows if window.is_quiet]

    @property
    def episodes(self) -> int:
        """Count the times that the resource became short."""
        return sum(is_short for is_short, _ in groupby(self.windows, key=lambda window: window.is_short))

    @property
    def quiet_slowness(self) -> float:
        return median([window.slowness for window in self.quiet])

    @property
    def slow_ratio(self) -> float:
        return median([window.slowness for window in self.short]) / max(1e-9, self.quiet_slowness)

    @property
    def correlation(self) -> float:
        return spearman([window.value for window in self.windows], [window.slowness for window in self.windows])

    @property
    def changes(self) -> Mapping[str, Sequence[Change]]:
        """Let calls be as fast as in quiet windows, by trace id."""
        changes: dict[str, list[Change]] = {}
        for window in self.short:
            for sample in window.samples:
                factor = min(1.0, self.quiet_slowness / max(1e-9, sample.ratio))
                change = Scale(frozenset({sample.call.span_id}), factor)
                changes.setdefault(sample.call.trace_id, []).append(change)
        return changes


def _is_ever_short(signal: Signal, population: Population) -> bool:
    """Tell whether a signal reaches its threshold during any call; on most machines none does."""
    return any(signal.name in execution.once(_short_signals) for execution in population.executions)


def _short_signals(execution: Execution) -> frozenset[str]:
    recorded = [call.resources for call in execution.of_kind(*CALLS) if call.resources is not None]
    return frozenset(
        signal.name for signal in SIGNALS if any((signal.read(use) or 0.0) >= signal.threshold for use in recorded)
    )


def _samples(population: Population, min_baseline: int) -> list[_Sample]:
    """Compare each call that has nothing below it with its like."""
    alike: dict[tuple[object, ...], list[Operation]] = {}
    for execution in population.executions:
        for call in execution.of_kind(*CALLS):
            if call.error is None and call.ended and not execution.children(call.span_id):
                size = 0 if call.kind is OperationKind.LLM else (call.input_bytes or 0).bit_length()
                alike.setdefault((call.service, call.kind, call.name, call.model, size), []).append(call)
    return [sample for calls in alike.values() if len(calls) >= min_baseline for sample in _compared(calls)]


def _compared(calls: Sequence[Operation]) -> Iterator[_Sample]:
    expected = service_time(calls) if calls[0].kind is OperationKind.LLM else None
    middle = max(1.0, median([call.duration_ns for call in calls]))
    for call in calls:
        yield _Sample(call, expected.ratio(call) if expected else call.duration_ns / middle)


def _finding(detector: str, population: Population, case: _Case, impact: Impact) -> Finding:
    signal = case.signal
    value = median([window.value for window in case.short])
    shown = f"{100 * value:.0f} %" if signal.unit == "ratio" else f"{value:.2g} s"
    slow = [sample.call for window in case.short for sample in window.samples]
    return Finding(
        detector=detector,
        severity=impact.severity,
        confidence=Confidence.OBSERVED,
        workflow=population.workflow,
        subject=Subject(kind=SubjectKind.RESOURCE, name=signal.name),
        trace_ids=impact.trace_ids,
        span_ids=examples(slow),
        summary=(
            f"Calls take {case.slow_ratio:.1f} times as long in the {len(case.short)} of {len(case.windows)} windows "
            f"that coincide with a shortage of {signal.name} (median {shown})"
        ),
        evidence={
            f"short_{signal.unit}": round(value, 4),
            f"threshold_{signal.unit}": signal.threshold,
            "slow_ratio": round(case.slow_ratio, 2),
            "correlation": round(case.correlation, 4),
            "windows": len(case.windows),
            "short_windows": len(case.short),
            "episodes": case.episodes,
            "host": case.host,
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=signal.recommendation,
    )
