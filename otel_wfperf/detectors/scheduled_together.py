"""Which steps of one parent were scheduled together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.spells import Spell, difference, joined, total_ns
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.fan_out import TOLERANCE_NS, Branch, FanOut, Scheduling
from otel_wfperf.detectors.place import place_of
from otel_wfperf.detectors.severity import MIN_RUNS
from otel_wfperf.model import CALLS, Execution, Operation, OperationKind, Subject
from otel_wfperf.model.finding import EvidenceValue

# A person and a back-off keep a branch from its work, but no other branch is the reason.
CONTENTION: Final = frozenset({"queue", "concurrency", "rate_limit", "lock"})
_STEPS: Final = CALLS | {OperationKind.PHASE, OperationKind.AGENT}
_TRANSPARENT: Final = frozenset({OperationKind.OTHER, OperationKind.HANDOFF})
# Chosen: shorter than what handing over takes; such steps only keep books.
_MIN_STEP_NS: Final = 10_000_000
# Chosen: starting a task costs up to 90 ms on a busy machine; after a longer pause a group of the same name is
# the next round of a loop.
_MAX_IDLE_NS: Final = 100_000_000
_MAX_IDLE_RATIO: Final = 0.01
# Chosen: spans around a call start this much earlier than the wait before it ends, if at all.
_CLOCK_NS: Final = 1_000_000
# Chosen: an operation that held the event loop for most of its own time did so for all of it.
_HELD_RATIO: Final = 0.8
_MIN_BLOCKED_S: Final = 0.05
# Chosen: three calls of one name, of which two overlap, may be two chains.
_MIN_OF_ONE_NAME: Final = 4


def fan_outs(population: Population) -> Mapping[str, tuple[FanOut, ...]]:
    """Return the fan-outs of each run, by trace id.

    Two branches that merely overlap are left out where there are too few runs for them to mean anything.
    """
    pairs = len(population.executions) >= MIN_RUNS
    return {
        execution.trace_id: tuple(each for each in execution.once(_fan_outs) if pairs or not each.is_mere_pair)
        for execution in population.executions
    }


def by_subject(population: Population) -> Mapping[Subject, list[FanOut]]:
    """Put the fan-outs of all runs together that have branches of the same kind and names."""
    groups: dict[Subject, list[FanOut]] = {}
    for fan_out in (fan_out for of_run in fan_outs(population).values() for fan_out in of_run):
        groups.setdefault(fan_out.subject, []).append(fan_out)
    return groups


def place_names(cases: Iterable[FanOut]) -> tuple[str, ...]:
    """Name the phases or agents that fan-outs lie in."""
    places = (place_of(case.parent) for case in cases)
    return tuple(sorted({place.name for place in places if place is not None}))


def group_evidence(cases: Sequence[FanOut]) -> Mapping[str, EvidenceValue]:
    """Describe groups of one kind as findings do."""
    return {
        "parent": cases[0].parent.name,
        "places": place_names(cases),
        "members": tuple(sorted({name for case in cases for name in case.names})),
        "branches": round(median([len(case.branches) for case in cases])),
        "effective_parallelism": round(median([case.parallelism for case in cases]), 3),
        "group_s": round(median([case.window_ns for case in cases]) / 1e9, 4),
        "scheduling": tuple(sorted({case.scheduling.value for case in cases})),
    }


@dataclass(slots=True)
class _Placed:
    """A step and the span of it that is a child of the parent.

    Attributes:
        under_way_ns: When it started, or started to wait.
        waits: Waits beside it that end when it starts.
    """

    step: Operation
    member: Operation
    under_way_ns: int
    waits: list[Operation] = field(default_factory=list)


def _fan_outs(execution: Execution) -> Sequence[FanOut]:
    found: list[FanOut] = []
    for parent_id, children in execution.children_by_id.items():
        if len(children) < 2:
            continue
        placed = _placed(execution, children)
        if len(placed) >= 2:
            parent = execution.by_id[parent_id]
            found += (_fan_out(execution, parent, *group) for group in _groups(execution, placed))
    return found


def _placed(execution: Execution, children: Sequence[Operation]) -> list[_Placed]:
    """List the steps among the children of one parent; attempts after the first are no branches of their own."""
    found: list[_Placed] = []
    failed: set[tuple[str, str | None]] = set()
    waits = []
    for child in children:
        if child.kind is OperationKind.WAIT and child.wait_kind in CONTENTION:
            waits.append(child)
        step = _step_in(execution, child)
        if step is None or step.duration_ns < _MIN_STEP_NS or not step.ended or step.synthetic:
            continue
        identity = (step.name, step.input_hash)
        if (step.attempt or 1) == 1 and identity not in failed:
            found.append(_Placed(step, child, child.start_ns))
        if step.error is not None:
            failed.add(identity)
    for wait in waits:
        at = bisect_left(found, wait.end_ns - _CLOCK_NS, key=lambda each: each.member.start_ns)
        if at < len(found) and found[at].member.start_ns - wait.end_ns <= TOLERANCE_NS:
            found[at].waits.append(wait)
            found[at].under_way_ns = min(found[at].under_way_ns, wait.start_ns)
    return found


def _step_in(execution: Execution, child: Operation) -> Operation | None:
    """Return the step that a span is, or the only one inside a span that says nothing about it."""
    if child.kind in _STEPS:
        return child
    while child.kind in _TRANSPARENT:
        inner = [each for each in execution.children(child.span_id) if each.kind is not OperationKind.WAIT]
        if len(inner) != 1:
            return None
        child = inner[0]
    return child if child.kind in _STEPS else None


def _groups(execution: Execution, placed: Sequence[_Placed]) -> Iterator[tuple[Scheduling, list[_Placed]]]:
    """Divide the steps of one parent into those that were scheduled together; each is in one group at most."""
    left = list(placed)
    for scheduling, key_of in _KEYS:
        by_key: dict[object, list[_Placed]] = {}
        for each in left:
            key = key_of(execution, each.step)
            if key is not None:
                by_key.setdefault(key, []).append(each)
        taken: set[str] = set()
        for batch in (batch for group in by_key.values() if len(group) > 1 for batch in _batches(group)):
            if _belongs_together(scheduling, batch):
                yield scheduling, batch
                taken.update(each.member.span_id for each in batch)
        left = [each for each in left if each.member.span_id not in taken]
    yield from ((Scheduling.OVERLAP, group) for group in _overlapping(left))


def _group_key(execution: Execution, step: Operation) -> object:
    """Return what the emitter calls the group; all that runs inside of a node of a graph repeats the node's step."""
    if step.parallel_group is not None:
        return step.parallel_group
    parent = execution.by_id.get(step.parent_id or "")
    is_node = step.kind is OperationKind.PHASE and (parent is None or parent.step != step.step)
    return step.step if is_node else None


