"""Detector: an agent or a graph that goes round in circles."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, TypeAlias

from otel_wfperf.analysis.failures import has_failed
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import mad, median
from otel_wfperf.detectors.effects import changes_state, changes_with_time
from otel_wfperf.detectors.margin import widened
from otel_wfperf.detectors.place import agent_of, is_inside_of_agent, subject_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Remove,
    Severity,
    Subject,
    SubjectKind,
)

_Mark: TypeAlias = tuple[object, ...]
_CALLS: Final = frozenset({OperationKind.TOOL, OperationKind.RETRIEVAL})
_STEPS: Final = frozenset({OperationKind.PHASE, OperationKind.AGENT})
# Chosen: wrappers end a little after what they wrap.
_TOLERANCE_NS: Final = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Report steps that are gone through again and again without anything new, and hand-offs to and fro.

    Nothing new means: equal inputs and equal results (or errors), turn after turn. Pages, items and drafts are left
    alone, for their inputs or results differ; so is polling, which ends when a result differs, or asks a tool that by
    its name changes with time. A single call that is repeated is a loop only where a model asked for it each time;
    code that makes it again is `repeated_call`, or `retry_storm` when it fails. Without recorded inputs and results
    nothing can be told, but for hand-offs: two agents that pass the work to and fro, with no new call of a tool.

    Attributes:
        min_turns: Fewest turns. Chosen: a second look is a check, a third one learns nothing new.
        max_cycle: Longest cycle (steps). Chosen: the turns of the agent frameworks have up to six steps.
        min_handoffs: Fewest times that one agent passes the work to another which passes it back. Chosen: a question,
            its answer and two corrections are a conversation.
    """

    name: ClassVar[str] = "loop"
    min_turns: int = 3
    max_cycle: int = 6
    min_handoffs: int = 4

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each agent, phase or workflow that goes round."""
        found: dict[Subject, list[_Round]] = {}
        for execution in population.executions:
            for each in self.rounds(execution):
                found.setdefault(each.subject, []).append(each)
        for subject, rounds in found.items():
            changes: dict[str, list[Remove]] = {}
            for each in rounds:
                changes.setdefault(each.execution.trace_id, []).append(Remove(each.superfluous))
            impact = replayed(population, changes)
            if impact is not None:
                impact = dataclasses.replace(impact, saving=widened(impact.saving, _spread_s(rounds)))
                yield _finding(self.name, population, subject, rounds=rounds, impact=impact)

    def rounds(self, execution: Execution) -> Iterator[_Round]:
        """Yield what goes round in one run, whatever time it takes."""
        taken: set[str] = set()
        for scope, steps in execution.once(_repetitive, self.min_turns):
            for each in self._cycles(execution, execution.by_id[scope], steps):
                taken.update(step.span_id for step in each.steps)
                yield each
        for each in self._handoffs(execution):
            if taken.isdisjoint(step.span_id for step in each.steps):
                yield each

    def _cycles(self, execution: Execution, scope: Operation, steps: Sequence[Operation]) -> Iterator[_Round]:
        marks = [_mark(step) for step in steps]
        at = 0
        while at < len(steps):
            length, turns = self._longest(marks, at)
            end = at + length * turns
            if turns >= self.min_turns:
                found = _Round(execution, scope, tuple(steps[at:end]), length)
                polled = end < len(steps) and _answers_differ(steps[at], steps[end])
                if not polled and found.is_loop:
                    yield found
                at = end
            else:
                at += 1

    def _longest(self, marks: Sequence[_Mark | None], at: int) -> tuple[int, int]:
        """Return the cycle that starts at a place and covers most: its length, and its turns."""
        best = (1, 1)
        for length in range(1, self.max_cycle + 1):
            end = at + length
            while end < len(marks) and marks[end] is not None and marks[end] == marks[end - length]:
                end += 1
            turns = (end - at) // length
            if marks[at] is not None and turns >= self.min_turns and turns * length > best[0] * best[1]:
                best = (length, turns)
        return best

    def _handoffs(self, execution: Execution) -> Iterator[_Round]:
        """Yield the longest exchange between two agents that brought nothing new."""
        passed = [each for each in execution.of_kind(OperationKind.HANDOFF) if each.handoff_from]
        if len(passed) < 2 * self.min_handoffs - 1:
            return
        news = _news_ns(execution)
        start = 0
        for end in range(1, len(passed) + 1):
            goes_on = end < len(passed) and _returns(passed[end - 1], passed[end])
            if goes_on and not _any_between(news, passed[end - 1].start_ns, passed[end].start_ns):
                continue
            if end - start >= 2 * self.min_handoffs - 1:
                yield _Round(execution, execution.root, tuple(passed[start:end]), 2)
            start = end


@dataclass(frozen=True, slots=True)
class _Round:
    """Turns of one cycle.

    Attributes:
        scope: The agent, phase or workflow that goes round.
        steps: The steps of all turns, in order.
        length: Steps of one turn (count).
    """

    execution: Execution
    scope: Operation
    steps: tuple[Operation, ...]
    length: int

    @property
    def turns(self) -> int:
        """How often it went round (count)."""
        return -(-len(self.steps) // self.length)

    @property
    def names(self) -> tuple[str, ...]:
        """The steps of one turn."""
        return tuple(step.name for step in self.steps[: self.length])

    @property
    def is_exchange(self) -> bool:
        """Whether agents pass work to and fro; then nothing shows that their answers are the same."""
        return self.steps[0].kind is OperationKind.HANDOFF

    @property
    def subject(self) -> Subject:
        if self.is_exchange:
            return Subject(kind=SubjectKind.AGENT, name=", ".join(sorted(set(self.names))))
        if self.scope.kind in (OperationKind.AGENT, OperationKind.PHASE):
            return agent_of(self.scope) or subject_of(self.scope)
        return Subject(kind=SubjectKind.WORKFLOW, name=self.execution.workflow)

    @property
    def is_loop(self) -> bool:
        """Whether it is more than one call that code makes again, and nothing that is asked again on purpose."""
        if any(changes_with_time(step.name) for step in self.steps[: self.length]):
            return False
        if all(step.kind in _CALLS and changes_state(step.name) and not has_failed(step) for step in self.steps):
            return False
        alone = self.length == 1 and (self.steps[0].kind in _CALLS or has_failed(self.steps[0]))
        return not alone or self._is_asked_for_each_time()

    def _is_asked_for_each_time(self) -> bool:
        asked = [each.start_ns for each in self.execution.of_kind(OperationKind.LLM)]
        return all(_any_between(asked, earlier.end_ns, later.start_ns) for earlier, later in pairwise(self.steps))

    @property
    def members(self) -> tuple[Operation, ...]:
        """What runs from the third turn on below the scope."""
        start_ns, end_ns = self.steps[2 * self.length - 1].end_ns, self.steps[-1].end_ns
        parent_id = self.scope.span_id
        return tuple(
            each
            for each in self.execution.children(parent_id)
            if each.start_ns >= start_ns - _TOLERANCE_NS and each.end_ns <= end_ns + _TOLERANCE_NS
        )

    @property
    def superfluous(self) -> frozenset[str]:
        """Span ids of what runs after the second turn."""
        members = self.members or self.steps[2 * self.length :]
        return frozenset(each.span_id for each in members)

    @property
    def after_s(self) -> float:
        """Time after the second turn (seconds)."""
        return (self.steps[-1].end_ns - self.steps[2 * self.length - 1].end_ns) / 1e9


def _spread_s(rounds: Sequence[_Round]) -> float:
    """Return how much turns differ in length (seconds): what follows the second turn may differ as much."""
    lengths = []
    for each in rounds:
        ends = [step.end_ns for step in each.steps[each.length - 1 :: each.length]]
        lengths += [later - earlier for earlier, later in pairwise(ends)]
    return mad(lengths) / 1e9


def _sequences(execution: Execution) -> dict[str, list[Operation]]:
    """List the calls and steps by the nearest agent or phase around them; the parts of an agent are the agent's."""
    scopes = {execution.root_id: execution.root_id}
    found: dict[str, list[Operation]] = {}
    for operation in execution.descendants(execution.root_id):
        scope = scopes[operation.parent_id or execution.root_id]
        part = operation.kind is OperationKind.PHASE and is_inside_of_agent(operation.name, operation.agent)
        is_step = operation.kind in _STEPS and not part
        scopes[operation.span_id] = operation.span_id if is_step else scope
        if is_step or operation.kind in _CALLS:
            found.setdefault(scope, []).append(operation)
    for steps in found.values():
        steps.sort(key=lambda each: (each.start_ns, each.span_id))
    return {scope: steps for scope, steps in found.items() if _is_serial(steps)}


