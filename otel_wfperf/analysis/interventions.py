"""Changes that a person might make to a workflow, and what they mean for the operations of its runs.

Each is planned over all executions at once, as caches, fits of time on tokens and medians span runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from otel_wfperf.analysis.selection import Target
from otel_wfperf.analysis.service_time import MIN_CALLS, ServiceTime, service_time, uncached_tokens
from otel_wfperf.analysis.statistics import median
from otel_wfperf.errors import InputError
from otel_wfperf.model import Change, Confidence, Execution, Operation, OperationKind, Remove, Replace, Scale, Shorten

CACHE_SCOPES: Final = ("run", "runs", "warm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an intervention does to the operations.

    Attributes:
        changes: By trace id of the runs that it touches.
        confidence: How well it is known that this is what it would do.
        assumptions: One sentence each.
    """

    changes: Mapping[str, Sequence[Change]]
    confidence: Confidence = Confidence.OBSERVED
    assumptions: tuple[str, ...] = ()


class PlanError(InputError):
    """An intervention means nothing for these executions, or cannot be told.

    Attributes:
        problem: What is wrong, to be followed by the targets; the message says why.
    """

    def __init__(self, message: str, *, problem: str = "cannot tell for") -> None:
        """Keep the problem apart from its reason."""
        self.problem = problem
        super().__init__(message)


