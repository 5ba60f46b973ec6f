"""Detector: an agent whose callers queue for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import ClassVar, TypeVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.queue_replay import waits_ns
from otel_wfperf.analysis.service_time import service_time
from otel_wfperf.analysis.statistics import median
from otel_wfperf.analysis.summary import invocations_by_agent, total_tokens
from otel_wfperf.analysis.timeline import busy_ns, in_flight_at_arrival
from otel_wfperf.detectors.place import agent_of
from otel_wfperf.detectors.queueing import (
    Knee,
    knee,
    reconstructed,
    requests_of,
    utilisation,
    wait_ratio_with_one_more,
    with_one_more,
)
from otel_wfperf.detectors.severity import at_most, examples, replayed
from otel_wfperf.model import (
    Advice,
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Replace,
    Scale,
    Severity,
    Subject,
    SubjectKind,
    TokenUsage,
)

_Item = TypeVar("_Item")

# A person and a back-off are not capacity.
_QUEUES = frozenset({"queue", "concurrency", "rate_limit", "lock"})
_RECOMMENDATIONS = {
    "queue": "Add a replica of what {name!r} waits for, or admit fewer calls at once.",
    "concurrency": "Raise the limit that {name!r} waits for, if what is behind it can take more.",
    "rate_limit": "Spread the calls of {name!r} over time or ask the provider for a higher rate.",
    "lock": "Hold the lock that {name!r} waits for only while it is needed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOverload:
    """Report agents that spend their time queueing.

    Recorded waits are evidence as they stand. Without them, calls that take the longer the more others run when they
    arrive give a queue away; durations are compared after the tokens are allowed for, so that big jobs that
    come together are no queue. Waits for people and back-off between retries do not count.

    The saving is that of one more server. First come, first served is replayed with as many servers as explain the
    waits, or, where none are recorded, the order of arrivals and departures. That runs which wait less also send their
    next call earlier is not replayed. Where no such queue explains the times, the mean wait of one more server
    is taken from a formula, and unrecorded waits are taken to vanish.

    Attributes:
        min_wait_share: Least share of waiting in the time with the agent (0..1). Chosen: below, the
            time of the call itself is the better lever.
        min_waits: Fewest waits. Chosen: a burst of fewer is chance.
        min_waits_of_low: Fewest waits to mention it as ``low``. Chosen: a single run has no more.
        min_calls: Fewest calls for the test without recorded waits, and for full confidence. Chosen: see ``knee``.
        min_clear_calls: The same where the correlation is clear; it is ``medium`` then. Chosen: what its significance
            test takes.
        min_clear_correlation: Least rank correlation to be clear. Chosen: bursts served one by one show 0.9 and more.
        min_correlation: Least rank correlation of duration and concurrency. Chosen: see ``knee``.
        min_knee_ratio: Least ratio of durations at high to those at low concurrency. Chosen: see ``knee``.
        min_utilisation: Share of time in which the agent is busy, as a second sign (0..1). Chosen: from
            here on a queue is four calls long (rho / (1 - rho), M/M/1).
    """

    name: ClassVar[str] = "agent_overload"
    min_wait_share: float = 0.30
    min_waits: int = 5
    min_waits_of_low: int = 3
    min_calls: int = 30
    min_clear_calls: int = 20
    min_clear_correlation: float = 0.8
    min_correlation: float = 0.5
    min_knee_ratio: float = 1.5
    min_utilisation: float = 0.8

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each agent; for each phase or resource where no agent is known."""
        loads = _loads(population)
        for subject, load in loads.items():
            if load.waits:
                yield from self._from_waits(population, subject, load)
            elif len(load.calls) >= self.min_clear_calls and any(in_flight_at_arrival(load.calls)):
                yield from self._from_concurrency(population, subject, load)

    def _from_waits(self, population: Population, subject: Subject, load: _Load) -> Iterator[Finding]:
        if len(load.waits) < self.min_waits_of_low or load.wait_share < self.min_wait_share:
            return
        servers, changes = _one_more_for_waits(load)
        busy = utilisation(load.calls or load.waits, load.waits, servers)
        few = len(load.waits) < self.min_calls
        wait_s = mean(wait.duration_ns for wait in load.waits) / 1e9
        summary = (
            f"Calls of {subject.name!r} wait {wait_s:.2g} s on average ({load.wait_kind}), "
            f"{100 * load.wait_share:.0f} % of their time"
        )
        evidence: dict[str, str | float] = {
            "waits": len(load.waits),
            "mean_wait_s": round(wait_s, 4),
            "wait_share_ratio": round(load.wait_share, 4),
            "wait_kind": load.wait_kind,
            "servers": servers,
            "utilisation_ratio": round(busy, 4),
            "max_queue_depth": max((wait.queue_depth or 0 for wait in load.waits), default=0),
        }
        limit = Severity.CRITICAL
        if few:
            limit = Severity.MEDIUM if len(load.waits) >= self.min_waits else Severity.LOW
        confidence = Confidence.INDICATIVE if few else Confidence.OBSERVED
        draft = _Draft(subject, load, summary, evidence, confidence, servers, limit)
        yield from draft.finding(self.name, population, changes)

    def _from_concurrency(self, population: Population, subject: Subject, load: _Load) -> Iterator[Finding]:
        ratios = _adjusted(load.calls, load.tokens)
        bend = knee(load.calls, ratios)
        few = len(load.calls) < self.min_calls
        least = self.min_clear_correlation if few else self.min_correlation
        queues = bend.is_significant and bend.correlation >= least and bend.ratio >= self.min_knee_ratio
        servers, changes = (load.servers, {}) if not queues else _one_more_for_calls(load, ratios, bend)
        busy = utilisation(load.calls, (), load.servers)
        if not queues or (bend.wait_share < self.min_wait_share and busy < self.min_utilisation):
            return
        summary = (
            f"Calls of {subject.name!r} take {bend.ratio:.1f} times as long when many of them run at once, which looks "
            "like a queue"
        )
        limit = Severity.MEDIUM if few else Severity.CRITICAL
        confidence = Confidence.INDICATIVE if few else Confidence.OBSERVED
        draft = _Draft(subject, load, summary, _knee_evidence(load, bend, busy), confidence, servers, limit)
        yield from draft.finding(self.name, population, changes)


