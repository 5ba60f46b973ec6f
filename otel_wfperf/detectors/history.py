"""What the parts of a workflow took over time, and what was changed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from otel_wfperf.analysis.parts import PartFigures
from otel_wfperf.analysis.population import Population
from otel_wfperf.detectors.place import is_inside_of_agent
from otel_wfperf.model import Execution, ExecutionStatus, Subject, SubjectKind

# Chosen: a value that nine of ten runs of a window have is what the window stands for.
_PURITY: Final = 0.9
# Chosen: more values than that are one of each run or each input, and no releases.
_MAX_VALUES: Final = 10
HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One part of one run that succeeded."""

    execution: Execution
    figures: PartFigures

    @property
    def start_ns(self) -> int:
        """Start of the run (nanoseconds since the Unix epoch)."""
        return self.execution.start_ns

    def block(self, hours: int) -> int:
        """Return the part of the day (UTC) in which the run began, numbered in steps of some hours."""
        return self.start_ns // HOUR_NS % 24 // hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Something that differs between two windows of runs.

    Attributes:
        what: service version, model or prompt.
        before: What it was.
        after: What it is now.
    """

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return one phrase for a sentence."""
        return f"{self.what} {self.before} became {self.after}"


def histories(population: Population) -> dict[Subject, list[Sample]]:
    """List what each part took in each run that succeeded, oldest first.

    Left out are the phases that every agent of a framework is made of: the agent stands for them.
    """
    found: dict[Subject, list[Sample]] = {}
    for execution, run in zip(population.executions, population.figures, strict=True):
        if execution.status is not ExecutionStatus.OK:
            continue
        for part, figures in run.parts.items():
            if not figures.failed and not _stands_for_agent(part, figures):
                found.setdefault(part, []).append(Sample(execution, figures))
    return found


def _stands_for_agent(part: Subject, figures: PartFigures) -> bool:
    agents = [each.name for each in figures.within if each.kind is SubjectKind.AGENT]
    return part.kind is SubjectKind.PHASE and bool(agents) and is_inside_of_agent(part.name, agents[0])


def places_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Name the phases and agents around a part."""
    around = frozenset.intersection(*(each.figures.within for each in samples))
    return tuple(sorted({each.name for each in around if each.kind is not SubjectKind.WORKFLOW}))


def _versions(figures: PartFigures) -> str:
    services = {service for service, _ in figures.versions}
    named = (version if len(services) == 1 else f"{service} {version}" for service, version in figures.versions)
    return ", ".join(sorted(named))


_LABELS: Final[Mapping[str, Callable[[PartFigures], str]]] = {
    "service version": _versions,
    "model": lambda figures: ", ".join(sorted(figures.models)),
    "prompt": lambda figures: ", ".join(sorted(figures.prompts)),
}


def generations(samples: Sequence[Sample]) -> Iterable[list[list[Sample]]]:
    """Divide samples by each thing that was changed: a list of groups, in order of first appearance.

    Runs that do not say which they are belong to none; where there is one group only, nothing was changed.
    """
    for label in _LABELS.values():
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            if value := label(sample.figures):
                groups.setdefault(value, []).append(sample)
        if 2 <= len(groups) <= _MAX_VALUES:
            yield list(groups.values())


def releases(before: Sequence[Sample], after: Sequence[Sample]) -> tuple[Release, ...]:
    """Name what differs between two windows, where nearly all runs of each have one value."""
    found = []
    for what, label in _LABELS.items():
        was, now = (_usual(label(each.figures) for each in side) for side in (before, after))
        if was and now and was != now:
            found.append(Release(what=what, before=was, after=now))
    return tuple(found)


def _usual(values: Iterable[str]) -> str | None:
    counts = Counter(values)
    value, count = counts.most_common(1)[0]
    return value if count >= _PURITY * counts.total() else None


def moment(unix_ns: int) -> str:
    """Write a moment as people do: ``2026-01-31 12:00 UTC``."""
    return datetime.fromtimestamp(unix_ns / 1e9, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