class Intervention(Protocol):
    """One change that a person might make."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it is made to; checked against the names that exist."""
        ...

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """Say what it changes; raise PlanError with the reason when nothing can be told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Multiply the length of operations and all below them; 0.7 = 30 % less time, 0 = gone."""

    targets: tuple[Target, ...]
    factor: float

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        changes: dict[str, list[Change]] = {}
        for execution in executions:
            spans = frozenset(each.span_id for each in _selected(self.targets, execution))
            if spans:
                changes[execution.trace_id] = [Scale(spans, self.factor) if self.factor else Remove(spans)]
        return Plan(changes=changes, assumptions=tuple(self._assumptions()))

    def _assumptions(self) -> Iterator[str]:
        if not self.factor:
            yield "What is removed is needed by nothing else."
        if self.factor > 1:
            names = ", ".join(target.text for target in self.targets)
            yield f"{names} becomes slower, not faster: it takes {self.factor:.3g} times as long."


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Answer equal calls from a cache.

    A call is a hit when an equal one (same name, model and input) had succeeded before it started. Calls that run side
    by side with the first are made, as most caches do.

    Attributes:
        hit_ns: Length of a hit (nanoseconds).
        scope: ``run``: the cache is empty when a run starts; ``runs``: it lives on between them; ``warm``: every call
            is a hit.
    """

    targets: tuple[Target, ...]
    hit_ns: int = 0
    scope: str = "run"

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        calls = [each for execution in executions for each in _selected(self.targets, execution)]
        unknown = sum(call.input_hash is None for call in calls)
        if self.scope != "warm" and calls and unknown == len(calls):
            raise PlanError(
                f"the inputs of its {len(calls)} calls are not recorded, so equal calls cannot be told; "
                "record content hashes, or add scope=warm to let every call hit"
            )
        hits, stale = self._hits(sorted(calls, key=lambda call: (call.start_ns, call.trace_id, call.span_id)))
        changes: dict[str, list[Change]] = {}
        for call in hits:
            hit_ns = min(self.hit_ns, call.duration_ns)
            changes.setdefault(call.trace_id, []).append(Replace(frozenset({call.span_id}), hit_ns))
        return Plan(
            changes=changes,
            confidence=Confidence.ASSUMED if unknown else Confidence.OBSERVED,
            assumptions=tuple(self._assumptions(len(hits), len(calls), unknown, stale)),
        )

    def _hits(self, calls: Sequence[Operation]) -> tuple[list[Operation], int]:
        """Return the calls that hit, and how many of them had another result than the call that filled the cache."""
        filled: dict[tuple[object, ...], Operation] = {}
        hits, stale = [], 0
        for call in calls:
            if self.scope == "warm":
                hits.append(call)
                continue
            run = call.trace_id if self.scope == "run" else ""
            key = (run, call.kind, call.name, call.model, call.input_hash)
            first = filled.get(key)
            if call.input_hash is None:
                continue
            if first is not None and first.end_ns <= call.start_ns:
                hits.append(call)
                stale += None not in (first.output_hash, call.output_hash) and first.output_hash != call.output_hash
            elif call.error is None and (first is None or call.end_ns < first.end_ns):
                filled[key] = call
        return hits, stale

    def _assumptions(self, hits: int, calls: int, unknown: int, stale: int) -> list[str]:
        said = [f"{hits} of {calls} calls are answered from the cache, each in {self.hit_ns / 1e6:g} ms."]
        if unknown and self.scope != "warm":
            said.append(f"{unknown} calls have no recorded input and are made as before.")
        if stale:
            said.append(f"{stale} of the hits had another result than the first call: a cache would serve old answers.")
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveWork:
    """Let the work of one agent be done by another: its model calls take what the other's would for their tokens."""

    targets: tuple[Target, ...]
    to: Target

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        ours, theirs = _calls_below(self.targets, executions), _calls_below((self.to,), executions)
        for targets, calls in ((self.targets, ours), ((self.to,), theirs)):
            if not calls and _exist(targets, executions):
                raise PlanError(f"no model calls of {targets[0].text} are recorded, and only those would be moved")
        known = [[call for call in calls if call.tokens is not None] for calls in (ours, theirs)]
        usual, expected = map(service_time, known)
        if usual is None or expected is None or len(known[0]) < len(ours):
            return self._by_medians(ours, theirs)
        changes: dict[str, list[Change]] = {}
        for call in ours:
            # What made this call fast or slow, for its tokens, would do so there too.
            length_ns = round(expected.expected_ns(call) * usual.ratio(call))
            changes.setdefault(call.trace_id, []).append(Replace(frozenset({call.span_id}), length_ns))
        said = (
            f"A model call of {self.to.name!r} takes {_fit(expected)} (fit of {len(known[1])} calls).",
            "Tools stay as fast.",
            f"{self.to.name!r} has room for the additional work and needs as many calls and tokens.",
        )
        return Plan(changes=changes, assumptions=said)

    def _by_medians(self, ours: Sequence[Operation], theirs: Sequence[Operation]) -> Plan:
        """Scale the model calls as the medians of both differ: of the time per token out where all say how many."""
        if not ours or not theirs:
            return Plan(changes={})
        counted = all(call.tokens is not None and call.tokens.output > 0 for call in (*ours, *theirs))
        usual, expected = (median([_pace_ns(call, per_token=counted) for call in calls]) for calls in (ours, theirs))
        factor = expected / max(1.0, usual)
        spans: dict[str, set[str]] = {}
        for call in ours:
            spans.setdefault(call.trace_id, set()).add(call.span_id)
        per = "for each token out" if counted else "whatever the tokens, which are not recorded"
        counts = f"medians of {len(theirs)} and {len(ours)} calls"
        said = (
            f"A model call of {self.to.name!r} takes {factor:.2g} times as long, {per} ({counts}).",
            "Tools stay as fast.",
            f"{self.to.name!r} has room for the additional work and needs as many calls and tokens.",
        )
        changes = {trace_id: [Scale(frozenset(found), factor)] for trace_id, found in spans.items()}
        return Plan(changes=changes, confidence=Confidence.ASSUMED, assumptions=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextLimit:
    """Cut the prompts of an agent to a number of tokens."""

    targets: tuple[Target, ...]
    tokens: int

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        ours = [call for call in _calls_below(self.targets, executions) if call.tokens is not None]
        fits = _fits(ours, executions)
        if not fits:
            raise PlanError(
                f"{len(ours)} of its model calls have token counts, and no model of theirs has {MIN_CALLS} to fit time "
                "on tokens; analyze more runs together"
            )
        changes: dict[str, list[Change]] = {}
        cut = 0
        for call in ours:
            fit = fits.get(call.model)
            extra = max(0, uncached_tokens(call) - self.tokens)
            if fit is not None and extra:
                cut += 1
                by_ns = min(call.duration_ns, round(fit.input_ns * extra))
                changes.setdefault(call.trace_id, []).append(Shorten(frozenset({call.span_id}), by_ns))
        said = [f"{cut} of {len(ours)} prompts are longer than {self.tokens} tokens outside the prompt cache."]
        said += [f"A call of {model or 'the model'} takes {_fit(fit)}." for model, fit in fits.items()]
        return Plan(changes=changes, assumptions=(*said, "Shorter prompts lead to the same answers."))


def _selected(targets: Sequence[Target], execution: Execution) -> list[Operation]:
    found = {each.span_id: each for target in targets for each in target.operations(execution)}
    return sorted(found.values(), key=lambda each: (each.start_ns, each.span_id))


def _calls_below(targets: Sequence[Target], executions: Sequence[Execution]) -> list[Operation]:
    """List the model calls inside operations that succeeded, in order of time within each run."""
    found: dict[tuple[str, str], Operation] = {}
    for execution in executions:
        for operation in _selected(targets, execution):
            for each in (operation, *execution.descendants(operation.span_id)):
                if each.kind is OperationKind.LLM and each.error is None:
                    found[execution.trace_id, each.span_id] = each
    return list(found.values())


def _exist(targets: Sequence[Target], executions: Sequence[Execution]) -> bool:
    return any(target.operations(execution) for target in targets for execution in executions)


def _pace_ns(call: Operation, *, per_token: bool) -> float:
    """Return how long a call took, or each token of its answer (nanoseconds)."""
    return call.duration_ns / call.tokens.output if per_token and call.tokens is not None else float(call.duration_ns)


def _fits(calls: Sequence[Operation], executions: Sequence[Execution]) -> Mapping[str | None, ServiceTime]:
    """Fit time on tokens for each model that the calls use, over all calls of that model."""
    like: dict[str | None, list[Operation]] = {call.model: [] for call in calls}
    for execution in executions:
        for call in execution.of_kind(OperationKind.LLM):
            if call.model in like and call.tokens is not None and call.error is None:
                like[call.model].append(call)
    fits = {model: service_time(found) for model, found in like.items()}
    return {model: fit for model, fit in fits.items() if fit is not None}


def _fit(fit: ServiceTime) -> str:
    return (
        f"{fit.base_ns / 1e9:.2g} s and {fit.output_ns / 1e6:.2g} ms per token out, {fit.input_ns / 1e6:.2g} ms per "
        "uncached token in"
    )
