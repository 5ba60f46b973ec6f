"""Whether a step could have started without waiting for an earlier one, and how well that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from otel_wfperf.analysis.fragments import FragmentClass, of_class, produced, shares_content
from otel_wfperf.analysis.waiting import overlap_tolerance_ns
from otel_wfperf.detectors.effects import changes_state, decides
from otel_wfperf.detectors.series import Unit
from otel_wfperf.model import CALLS, Confidence, Execution, Operation, OperationKind

# Source: Mystery Machine (Chow et al., OSDI 2014): one counter-example over many traces ends a happens-before
# hypothesis. Chosen: two of at least 20, as clocks of several hosts make one by chance.
_MIN_RUNS_OF_PAIR: Final = 20
_MIN_RUNS_VARIED: Final = 2
# Chosen: anything longer has a fragment if it was looked at.
_READ_BYTES: Final = 64


class Verdict(Enum):
    """What is known of a pair of steps; ``UNKNOWN``: timing alone."""

    DECLARED = "declared graph"
    TURN = "same model turn"
    CONTENT = "content"
    ORDER = "order varied"
    UNKNOWN = "timing"
    DEPENDENT = "dependent"

    @property
    def confidence(self) -> Confidence:
        """How well independence is supported."""
        return _CONFIDENCE[self]


_CONFIDENCE: Final = {
    Verdict.DECLARED: Confidence.PROVEN,
    Verdict.TURN: Confidence.PROVEN,
    Verdict.CONTENT: Confidence.OBSERVED,
    Verdict.ORDER: Confidence.OBSERVED,
    Verdict.UNKNOWN: Confidence.ASSUMED,
    Verdict.DEPENDENT: Confidence.ASSUMED,
}


@dataclass(frozen=True)
class Orders:
    """In which order pairs of siblings appeared in some runs; each pair is looked at once."""

    executions: Sequence[Execution]
    _known: dict[frozenset[str], bool] = field(default_factory=dict)

    def vary(self, first: str, second: str) -> bool:
        """Tell whether the order of two steps changed often enough to be free."""
        pair = frozenset({first, second})
        if pair not in self._known:
            self._known[pair] = first != second and self._vary(first, second)
        return self._known[pair]

    def _vary(self, first: str, second: str) -> bool:
        """Count how often they appeared, how often at once, and how often the other way round."""
        seen = overlapped = in_order = 0
        for execution in self.executions:
            steps = execution.once(_single_steps)
            ours, theirs = steps.get(first, {}), steps.get(second, {})
            for parent_id in ours.keys() & theirs.keys():
                seen += 1
                if _ran_together(ours[parent_id], theirs[parent_id]):
                    overlapped += 1
                else:
                    in_order += _place(ours[parent_id]) < _place(theirs[parent_id])
        varied = overlapped + min(in_order, seen - overlapped - in_order)
        return seen >= _MIN_RUNS_OF_PAIR and varied >= _MIN_RUNS_VARIED


def judge(execution: Execution, first: Unit, second: Unit, *, siblings: Sequence[Unit], orders: Orders) -> Verdict:
    """Tell how the later of two steps depends on the earlier one.

    A declared graph outweighs content, content outweighs the order seen. Without a declaration a step that changes
    state, or decides what runs next, has effects that no telemetry shows: whatever follows depends on it.
    """
    if second.depends_on is not None:
        return Verdict.DEPENDENT if first.name in _predecessors(second, siblings) else Verdict.DECLARED
    hidden = decides(first.name) or any(execution.once(_has_effects, unit) for unit in (first, second))
    if hidden:
        return Verdict.DEPENDENT
    used = execution.once(_uses, first, second)
    if used is not None:
        return Verdict.DEPENDENT if used else Verdict.CONTENT
    return Verdict.ORDER if orders.vary(first.name, second.name) else Verdict.UNKNOWN


def passed_on(earlier: Operation, later: Operation) -> bool:
    """Tell whether a call was given a complete value that an earlier one returned, and not been given itself.

    Longer fragments do not count: arguments that one model chose are about one topic.
    """
    returned = of_class(earlier.output_fragments - earlier.input_fragments, FragmentClass.WHOLE)
    return not returned.isdisjoint(later.input_fragments)


def _has_effects(execution: Execution, unit: Unit) -> bool:
    names = [unit.name]
    for step in unit.steps:
        names += [each.name for each in execution.descendants(step.span_id) if each.kind is OperationKind.TOOL]
    return any(map(changes_state, names))


def _predecessors(unit: Unit, siblings: Sequence[Unit]) -> frozenset[str]:
    """Follow the declared graph backwards; a sibling that declares nothing may need anything before it."""
    needs: dict[str, tuple[str, ...]] = {}
    for at, each in enumerate(siblings):
        before = tuple(earlier.name for earlier in siblings[:at])
        needs[each.name] = before if each.depends_on is None else each.depends_on
    found: set[str] = set()
    queue = list(unit.depends_on or ())
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += needs.get(name, ())
    return frozenset(found)


def _uses(execution: Execution, first: Unit, second: Unit) -> bool | None:
    """Tell whether the second was given, or passed on, something that the first produced; None: cannot tell.

    Absence counts only where presence would show: what the first produced must turn up in some later input or in
    the result of the run.
    """
    result = _produced(execution, first)
    given = _given(execution, second)
    if not result or not given:
        return None
    passed_on = _union(step.output_fragments for step in second.steps)
    # Two results on one topic share phrases; a complete value in both was handed on.
    if result & of_class(passed_on, FragmentClass.WHOLE):
        return True
    shared = shares_content(result, given)
    if shared is not False:
        return shared
    if _is_partly_unread(_calls(execution, second)):
        return None
    return False if _is_used_later(execution, result, second.end_ns) else None


def _is_used_later(execution: Execution, result: frozenset[int], moment_ns: int) -> bool:
    """Tell whether some of a result turns up in an input from a moment on, or in the result of the run."""
    if not result.isdisjoint(execution.root.output_fragments):
        return True
    last_given_ns = execution.once(_last_given_ns)
    return any(last_given_ns.get(each, moment_ns - 1) >= moment_ns for each in result)


def _last_given_ns(execution: Execution) -> Mapping[int, int]:
    """Return when each fragment of a result was given to a call last (nanoseconds since the Unix epoch)."""
    results = _union(each.output_fragments for each in execution.operations)
    # Operations come in order of start: the last one stays.
    return {each: call.start_ns for call in execution.operations for each in call.input_fragments & results}


def _produced(execution: Execution, unit: Unit) -> frozenset[int]:
    """Return the fragments of a step's result, without what it was given itself."""
    output = _union(step.output_fragments for step in unit.steps)
    if not output:
        output = _union(call.output_fragments for call in _calls(execution, unit))
    given = _union(step.input_fragments for step in unit.steps) | _given(execution, unit)
    return produced(output, given)


