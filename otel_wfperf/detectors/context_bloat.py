"""Detector: an agent that sends ever more of what it has sent before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from otel_wfperf.analysis.fragments import FragmentClass, of_class
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import (
    CONVERGED_ROUNDS,
    ServiceTime,
    input_limits,
    service_time,
    uncached_tokens,
)
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.place import agent_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Advice,
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Severity,
    Shorten,
    Subject,
    SubjectKind,
    TokenUsage,
)
from otel_wfperf.model.finding import EvidenceValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBloat:
    """Report agents whose prompts grow from call to call within a run, and are paid for anew each time.

    Growth is what counts, not size: a document that is long from the first call on is the task. The calls must
    follow each other; prompts of parallel calls do not build on each other. Growth is judged on the whole prompt,
    but an agent whose provider had most of what was sent again in its cache is left alone: cached tokens cost
    little time and little money. The predicted saving counts uncached tokens only; its interval holds how well the time
    for one more of them is known, besides how the runs differ.

    Where neither agents nor phases are known, calls of several may be mixed: then it is ``low``. So are smaller
    prompts that grow as steeply: they will be large in longer conversations.

    Attributes:
        min_calls: Fewest calls in a run. Chosen: two steps of growth may be the task itself.
        min_growth_per_five: Least factor over five calls. Chosen: half as much again is more than a usual answer adds.
        min_total_growth: Least ratio of the last to the first prompt. Chosen: most of the last prompt is history.
        min_last_tokens: Least size of the last prompt (tokens). Chosen: smaller prompts take little time.
        min_resent_ratio: Least share of input that was sent before, for prompts that grow at least twofold (0..1).
            Chosen: agents that keep all they read are above, those that trim are below.
        max_resent_cached_ratio: Most of that which the cache had (0..1). Chosen: the prompt cache is not in use.
        max_window_ratio: Share of the model's window that is too much when prompts grow (0..1). Chosen: the next
            tool result may not fit.
        max_cached_ratio: Share of what was sent again that the cache had, from which on growth is harmless (0..1).
            Chosen: the remaining fifth is about what a new turn adds.
        early_growth: Least ratio of last to first prompt for the mild form. Chosen: five times in four calls doubles
            with every second call.
        early_last_tokens: Least last prompt for the mild form (tokens). Chosen: below, reading it takes no time.
        min_growing_ratio: Share of the steps in which the prompt must not shrink (0..1). Chosen: one trimmed turn.
    """

    name: ClassVar[str] = "context_bloat"
    min_calls: int = 4
    min_growth_per_five: float = 1.5
    min_total_growth: float = 3.0
    min_last_tokens: int = 8_000
    min_resent_ratio: float = 0.70
    max_resent_cached_ratio: float = 0.20
    max_window_ratio: float = 0.70
    max_cached_ratio: float = 0.80
    early_growth: float = 5.0
    early_last_tokens: int = 2_000
    min_growing_ratio: float = 0.8

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each agent; for each phase where no agents are known."""
        conversations: dict[Subject, list[_Conversation]] = {}
        for execution in population.executions:
            for conversation in execution.once(_conversations, self):
                conversations.setdefault(conversation.subject, []).append(conversation)
        for subject, found in conversations.items():
            bloated = [each for each in found if each.builds_up and self._is_bloated(each)]
            growing = [each for each in found if each.builds_up and self._is_growing(each)]
            # Half of the runs at least: a single long conversation is not how the agent works.
            known = subject.kind is not SubjectKind.WORKFLOW
            if 2 * len(bloated) >= len(found):
                yield self._finding(population, subject, bloated, limit=Severity.CRITICAL if known else Severity.LOW)
            elif 2 * len(growing) >= len(found):
                yield self._finding(population, subject, growing, limit=Severity.LOW)

    def _is_bloated(self, conversation: _Conversation) -> bool:
        grows = conversation.growth >= self.min_total_growth and conversation.last >= self.min_last_tokens
        steeply = conversation.growth_per_five >= self.min_growth_per_five
        resends = (
            conversation.growth >= 2.0
            and conversation.last >= self.min_last_tokens
            and conversation.resent_ratio >= self.min_resent_ratio
            and conversation.cached_ratio < self.max_resent_cached_ratio
        )
        fills = conversation.growth >= 1.5 and conversation.window_ratio >= self.max_window_ratio
        return (grows and steeply) or resends or fills

    def _is_growing(self, conversation: _Conversation) -> bool:
        return conversation.growth >= self.early_growth and conversation.last >= self.early_last_tokens

    def builds_up(self, conversation: _Conversation) -> bool:
        """Tell whether each call of a conversation says again what the one before said, and more."""
        return (
            len(conversation.calls) >= self.min_calls
            and conversation.is_sequential
            and conversation.growing_ratio >= self.min_growing_ratio
            and conversation.cached_ratio < self.max_cached_ratio
            and conversation.is_one
        )

    def _finding(
        self,
        population: Population,
        subject: Subject,
        found: Sequence[_Conversation],
        *,
        limit: Severity,
    ) -> Finding:
        impact = _impact(population, found)
        first = round(median([each.first for each in found]))
        last = round(median([each.last for each in found]))
        calls = round(median([len(each.calls) for each in found]))
        resent = round(median([each.resent for each in found]))
        many = "growing" if limit is Severity.LOW else "bloated"
        return Finding(
            detector=self.name,
            severity=_severity(impact, limit),
            confidence=Confidence.OBSERVED,
            workflow=population.workflow,
            subject=subject,
            trace_ids=impact.trace_ids if impact else tuple(each.trace_id for each in found[-100:]),
            span_ids=examples(max(each.calls, key=_input) for each in found),
            summary=(
                f"The prompt of {subject.name!r} is {many}: from {_spaced(first)} to {_spaced(last)} tokens in {calls} "
                f"calls, {_spaced(resent)} tokens sent again"
            ),
            evidence=_evidence(population, found),
            saving=impact.saving if impact else None,
            changes=impact.changes if impact else {},
            recommendation=(
                f"Summarise or drop old tool results in the prompt of {subject.name!r}, or let the provider cache "
                "its start."
            ),
            advice=Advice(
                optimizer="context_optimizer", knob=f"max_tokens:{subject.name}", value=max(first, last // 4)
            ),
        )


@dataclass(frozen=True, slots=True)
class _Conversation:
    """The model calls of one agent in one run, in order."""

    trace_id: str
    subject: Subject
    calls: tuple[Operation, ...]
    builds_up: bool = False

    @property
    def first(self) -> int:
        return _input(self.calls[0])

    @property
    def last(self) -> int:
        return _input(self.calls[-1])

    @property
    def growth(self) -> float:
        return self.last / max(1, self.first)

    @property
    def growth_per_five(self) -> float:
        steps = max(1, len(self.calls) - 1)
        return float(max(1e-9, self.growth) ** (5 / steps))

    @property
    def is_sequential(self) -> bool:
        return all(earlier.end_ns <= later.start_ns for earlier, later in pairwise(self.calls))

    @property
    def is_one(self) -> bool:
        """Whether each call repeats what the one before said, where content was seen: else they are different tasks."""
        return all(_repeats(earlier, later) for earlier, later in pairwise(self.calls))

    @property
    def growing_ratio(self) -> float:
        steps = [_input(later) >= _input(earlier) for earlier, later in pairwise(self.calls)]
        return sum(steps) / max(1, len(steps))

    @property
    def resent(self) -> int:
        """Tokens that an earlier call had sent or received already."""
        return sum(_resent(earlier, later) for earlier, later in pairwise(self.calls))

    @property
    def resent_ratio(self) -> float:
        return self.resent / max(1, sum(map(_input, self.calls)))

    @property
    def cached_ratio(self) -> float:
        """Share of what was sent again that the provider had in its cache."""
        cached = sum(min(_resent(earlier, later), _usage(later).cache_read) for earlier, later in pairwise(self.calls))
        return cached / max(1, self.resent)

    @property
    def window_ratio(self) -> float:
        limit = self.calls[-1].context.limit_tokens if self.calls[-1].context else None
        return self.last / limit if limit else 0.0

    def changes(self, expected: ServiceTime) -> Iterator[Shorten]:
        """Take off the time that reading the history anew takes; each call keeps the first prompt and what is new."""
        for earlier, later in pairwise(self.calls):
            extra = max(0, min(uncached_tokens(later), _resent(earlier, later)) - self.first)
            by_ns = min(round(expected.input_ns * extra), later.duration_ns)
            yield Shorten(frozenset({later.span_id}), by_ns)


def _conversations(execution: Execution, rule: ContextBloat) -> Sequence[_Conversation]:
    found: dict[tuple[Subject, str | None], list[Operation]] = {}
    for call in execution.of_kind(OperationKind.LLM):
        if call.error is None and _input(call) > 0:
            subject = agent_of(call) or Subject(kind=SubjectKind.WORKFLOW, name=execution.workflow)
            found.setdefault((subject, call.conversation), []).append(call)
    conversations = (_Conversation(execution.trace_id, subject, tuple(calls)) for (subject, _), calls in found.items())
    return [replace(each, builds_up=rule.builds_up(each)) for each in conversations]


def _repeats(earlier: Operation, later: Operation) -> bool:
    """Tell whether half of the complete messages of a prompt are in the next one; True where none were seen."""
    said = of_class(earlier.input_fragments, FragmentClass.WHOLE)
    return not later.input_fragments or 2 * len(said & later.input_fragments) >= len(said)


def _usage(call: Operation) -> TokenUsage:
    return call.tokens or TokenUsage()


def _input(call: Operation) -> int:
    return _usage(call).input


def _resent(earlier: Operation, later: Operation) -> int:
    return min(_input(later), _input(earlier) + _usage(earlier).output)


def _impact(population: Population, found: Sequence[_Conversation]) -> Impact | None:
    """Shorten the prompts of each run, as far as the fit of time on tokens says that it helps.

    The limits of the fit widen the interval in proportion, as the calls follow each other.
    """
    calls = _calls_of(population, frozenset(call.model for each in found for call in each.calls))
    expected = service_time(calls, rounds=CONVERGED_ROUNDS)
    if expected is None or not expected.input_ns:
        return None
    impact = replayed(population, _changes(found, expected))
    if impact is None:
        return None
    low, middle, high = (_taken_off_ns(found, each) for each in _around(calls, expected))
    saving = replace(
        impact.saving, low_s=impact.saving.low_s * low / middle, high_s=impact.saving.high_s * high / middle
    )
    return replace(impact, saving=saving)


def _calls_of(population: Population, models: frozenset[str | None]) -> Sequence[Operation]:
    return [
        call
        for execution in population.executions
        for call in execution.of_kind(OperationKind.LLM)
        if call.model in models and call.tokens is not None and call.error is None
    ]


def _around(calls: Sequence[Operation], expected: ServiceTime) -> tuple[ServiceTime, ServiceTime, ServiceTime]:
    low, high = input_limits(calls, expected)
    return low, expected, high


def _changes(found: Sequence[_Conversation], expected: ServiceTime) -> Mapping[str, Sequence[Change]]:
    changes: dict[str, list[Change]] = {}
    for each in found:
        changes.setdefault(each.trace_id, []).extend(each.changes(expected))
    return changes


def _taken_off_ns(found: Sequence[_Conversation], expected: ServiceTime) -> int:
    return sum(change.by_ns for each in found for change in each.changes(expected))


def _evidence(population: Population, found: Sequence[_Conversation]) -> dict[str, EvidenceValue]:
    return {
        "calls": round(median([len(each.calls) for each in found])),
        "first_input_tokens": round(median([each.first for each in found])),
        "last_input_tokens": round(median([each.last for each in found])),
        "growth_ratio": round(median([each.growth for each in found]), 2),
        "resent_tokens": round(median([each.resent for each in found])),
        "resent_ratio": round(median([each.resent_ratio for each in found]), 4),
        "cached_ratio": round(median([each.cached_ratio for each in found]), 4),
        "runs": len(population.executions),
        "runs_affected": len({each.trace_id for each in found}),
    }


def _severity(impact: Impact | None, limit: Severity) -> Severity:
    """Rank by time, but a bloated prompt is ``medium`` at least: its tokens are paid for whatever time they take."""
    by_time = impact.severity if impact else Severity.LOW
    return at_most(min(by_time, Severity.MEDIUM, key=lambda each: each.rank), limit)


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
