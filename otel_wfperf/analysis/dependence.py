"""What the telemetry says of two steps: that the later one waits for the earlier one, that it does not, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from otel_wfperf.analysis.waiting import overlap_tolerance_ns
from otel_wfperf.model import CALLS, Execution, Operation, OperationKind


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps below one parent, earliest first.

    Attributes:
        by_child: Each step, by the span id of the parent's child that it is or that holds nothing else.
    """

    execution: Execution
    parent: Operation
    by_child: Mapping[str, Operation] = field(init=False)
    _needs: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find them, and read the declared graph: a step that declares nothing may need anything before it."""
        children = self.execution.children(self.parent.span_id)
        found = ((child.span_id, step_in(self.execution, child)) for child in children)
        object.__setattr__(self, "by_child", {span_id: step for span_id, step in found if step is not None})
        needs: dict[str, tuple[str, ...]] = {}
        for step in self.by_child.values():
            if step.name not in needs:
                needs[step.name] = tuple(needs) if step.depends_on is None else step.depends_on
        object.__setattr__(self, "_needs", needs)

    def why_after(self, earlier: str, later: str) -> str | None:
        """Say why one step (named by its child) waits for another; None where nothing shows that it does."""
        first, second = self.by_child[earlier], self.by_child[later]
        if self._are_apart(first, second):
            return None
        if second.depends_on is not None:
            chain = self._chain(second, first.name)
            return f"{second.name} waits for {', which waits for '.join(chain)} (declared)" if chain else None
        if first.name == second.name and first.error is not None:
            return f"{second.name} is tried again after it failed"
        if self.execution.once(_uses, first.span_id, second.span_id):
            which = "the one before" if first.name == second.name else first.name
            return f"{second.name} waits for {which}: it was given a part of its result"
        return None

    def is_free_of(self, later: str, earlier: str) -> bool:
        """Tell whether something shows that one step (named by its child) does not wait for another."""
        first, second = self.by_child[earlier], self.by_child[later]
        declared = second.depends_on is not None and not self._chain(second, first.name)
        return declared or self._are_apart(first, second)

    def _are_apart(self, first: Operation, second: Operation) -> bool:
        """Tell whether one model turn asked for both, or the second began while the first still ran."""
        one_turn = first.turn is not None and first.turn == second.turn
        return one_turn or second.start_ns + overlap_tolerance_ns(self.parent) < first.end_ns

    def _chain(self, step: Operation, wanted: str) -> Sequence[str]:
        """Return the shortest way through the declared graph from what a step needs to a name; empty = there is none.

        A step of a loop does not wait for the one of its own name by way of the others.
        """
        ways: dict[str, tuple[str, ...]] = {name: (name,) for name in step.depends_on or ()}
        queue = list(ways)
        for name in queue:
            for needed in self._needs.get(name, ()) if name != wanted else ():
                if needed not in ways and needed != step.name:
                    ways[needed] = (*ways[name], needed)
                    queue.append(needed)
        return ways.get(wanted, ())


def step_in(execution: Execution, child: Operation) -> Operation | None:
    """Return the step that a span is, or the only one inside a span that says nothing about it."""
    while child.kind is OperationKind.OTHER:
        inner = execution.children(child.span_id)
        if len(inner) != 1:
            return None
        child = inner[0]
    return child


def _uses(execution: Execution, earlier_id: str, later_id: str) -> bool:
    """Tell whether the calls of a step were given something that another produced and had not been given itself."""
    earlier, later = execution.by_id[earlier_id], execution.by_id[later_id]
    given = earlier.input_fragments | _given(execution, earlier)
    output = earlier.output_fragments or _union(call.output_fragments for call in _calls(execution, earlier))
    return not (output - given).isdisjoint(_given(execution, later))


def _given(execution: Execution, step: Operation) -> frozenset[int]:
    """Return the fragments that a step's calls were given; orchestrators hand the step itself the whole state."""
    return _union(call.input_fragments for call in _calls(execution, step)) or step.input_fragments


def _calls(execution: Execution, step: Operation) -> list[Operation]:
    return [each for each in execution.descendants(step.span_id) if each.kind in CALLS]


def _union(parts: Iterable[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*parts)
