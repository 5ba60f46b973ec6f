"""The page of what the sidecar costs."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_HEAD: Final = """\
# What the sidecar costs

<!-- Made by `{command}`; do not edit. -->

Measured with Python {python} on {cpus} CPUs; medians of {rounds} rounds in which each program has its turn with the
same requests of 512 spans (executions of 16 spans, 12 attributes a span). All forward to a sink of their own,
uncompressed. The sidecar keeps everything in its log, analyses every execution and stores it; "compared" is the share
of the executions that detectors looked at: when more comes than there is time for, they look at some. The Collector
limits its memory, keeps traces for tail sampling and makes span metrics. CPU time is that of the whole process until
nothing is left to do; latency is from call to answer at {paced:,} spans/s.

| program | spans per CPU-second | of the Collector's | accepted in, p50 | p99 | resident set | compared |
|---|---:|---:|---:|---:|---:|---:|
"""
_CURVE: Final = """
## As there is more of it

The sidecar alone, without forwarding.

| load | spans per CPU-second | resident set | compared |
|---|---:|---:|---:|
"""
_COLLECTOR: Final = "OpenTelemetry Collector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One turn of one program.

    Attributes:
        lost: Spans that were refused (count).
        compared_ratio: Share of the executions that detectors looked at; None = it has none.
    """

    spans_per_cpu_s: float
    p50_ms: float
    p99_ms: float
    rss_bytes: int
    lost: int
    compared_ratio: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The cost of one load."""

    load: str
    result: Result


def page(results: Mapping[str, Sequence[Result]], curves: Sequence[Curve], command: str, *, paced: int = 4_000) -> str:
    """Write the page."""
    rounds = max(map(len, results.values()))
    python = platform.python_version()
    head = _HEAD.format(command=command, python=python, cpus=os.cpu_count(), rounds=rounds, paced=paced)
    collectors = results.get(_COLLECTOR)
    yardstick = statistics.median(each.spans_per_cpu_s for each in collectors) if collectors else None
    text = head + "\n".join(_row(name, found, yardstick) for name, found in results.items()) + "\n"
    if curves:
        text += _CURVE + "\n".join(_curve_row(each) for each in curves) + "\n"
    return text


def _row(name: str, found: Sequence[Result], yardstick: float | None) -> str:
    rate = statistics.median(each.spans_per_cpu_s for each in found)
    ratio = f"{rate / yardstick:.2f}" if yardstick else ""
    p50, p99 = (statistics.median(getattr(each, key) for each in found) for key in ("p50_ms", "p99_ms"))
    rss = max(each.rss_bytes for each in found) / 2**20
    shares = [each.compared_ratio for each in found if each.compared_ratio is not None]
    compared = f"{statistics.median(shares):.0%}" if shares else ""
    return f"| {name} | {rate:,.0f} | {ratio} | {p50:.1f} ms | {p99:.1f} ms | {rss:.0f} MiB | {compared} |"


def _curve_row(curve: Curve) -> str:
    result = curve.result
    compared = f"{result.compared_ratio:.0%}" if result.compared_ratio is not None else ""
    return f"| {curve.load} | {result.spans_per_cpu_s:,.0f} | {result.rss_bytes / 2**20:.0f} MiB | {compared} |"
