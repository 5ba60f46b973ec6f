"""What the rules look at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.alerts.outcomes import Outcomes
from otel_wfperf.model import Finding

# Chosen: some hundred kB each; what was heard of longest ago makes room.
_MAX_LEVELS: Final = 2_000
_MAX_FINDINGS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One execution that runs now.

    Attributes:
        workflow: Its name; None = not known yet.
        start_ns: When it began, at the latest (nanoseconds since the Unix epoch).
    """

    trace_id: str
    workflow: str | None
    start_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The last value of a gauge.

    Attributes:
        metric: Name of the metric.
        service: Whose it is, such as ``checkout``, with the attributes of the value if it has any.
        instance: Which process of the service; empty = not said.
        unit: UCUM unit; empty = not said.
        at_ns: When it came (nanoseconds since the Unix epoch, by our clock).
    """

    metric: str
    service: str
    instance: str
    value: float
    unit: str
    at_ns: int


class Levels:
    """The last value of each gauge of each process."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._levels: OrderedDict[tuple[str, str, str], Level] = OrderedDict()

    def put(self, level: Level) -> None:
        """Take in a value."""
        key = level.metric, level.service, level.instance
        self._levels[key] = level
        self._levels.move_to_end(key)
        while len(self._levels) > _MAX_LEVELS:
            self._levels.popitem(last=False)

    def of(self, metric: str, *, since_ns: int) -> Iterator[Level]:
        """Yield the values of a metric that came since a moment."""
        return (each for each in self._levels.values() if each.metric == metric and each.at_ns >= since_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFinding:
    """A finding and when an execution last had it (nanoseconds since the Unix epoch, by our clock)."""

    finding: Finding
    trace_id: str
    seen_ns: int


class SeenFindings:
    """What executions were found to have lately, each cause once."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._seen: OrderedDict[str, SeenFinding] = OrderedDict()

    def put(self, seen: SeenFinding) -> None:
        """Take in what an execution has."""
        key = seen.finding.fingerprint
        self._seen[key] = seen
        self._seen.move_to_end(key)
        while len(self._seen) > _MAX_FINDINGS:
            self._seen.popitem(last=False)

    def since(self, moment_ns: int) -> Iterator[SeenFinding]:
        """Yield what was seen since a moment (nanoseconds since the Unix epoch)."""
        return (each for each in self._seen.values() if each.seen_ns >= moment_ns)


@dataclass(slots=True, kw_only=True)
class Facts:
    """All of it.

    Attributes:
        running: What runs now.
        outcomes: How executions ended.
        levels: Gauges of processes.
        findings: What executions were found to have.
    """

    running: Sequence[Running] = ()
    outcomes: Outcomes = field(default_factory=Outcomes)
    levels: Levels = field(default_factory=Levels)
    findings: SeenFindings = field(default_factory=SeenFindings)