def _graph_key(_: Execution, step: Operation) -> object:
    return None if step.depends_on is None else frozenset(step.depends_on)


def _turn_key(execution: Execution, step: Operation) -> object:
    """Return the turn of a call where a model is seen to ask for it; what merely follows a model is judged as it is."""
    asking = execution.by_id.get(step.turn or "")
    return step.turn if asking is None or asking.requested or step.requested else None


def _name_key(_: Execution, step: Operation) -> object:
    """Return what calls are of one name by; model calls of one name are what agents consist of."""
    return (step.kind, step.name) if step.kind in CALLS and step.kind is not OperationKind.LLM else None


_KEYS: Final[tuple[tuple[Scheduling, Callable[[Execution, Operation], object]], ...]] = (
    (Scheduling.GROUP, _group_key),
    (Scheduling.GRAPH, _graph_key),
    (Scheduling.TURN, _turn_key),
    (Scheduling.NAMES, _name_key),
)


def _belongs_together(scheduling: Scheduling, batch: Sequence[_Placed]) -> bool:
    """Tell whether steps with one key were scheduled together; only a declared group may have run one at a time."""
    if len(batch) < 2:
        return False
    if scheduling is Scheduling.GROUP:
        return True
    if not any(later.under_way_ns + TOLERANCE_NS < earlier.member.end_ns for earlier, later in pairwise(batch)):
        return False
    return scheduling is not Scheduling.NAMES or (len(batch) >= _MIN_OF_ONE_NAME and not _all_overlap(batch))


def _batches(group: list[_Placed]) -> Iterator[list[_Placed]]:
    """Divide steps where none of them ran for a while."""
    group.sort(key=lambda each: each.under_way_ns)
    window_ns = max(each.member.end_ns for each in group) - group[0].under_way_ns
    allowed_ns = max(_MAX_IDLE_NS, _MAX_IDLE_RATIO * window_ns)
    batch: list[_Placed] = []
    reached_ns = 0
    for each in group:
        if batch and each.under_way_ns - reached_ns > allowed_ns:
            yield batch
            batch = []
        batch.append(each)
        reached_ns = max(reached_ns, each.member.end_ns)
    yield batch


def _overlapping(left: list[_Placed]) -> Iterator[list[_Placed]]:
    """Divide steps into groups of which all were under way before the first one ended."""
    left.sort(key=lambda each: each.under_way_ns)
    group: list[_Placed] = []
    first_end_ns = 0
    for each in left:
        if group and each.under_way_ns >= first_end_ns:
            if len(group) >= 2:
                yield group
            group = []
        first_end_ns = min(first_end_ns, each.member.end_ns) if group else each.member.end_ns
        group.append(each)
    if len(group) >= 2:
        yield group