def _repetitive(execution: Execution, min_turns: int) -> Sequence[tuple[str, list[Operation]]]:
    """Return the sequences in which anything brings nothing new for so many turns, next to each other or not."""
    found = []
    for scope, steps in _sequences(execution).items():
        marks = Counter(mark for step in steps if (mark := _mark(step)) is not None) if len(steps) >= min_turns else {}
        if max(marks.values(), default=0) >= min_turns:
            found.append((scope, steps))
    return found


def _is_serial(steps: Sequence[Operation]) -> bool:
    """Tell whether most steps run one after another; those that run at once do not wait for each other."""
    overlapping = sum(later.start_ns < earlier.end_ns - _TOLERANCE_NS for earlier, later in pairwise(steps))
    return 2 * overlapping < len(steps)


def _mark(step: Operation) -> _Mark | None:
    """Return what must be equal for two steps to bring nothing new; None where that is not known."""
    result = step.error if has_failed(step) else step.output_hash
    if step.input_hash is None or result is None:
        return None
    return (step.kind, step.name, step.input_hash, result)


def _answers_differ(step: Operation, later: Operation) -> bool:
    """Tell whether the same question was answered differently in the end."""
    same_question = (step.kind, step.name, step.input_hash) == (later.kind, later.name, later.input_hash)
    return same_question and _mark(step) != _mark(later)


