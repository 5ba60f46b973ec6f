"""Steps that would run together instead of one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from otel_wfperf.analysis.dependence import Steps
from otel_wfperf.analysis.interventions import Plan, PlanError
from otel_wfperf.analysis.selection import Target
from otel_wfperf.model import Change, Confidence, Execution, Operation, OperationKind, Parallelise

_CONTAINERS: Final = frozenset({"workflow", "phase", "agent"})
_STEPS: Final = frozenset({OperationKind.PHASE, OperationKind.AGENT, OperationKind.TOOL, OperationKind.RETRIEVAL})
# Chosen: more reasons than this are read by nobody.
_MAX_REASONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Start steps at once: those directly inside one phase, agent or workflow, or siblings of several names.

    What a declared graph or content shows to wait for another step stays after it. Nothing moves across a model call or
    a wait for a person, as what comes after may rest on it; nor across a step that is not meant, unless one model turn
    or a declared graph shows that it does not rest on that.

    Attributes:
        capacity: How many run at once (count); None = what the traces say is the limit, else all.
    """

    targets: tuple[Target, ...]
    capacity: int | None = None

    def plan(self, executions: Sequence[Execution]) -> Plan:
        """See Intervention."""
        found = [series for execution in executions for series in self._series(execution)]
        reasons = tuple(dict.fromkeys(reason for series in found for reason in series.reasons))
        if self._container is None:
            self._refuse_to_leave_out(found, reasons)
        changes: dict[str, list[Change]] = {}
        limits = set[int]()
        proven = True
        for series in found:
            execution = series.steps.execution
            for group in series.groups:
                capacity = self.capacity or _recorded_limit(execution, group)
                limits |= {capacity} if capacity is not None and capacity < len(group) else set()
                change = Parallelise(frozenset(each.span_id for each in group), capacity)
                changes.setdefault(execution.trace_id, []).append(change)
                proven &= _is_proven([series.steps.by_child.get(each.span_id, each) for each in group])
        if not changes:
            why = _listed(reasons) or "no two such steps are directly inside the same one"
            return Plan(changes={}, assumptions=(f"Nothing can start together: {why}.",))
        return Plan(
            changes=changes,
            confidence=Confidence.PROVEN if proven else Confidence.ASSUMED,
            assumptions=tuple(self._assumptions(limits, proven=proven, reasons=reasons)),
        )

    @property
    def _container(self) -> Target | None:
        """What the steps are inside of; None where they are named."""
        [first, *others] = self.targets
        return first if not others and first.kind in _CONTAINERS and first.is_one_name else None

    def _assumptions(self, limits: set[int], *, proven: bool, reasons: Sequence[str]) -> Iterator[str]:
        if reasons:
            yield f"What has to stay apart does: {_listed(reasons)}."
        if limits and self.capacity is None:
            yield f"At most {min(limits)} run at once: the least limit recorded for these calls."
        elif self.capacity is None:
            yield "All start at once: no limit on calls is recorded."
        if not proven:
            yield "The steps need nothing from each other: neither one model turn nor a declared graph shows it."
        yield "Each step takes as long beside the others as alone; what they share does not slow them down."

    def _series(self, execution: Execution) -> Iterator[_Series]:
        container = self._container
        if container is not None:
            yield from (_Series.of(execution, outer, None) for outer in container.operations(execution))
            return
        meant = {each.span_id for target in self.targets for each in target.operations(execution)}
        members = {_outermost_alone(execution, span_id) for span_id in meant}
        for parent_id in dict.fromkeys(execution.by_id[member].parent_id for member in sorted(members)):
            if parent_id is not None and parent_id in execution.by_id:
                yield _Series.of(execution, execution.by_id[parent_id], members)

    def _refuse_to_leave_out(self, found: Sequence[_Series], reasons: Sequence[str]) -> None:
        """Raise PlanError when something that the user named would start together with nothing in any run."""
        members = [(series, member) for series in found for member in series.members]
        names = {series.name_of(member) for series, member in members}
        moved = {series.name_of(member) for series in found for group in series.groups for member in group}
        if names == moved or (len(names) == 1 and not reasons):
            return
        elsewhere = f"{', '.join(sorted(names - moved))}: no step of the others is inside the same one"
        raise PlanError(
            f"{_listed(reasons) if reasons else elsewhere}; parallel workflow:NAME starts together what can",
            problem="cannot start together:",
        )