@dataclass(frozen=True, slots=True)
class _Load:
    """The calls of one agent over all runs with the tokens below each, and what waited for it."""

    calls: tuple[Operation, ...]
    tokens: tuple[TokenUsage, ...]
    waits: tuple[Operation, ...]
    inside: tuple[Operation, ...] = ()

    @property
    def servers(self) -> int:
        """How many calls can be served at once, as declared; 1 when nothing is."""
        return max((each.concurrency_limit or 1 for each in (*self.waits, *self.calls)), default=1)

    @property
    def wait_share(self) -> float:
        """Share of waiting in the time with the agent, each run for itself."""
        by_run: dict[str, tuple[list[Operation], list[Operation]]] = {}
        for call in self.calls:
            by_run.setdefault(call.trace_id, ([], []))[0].append(call)
        for wait in self.waits:
            by_run.setdefault(wait.trace_id, ([], []))[1].append(wait)
        waiting = sum(busy_ns(waits) for _, waits in by_run.values())
        total = sum(busy_ns([*calls, *waits]) for calls, waits in by_run.values())
        return waiting / max(1, total)

    @property
    def wait_kind(self) -> str:
        """Kind of most of the waiting."""
        totals: dict[str, int] = {}
        for wait in self.waits:
            totals[wait.wait_kind or ""] = totals.get(wait.wait_kind or "", 0) + wait.duration_ns
        return max(sorted(totals), key=totals.__getitem__)


@dataclass(frozen=True, slots=True)
class _RunLoad:
    """The calls of the agents of one run with the tokens below each, and what waited for them."""

    calls: Mapping[Subject, Sequence[Operation]]
    tokens: Mapping[Subject, Sequence[TokenUsage]]
    waits: Mapping[Subject, Sequence[Operation]]


def _loads(population: Population) -> Mapping[Subject, _Load]:
    runs = [execution.once(_run_load) for execution in population.executions]
    calls = _joined(run.calls for run in runs)
    tokens = _joined(run.tokens for run in runs)
    waits = _joined(run.waits for run in runs)
    served = _served(population, waits)
    return {
        subject: _Load(
            tuple(calls.get(subject, ())),
            tuple(tokens.get(subject, ())),
            tuple(waits.get(subject, ())),
            tuple(served.get(subject, ())),
        )
        for subject in {**calls, **waits}
    }


def _run_load(execution: Execution) -> _RunLoad:
    calls: dict[Subject, list[Operation]] = {}
    tokens: dict[Subject, list[TokenUsage]] = {}
    waits: dict[Subject, list[Operation]] = {}
    for invocations in invocations_by_agent(execution).values():
        for call in invocations:
            subject = agent_of(call)
            if subject is not None and call.ended and call.error is None:
                calls.setdefault(subject, []).append(call)
                below = execution.descendants(call.span_id)
                tokens.setdefault(subject, []).append(total_tokens([call, *below]))
    for wait in execution.operations:
        if wait.wait_kind in _QUEUES:
            subject = agent_of(wait) or Subject(kind=SubjectKind.RESOURCE, name=wait.name)
            waits.setdefault(subject, []).append(wait)
    return _RunLoad(calls, tokens, waits)


def _joined(runs: Iterable[Mapping[Subject, Sequence[_Item]]]) -> Mapping[Subject, list[_Item]]:
    """Put together what belongs to the same subject, run by run."""
    found: dict[Subject, list[_Item]] = {}
    for run in runs:
        for subject, items in run.items():
            found.setdefault(subject, []).extend(items)
    return found


