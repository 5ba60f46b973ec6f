"""How much a finding matters: its predicted saving against the length of the runs."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median, saving_interval
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.model import Change, Operation, Saving, Severity

# Chosen: a third of the time is what people drop other work for, a twentieth what they plan for.
_LEAST_SHARES: Final = ((0.30, Severity.CRITICAL), (0.15, Severity.HIGH), (0.05, Severity.MEDIUM))

# Chosen: nobody changes a workflow for less, and gaps of up to 90 ms between spans are noise on a busy machine.
MIN_SAVING_NS: Final = 200_000_000
MIN_SAVING_RATIO: Final = 0.02

# Chosen: with fewer runs the interval of a median covers the whole sample.
MIN_RUNS: Final = 5
MAX_SPAN_IDS: Final = 10
MAX_TRACE_IDS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What the change that a finding proposes would win.

    Attributes:
        saving: Over the runs that are affected.
        share_ratio: Median saving over the run's length, times the share of the runs affected (0..1).
        trace_ids: Runs affected, newest last, at most ``MAX_TRACE_IDS``.
        runs: Runs affected (count).
        changes: What was replayed, by trace id; empty where the saving did not come from a replay.
    """

    saving: Saving
    share_ratio: float
    trace_ids: tuple[str, ...]
    runs: int
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict, repr=False)

    @property
    def severity(self) -> Severity:
        """Rank by the share of the end-to-end time."""
        return severity_of(self.share_ratio)


def severity_of(share_ratio: float) -> Severity:
    """Rank a share of the end-to-end time (0..1)."""
    return next((severity for least, severity in _LEAST_SHARES if share_ratio >= least), Severity.LOW)


def at_most(severity: Severity, limit: Severity) -> Severity:
    """Return the severity, or the limit when that is milder."""
    return max(severity, limit, key=lambda each: each.rank)


def min_saving_ns(population: Population) -> float:
    """Return the smallest saving worth reporting (nanoseconds)."""
    return max(MIN_SAVING_NS, MIN_SAVING_RATIO * population.median_duration_ns)


def measure(population: Population, savings_ns: Mapping[str, int]) -> Impact | None:
    """Weigh savings (nanoseconds by trace id of the runs affected); None when they are not worth reporting."""
    affected = [each for each in population.executions if each.trace_id in savings_ns]
    if not affected:
        return None
    savings = [savings_ns[each.trace_id] for each in affected]
    if median(savings) < min_saving_ns(population):
        return None
    shares = [saving / max(1, each.duration_ns) for saving, each in zip(savings, affected, strict=True)]
    return Impact(
        saving=saving_interval(savings),
        share_ratio=median(shares) * len(affected) / len(population.executions),
        trace_ids=tuple(each.trace_id for each in affected[-MAX_TRACE_IDS:]),
        runs=len(affected),
    )


def replayed(population: Population, changes: Mapping[str, Sequence[Change]]) -> Impact | None:
    """Weigh changes (by trace id of the runs affected) by replaying them; None when they are not worth reporting."""
    made = {trace_id: tuple(of_run) for trace_id, of_run in changes.items() if of_run}
    impact = measure(
        population,
        {
            each.trace_id: max(0, replay(each, made[each.trace_id]).saving_ns)
            for each in population.executions
            if each.trace_id in made
        },
    )
    return None if impact is None else dataclasses.replace(impact, changes=made)


def examples(operations: Iterable[Operation]) -> tuple[str, ...]:
    """Return the span ids of the longest operations, at most ``MAX_SPAN_IDS``, in order of time."""
    longest = sorted(operations, key=lambda each: (-each.duration_ns, each.span_id))[:MAX_SPAN_IDS]
    return tuple(each.span_id for each in sorted(longest, key=lambda each: (each.start_ns, each.span_id)))