def _all_overlap(batch: Iterable[_Placed]) -> bool:
    found = list(batch)
    return max(each.under_way_ns for each in found) < min(each.member.end_ns for each in found)


def _fan_out(execution: Execution, parent: Operation, scheduling: Scheduling, group: Sequence[_Placed]) -> FanOut:
    together_ns = None if scheduling is Scheduling.OVERLAP else min(each.under_way_ns for each in group)
    branches = [_branch(execution, each, together_ns) for each in group]
    if any(branch.held for branch in branches):
        branches = _without_others(branches)
    branches.sort(key=lambda branch: (branch.entry_ns, branch.end_ns, branch.member.span_id))
    overlaps = _all_overlap(group)
    return FanOut(execution.trace_id, execution.children_by_id, parent, scheduling, tuple(branches), overlaps)


def _branch(execution: Execution, placed: _Placed, together_ns: int | None) -> Branch:
    """Look through a branch: what ran, what waited, what held the event loop."""
    seen = _Seen(waits=list(placed.waits))
    stack = [placed.member]
    while stack:
        operation = stack.pop()
        if operation.kind is OperationKind.WAIT:
            seen.wait(operation)
        else:
            children = execution.children(operation.span_id)
            seen.work(execution, operation, children)
            stack += children
    ran = [*((leaf.start_ns, min(leaf.end_ns, placed.member.end_ns)) for leaf in seen.leaves), *seen.held]
    idle = [*seen.idle, *seen.pool]
    return Branch(
        step=placed.step,
        member=placed.member,
        scheduled_ns=placed.under_way_ns if together_ns is None else together_ns,
        busy=difference(ran, idle) if idle else joined(ran),
        leaves=tuple(seen.leaves),
        waits=tuple(seen.waits),
        pool_waits=joined(seen.pool),
        human_ns=seen.human_ns,
        held=joined(seen.held),
        blocked_ns=seen.blocked_ns,
        blocked_cpu_ns=seen.blocked_cpu_ns,
    )


@dataclass(slots=True)
class _Seen:
    """What was found in a branch so far; see ``Branch``."""

    waits: list[Operation]
    leaves: list[Operation] = field(default_factory=list)
    idle: list[Spell] = field(default_factory=list)
    pool: list[Spell] = field(default_factory=list)
    held: list[Spell] = field(default_factory=list)
    human_ns: int = 0
    blocked_ns: int = 0
    blocked_cpu_ns: int = 0

    def wait(self, operation: Operation) -> None:
        """Note a recorded wait."""
        self.idle.append((operation.start_ns, operation.end_ns))
        if operation.wait_kind in CONTENTION:
            self.waits.append(operation)
        elif operation.wait_kind == "human":
            self.human_ns += operation.duration_ns

    def work(self, execution: Execution, operation: Operation, children: Sequence[Operation]) -> None:
        """Note what an operation itself did."""
        if operation.connection_wait_s:
            waited_ns = min(operation.duration_ns, int(operation.connection_wait_s * 1e9))
            self.pool.append((operation.start_ns, operation.start_ns + waited_ns))
        use = operation.resources
        if use is not None and use.loop_blocked_s is not None and use.loop_blocked_s >= _MIN_BLOCKED_S:
            self.blocked_ns += int(use.loop_blocked_s * 1e9)
            self.blocked_cpu_ns += int((use.cpu_time_s or 0) * 1e9)
            self.held += _held(operation, children, use.loop_blocked_s)
        if _is_leaf(execution, operation, children):
            self.leaves.append(operation)


def _is_leaf(execution: Execution, operation: Operation, children: Sequence[Operation]) -> bool:
    """Tell whether an operation is work of its own; a call is although requests of it were recorded too."""
    if not children:
        return True
    if operation.kind not in CALLS:
        return all(child.kind is OperationKind.WAIT for child in children)
    stack = list(children)
    while stack:
        below = stack.pop()
        if below.kind in _STEPS:
            return False
        stack.extend(execution.children(below.span_id))
    return True


def _held(operation: Operation, children: Sequence[Operation], blocked_s: float) -> tuple[Spell, ...]:
    """Return the own time of an operation if it held the event loop all along."""
    own = difference([(operation.start_ns, operation.end_ns)], [(child.start_ns, child.end_ns) for child in children])
    return own if blocked_s * 1e9 >= _HELD_RATIO * total_ns(own) else ()


def _without_others(branches: Sequence[Branch]) -> list[Branch]:
    """Take out of the busy time of each branch when another one of its process held the event loop."""
    by_host: dict[str, list[Spell]] = {}
    for branch in branches:
        by_host.setdefault(branch.step.host, []).extend(branch.held)
    result = []
    for branch in branches:
        held_up = difference(by_host[branch.step.host], branch.held)
        result.append(replace(branch, busy=difference(branch.busy, held_up), held_up=held_up))
    return result