def _given(execution: Execution, unit: Unit) -> frozenset[int]:
    """Return the fragments of what a step's calls were given; of its own input when it makes none.

    Orchestrators hand each step the whole state, so a step's own input shows what it could use, not what it used.
    """
    calls = _union(call.input_fragments for call in _calls(execution, unit))
    return calls or _union(step.input_fragments for step in unit.steps)


def _calls(execution: Execution, unit: Unit) -> list[Operation]:
    return [each for step in unit.steps for each in execution.descendants(step.span_id) if each.kind in CALLS]


def _is_partly_unread(calls: Sequence[Operation]) -> bool:
    """Tell whether of some calls the input was looked at and of others not, as it was too long."""
    unread = [not call.input_fragments and (call.input_bytes or 0) > _READ_BYTES for call in calls]
    return any(unread) and any(call.input_fragments for call in calls)


def _union(parts: Iterable[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*parts)


def _ran_together(first: Operation, second: Operation) -> bool:
    """Tell whether two steps overlap by more than the clocks and the scheduling of steps in a row make them."""
    both_ns = min(first.end_ns, second.end_ns) - max(first.start_ns, second.start_ns)
    shorter = min(first, second, key=lambda each: each.duration_ns)
    return both_ns > overlap_tolerance_ns(shorter)


def _single_steps(execution: Execution) -> Mapping[str, Mapping[str, Operation]]:
    """Return the steps that occur once below their parent, by name and id of the parent."""
    found: dict[str, dict[str, Operation]] = {}
    for parent_id, siblings in execution.children_by_id.items():
        steps = [each for each in siblings if each.kind in (OperationKind.PHASE, OperationKind.AGENT)]
        names = Counter(each.name for each in steps)
        for each in steps:
            if names[each.name] == 1:
                found.setdefault(each.name, {})[parent_id] = each
    return found


def _place(operation: Operation) -> tuple[int, int, str]:
    return operation.start_ns, -operation.end_ns, operation.span_id