def _served(population: Population, waits: Mapping[Subject, Sequence[Operation]]) -> Mapping[Subject, list[Operation]]:
    """List what may have been waited for: of each subject that has waits, everything that belongs to it."""
    found: dict[Subject, list[Operation]] = {subject: [] for subject in waits}
    for execution in population.executions if waits else ():
        for each in execution.operations:
            subject = agent_of(each)
            if subject in found and each.kind is not OperationKind.WAIT and each.ended:
                found[subject].append(each)
    return found


def _adjusted(calls: Sequence[Operation], tokens: Sequence[TokenUsage]) -> Sequence[float]:
    """Return each duration over what its tokens need; over the median where there are too few to tell."""
    sized = [dataclasses.replace(call, tokens=used) for call, used in zip(calls, tokens, strict=True)]
    expected = service_time(sized)
    if expected is None:
        middle = median([call.duration_ns for call in calls]) if calls else 1
        return [call.duration_ns / max(1.0, middle) for call in calls]
    return [expected.ratio(call) for call in sized]


def _one_more_for_waits(load: _Load) -> tuple[int, Mapping[str, Sequence[Change]]]:
    """Return the servers there are, and the changes that one more makes.

    Replayed where the calls behind the waits are known and explain them; by the formula of the mean wait elsewhere.
    """
    requests = None if load.wait_kind == "rate_limit" else requests_of(load.waits, load.inside)
    replay = with_one_more(requests) if requests else None
    changes: dict[str, list[Change]] = {}
    if requests is None or replay is None:
        busy = utilisation(load.calls or load.waits, load.waits, load.servers)
        left = wait_ratio_with_one_more(load.servers, busy)
        for wait in load.waits:
            changes.setdefault(wait.trace_id, []).append(Scale(frozenset({wait.span_id}), left))
        return load.servers, changes
    servers, waits = replay
    for request, wait_ns in zip(requests, waits, strict=True):
        if request.wait_ns:
            change = Replace(frozenset({request.operation.span_id}), min(wait_ns, request.wait_ns))
            changes.setdefault(request.operation.trace_id, []).append(change)
    return servers, changes


def _one_more_for_calls(load: _Load, ratios: Sequence[float], bend: Knee) -> tuple[int, Mapping[str, Sequence[Change]]]:
    """Return the same for calls whose waits nobody recorded: they are taken from the order of arrivals and departures.

    Where no queue explains those, calls as fast as when few others run are what can be hoped for.
    """
    changes: dict[str, list[Change]] = {}
    found = reconstructed(load.calls)
    if found is None:
        for call, ratio in zip(load.calls, ratios, strict=True):
            factor = min(1.0, bend.unloaded / max(1e-9, ratio))
            changes.setdefault(call.trace_id, []).append(Scale(frozenset({call.span_id}), factor))
        return load.servers, changes
    servers, requests = found
    arrivals, services = [each.arrival_ns for each in requests], [each.service_ns for each in requests]
    for request, wait_ns in zip(requests, waits_ns(arrivals, services, servers + 1), strict=True):
        call = request.operation
        factor = (request.service_ns + min(wait_ns, request.wait_ns)) / max(1, call.duration_ns)
        changes.setdefault(call.trace_id, []).append(Scale(frozenset({call.span_id}), min(1.0, factor)))
    return servers, changes


def _knee_evidence(load: _Load, bend: Knee, busy: float) -> Mapping[str, float]:
    return {
        "calls": len(load.calls),
        "correlation": round(bend.correlation, 4),
        "high_concurrency_ratio": round(bend.ratio, 2),
        "estimated_wait_share_ratio": round(bend.wait_share, 4),
        "utilisation_ratio": round(busy, 4),
    }


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the two rules found, before it is weighed."""

    subject: Subject
    load: _Load
    summary: str
    evidence: Mapping[str, str | float]
    confidence: Confidence
    servers: int
    limit: Severity = Severity.CRITICAL

    def finding(
        self, detector: str, population: Population, changes: Mapping[str, Sequence[Change]]
    ) -> Iterator[Finding]:
        """Yield the finding if the replay shows that it is worth it."""
        impact = replayed(population, changes)
        if impact is None:
            return
        kind = self.load.wait_kind if self.load.waits else "queue"
        optimizer = "concurrency_limiter" if kind == "rate_limit" else "capacity_scaler"
        yield Finding(
            detector=detector,
            severity=at_most(impact.severity, self.limit),
            confidence=self.confidence,
            workflow=population.workflow,
            subject=self.subject,
            trace_ids=impact.trace_ids,
            span_ids=examples(self.load.waits or self.load.calls),
            summary=self.summary,
            evidence={**self.evidence, "runs": len(population.executions), "runs_affected": impact.runs},
            saving=impact.saving,
            changes=impact.changes,
            recommendation=_RECOMMENDATIONS[kind].format(name=self.subject.name),
            advice=Advice(optimizer=optimizer, knob=f"servers:{self.subject.name}", value=self.servers + 1),
        )