def _returns(earlier: Operation, later: Operation) -> bool:
    return later.handoff_from == earlier.name and later.name == earlier.handoff_from


def _news_ns(execution: Execution) -> list[int]:
    """Return when calls of tools brought something that no call before had brought."""
    seen: set[_Mark] = set()
    news = []
    for call in execution.of_kind(*_CALLS):
        mark = _mark(call)
        if mark is None or mark not in seen:
            news.append(call.start_ns)
        if mark is not None:
            seen.add(mark)
    return news


def _any_between(moments_ns: Sequence[int], start_ns: int, end_ns: int) -> bool:
    """Tell whether a moment of a sorted list lies in an interval, its ends included."""
    at = bisect_left(moments_ns, start_ns)
    return at < len(moments_ns) and moments_ns[at] <= end_ns


def _finding(
    detector: str, population: Population, subject: Subject, *, rounds: Sequence[_Round], impact: Impact
) -> Finding:
    turns = round(median([each.turns for each in rounds]))
    names = rounds[0].names
    exchange = any(each.is_exchange for each in rounds)
    after_s = median([each.after_s for each in rounds])
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, Severity.MEDIUM if exchange else Severity.CRITICAL),
        confidence=Confidence.ASSUMED if exchange else Confidence.OBSERVED,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(step for each in rounds for step in each.steps),
        summary=(
            f"{subject.name!r} goes through {' > '.join(map(repr, names))} {turns} times without a new result; "
            f"{after_s:.2g} s pass after the second turn"
        ),
        evidence={
            "turns": turns,
            "cycle": names,
            "members": tuple(sorted({name for each in rounds for name in each.names})),
            "after_second_turn_s": round(after_s, 4),
            "results_equal": None if exchange else True,
            "failing": any(has_failed(step) for each in rounds for step in each.steps),
            "places": tuple(sorted({each.scope.name for each in rounds})),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=(
            f"Stop {subject.name!r} when a turn brings nothing new: check for progress, and limit the number of turns."
        ),
        changes=impact.changes,
    )
