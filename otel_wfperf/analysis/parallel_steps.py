"""Steps that would run together instead of one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_wfperf.analysis.interventions import Plan
from otel_wfperf.analysis.selection import Target
from otel_wfperf.model import Change, Confidence, Execution, Operation, OperationKind, Parallelise

_CONTAINERS: Final = frozenset({"workflow", "phase", "agent"})
_STEPS: Final = frozenset({OperationKind.PHASE, OperationKind.AGENT, OperationKind.TOOL, OperationKind.RETRIEVAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Start steps at once: those directly inside one phase, agent or workflow, or siblings of several names.

    Nothing moves across a model call or a wait for a person between the steps: what comes after may rest on it.

    Attributes:
        capacity: How many run at once (count); None = what the traces say is the limit, else all.
    """

    targets: tuple[Target, ...]
    capacity: int | None = None

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        groups = [(execution, group) for execution in executions for group in self._groups(execution)]
        changes: dict[str, list[Change]] = {}
        limits = set[int]()
        for execution, group in groups:
            capacity = self.capacity or _recorded_limit(execution, group)
            limits |= {capacity} if capacity is not None and capacity < len(group) else set()
            change = Parallelise(frozenset(each.span_id for each in group), capacity)
            changes.setdefault(execution.trace_id, []).append(change)
        said = [] if groups else ["Nothing can start together: no two steps follow each other without a model call."]
        if limits and self.capacity is None:
            said.append(f"At most {min(limits)} run at once: the least limit recorded for these calls.")
        elif groups and self.capacity is None:
            said.append("All start at once: no limit on calls is recorded.")
        proven = bool(groups) and all(_is_proven(group) for _, group in groups)
        if not proven and groups:
            said.append("The steps need nothing from each other: neither one model turn nor a declared graph shows it.")
        if groups:
            said.append("Each step takes as long beside the others as alone; what they share does not slow them down.")
        return Plan(
            changes=changes,
            confidence=Confidence.PROVEN if proven else Confidence.ASSUMED,
            assumptions=tuple(said),
        )

    def _groups(self, execution: Execution) -> Iterator[tuple[Operation, ...]]:
        [first, *others] = self.targets
        if not others and first.kind in _CONTAINERS and first.is_one_name:
            for container in first.operations(execution):
                yield from _series(execution, container, None)
            return
        meant = {each.span_id for target in self.targets for each in target.operations(execution)}
        members = {_outermost_alone(execution, span_id) for span_id in meant}
        for parent_id in dict.fromkeys(execution.by_id[member].parent_id for member in sorted(members)):
            if parent_id is not None and parent_id in execution.by_id:
                yield from _series(execution, execution.by_id[parent_id], members)


def _series(execution: Execution, parent: Operation, members: set[str] | None) -> Iterator[tuple[Operation, ...]]:
    """Divide the steps of one parent where a model call or a person stands between; single steps are no series."""
    group: list[Operation] = []
    for child in execution.children(parent.span_id):
        is_member = _holds_step(execution, child) if members is None else child.span_id in members
        if is_member:
            group.append(child)
        elif _divides(execution, child):
            if len(group) > 1:
                yield tuple(group)
            group = []
    if len(group) > 1:
        yield tuple(group)


def _holds_step(execution: Execution, child: Operation) -> bool:
    """Tell whether a span is a step, or says nothing about the only step inside it."""
    while child.kind is OperationKind.OTHER:
        inner = execution.children(child.span_id)
        if len(inner) != 1:
            return False
        child = inner[0]
    return child.kind in _STEPS


def _outermost_alone(execution: Execution, span_id: str) -> str:
    """Go out of spans that are not about agents and hold nothing else."""
    for outer in execution.ancestors(span_id):
        if outer.kind is not OperationKind.OTHER or len(execution.children(outer.span_id)) != 1:
            break
        span_id = outer.span_id
    return span_id


def _divides(execution: Execution, child: Operation) -> bool:
    stack = [child]
    while stack:
        each = stack.pop()
        if each.kind is OperationKind.LLM or each.wait_kind == "human":
            return True
        if each.kind is OperationKind.OTHER:
            stack.extend(execution.children(each.span_id))
    return False


def _recorded_limit(execution: Execution, group: Sequence[Operation]) -> int | None:
    limits = [
        each.concurrency_limit
        for member in group
        for each in (member, *execution.descendants(member.span_id))
        if each.concurrency_limit is not None and each.concurrency_limit > 0
    ]
    return min(limits, default=None)


def _is_proven(group: Sequence[Operation]) -> bool:
    """Tell whether one model turn asked for all of them, or a declared graph has no edge between them."""
    turns = {each.turn for each in group}
    if len(turns) == 1 and None not in turns:
        return True
    names = {each.name for each in group}
    declared = all(each.depends_on is not None and names.isdisjoint(each.depends_on) for each in group)
    return declared and all(first.name != second.name for first, second in pairwise(group))