@dataclass(slots=True)
class _Series:
    """The steps of one parent, divided into groups that would start together.

    Attributes:
        members: The parent's children that are meant, earliest first.
        groups: Those of two or more.
        reasons: Why the groups are not one, a sentence each.
    """

    steps: Steps
    members: list[Operation] = field(default_factory=list)
    groups: list[tuple[Operation, ...]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    _group: list[Operation] = field(default_factory=list)
    _between: list[Operation] = field(default_factory=list)

    @classmethod
    def of(cls, execution: Execution, parent: Operation, meant: set[str] | None) -> _Series:
        """Divide the steps of a parent: all of them, or those meant (span ids)."""
        series = cls(Steps(execution, parent))
        for child in execution.children(parent.span_id):
            step = series.steps.by_child.get(child.span_id)
            is_step = step is not None and step.kind in _STEPS
            if is_step if meant is None else child.span_id in meant:
                series._add(child)
            elif _divides(execution, child) or is_step:
                series._between.append(child)
        series._close()
        return series

    def name_of(self, member: Operation) -> str:
        """Return the name of the step that a child of the parent is or holds."""
        return self.steps.by_child.get(member.span_id, member).name

    def _add(self, member: Operation) -> None:
        why = self._why_apart(member) if self._group else None
        if why is not None:
            self.reasons.append(why)
            self._close()
        if not self._group:
            self._between.clear()
        self._group.append(member)
        self.members.append(member)

    def _close(self) -> None:
        if len(self._group) > 1:
            self.groups.append(tuple(self._group))
        self._group = []

    def _why_apart(self, member: Operation) -> str | None:
        """Say why a step cannot start together with the group; None = it can."""
        steps, known = self.steps, self.steps.by_child
        if member.span_id not in known:
            return None
        for each in (*self._group, *self._between):
            why = steps.why_after(each.span_id, member.span_id) if each.span_id in known else None
            if why is not None:
                return why
        name, first = self.name_of(member), self.name_of(self._group[0])
        for each in self._between:
            if _divides(steps.execution, each):
                return f"between {first} and {name} stands a model call or a person, and {name} may rest on it"
            if not steps.is_free_of(member.span_id, each.span_id):
                between = self.name_of(each)
                return f"{name} would start before {between}, and nothing shows that it does not wait for it"
        return None


def _listed(reasons: Sequence[str]) -> str:
    more = len(reasons) - _MAX_REASONS
    return "; ".join(reasons[:_MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _outermost_alone(execution: Execution, span_id: str) -> str:
    """Go out of spans that are not about agents and hold nothing else."""
    for outer in execution.ancestors(span_id):
        if outer.kind is not OperationKind.OTHER or len(execution.children(outer.span_id)) != 1:
            break
        span_id = outer.span_id
    return span_id


def _divides(execution: Execution, child: Operation) -> bool:
    """Tell whether a span is a model call or a wait for a person, or one that is not about agents and holds any."""
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


def _is_proven(steps: Sequence[Operation]) -> bool:
    """Tell whether one model turn asked for all of a group, or each declares what it needs, and names are no loop's.

    That none of them needs another was seen when the group was made.
    """
    turns = {each.turn for each in steps}
    if len(turns) == 1 and None not in turns:
        return True
    declared = all(each.depends_on is not None for each in steps)
    return declared and all(first.name != second.name for first, second in pairwise(steps))
