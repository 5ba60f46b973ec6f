"""Steps that ran one after another below one parent."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_wfperf.model import Execution, Move, Operation, OperationKind

STEPS: Final = (OperationKind.PHASE, OperationKind.AGENT, OperationKind.TOOL, OperationKind.RETRIEVAL)
# What says nothing about the steps inside: spans that are not about agents, and the passing on of work.
_TRANSPARENT: Final = (OperationKind.OTHER, OperationKind.HANDOFF)


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One step, or the attempts of one step that failed before it succeeded; equal to itself only.

    Attributes:
        steps: What the user knows: phases, agents or calls.
        members: The spans that would have to move, siblings of those of other steps: the steps or spans around them.
        is_loop: It ran again although it had not failed; then its runs build on each other.
    """

    steps: tuple[Operation, ...]
    members: tuple[Operation, ...]
    is_loop: bool = False

    @property
    def name(self) -> str:
        """Name of the step."""
        return self.steps[0].name

    @property
    def kind(self) -> OperationKind:
        """What the step is."""
        return self.steps[0].kind

    @property
    def start_ns(self) -> int:
        """Start of the first attempt (nanoseconds since the Unix epoch)."""
        return self.members[0].start_ns

    @property
    def end_ns(self) -> int:
        """End of the last attempt (nanoseconds since the Unix epoch)."""
        return max(member.end_ns for member in self.members)

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end (nanoseconds)."""
        return self.end_ns - self.start_ns

    @property
    def input_hash(self) -> str | None:
        """Hash of what a call was given; None for phases and agents, which are given the whole state."""
        return self.steps[0].input_hash if self.kind in (OperationKind.TOOL, OperationKind.RETRIEVAL) else None

    @property
    def depends_on(self) -> tuple[str, ...] | None:
        """Names that the step declares to need; None = not declared."""
        return self.steps[0].depends_on

    def is_soon_after(self, earlier: Unit, *, max_gap_ns: int, max_gap_ratio: float) -> bool:
        """Tell whether this starts when the earlier one ends, give or take what scheduling costs."""
        allowed_ns = max(max_gap_ns, max_gap_ratio * (self.duration_ns + earlier.duration_ns))
        return 0 <= self.start_ns - earlier.end_ns <= allowed_ns


@dataclass(frozen=True, slots=True)
class Siblings:
    """The steps of one parent.

    Attributes:
        units: All of them, in order of start.
        breaks_ns: Starts of model calls and of waits for people, in order: nothing can move across them.
    """

    parent: Operation
    units: tuple[Unit, ...]
    breaks_ns: tuple[int, ...]
    _alone: frozenset[int] = field(init=False, repr=False, compare=False)
    _counts: Counter[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look at all of them once: a parent may have thousands."""
        object.__setattr__(self, "_alone", frozenset(map(id, _alone(self.units))))
        object.__setattr__(self, "_counts", Counter(unit.name for unit in self.units))

    def is_serial(self, unit: Unit) -> bool:
        """Tell whether a step ran alone: others did not overlap it, and it is no loop. A tool may be called often."""
        returns = unit.is_loop or self._counts[unit.name] > 1
        return id(unit) in self._alone and (not returns or unit.kind in (OperationKind.TOOL, OperationKind.RETRIEVAL))

    def is_broken(self, earlier: Unit, later: Unit) -> bool:
        """Tell whether a model call or a person came between two steps."""
        at = bisect_left(self.breaks_ns, earlier.start_ns)
        return at < len(self.breaks_ns) and self.breaks_ns[at] <= later.start_ns


def _alone(units: Sequence[Unit]) -> Iterator[Unit]:
    """Yield the units, in order of start, that ran while no other did."""
    reached_ns = 0
    for at, unit in enumerate(units):
        end_ns = unit.end_ns
        is_last = at + 1 == len(units)
        if reached_ns <= unit.start_ns and (is_last or units[at + 1].start_ns >= end_ns):
            yield unit
        reached_ns = max(reached_ns, end_ns)


def siblings(execution: Execution) -> Iterator[Siblings]:
    """Yield the steps of every parent that has at least two."""
    for parent_id, children in execution.children_by_id.items():
        if len(children) < 2:
            continue
        placed = [(step, child) for child in children if (step := _step_in(execution, child)) is not None]
        units = list(_units(placed))
        if len(units) >= 2:
            yield Siblings(execution.by_id[parent_id], tuple(units), tuple(sorted(_breaks(execution, children))))


def _step_in(execution: Execution, child: Operation) -> Operation | None:
    """Return the step that a span is, or the only one inside a span that says nothing about it."""
    while child.kind in _TRANSPARENT:
        inner = execution.children(child.span_id)
        if len(inner) != 1:
            return None
        child = inner[0]
    return child if child.kind in STEPS and not child.synthetic else None


def _units(placed: Sequence[tuple[Operation, Operation]]) -> Iterator[Unit]:
    """Join attempts of one step, and turns of one loop. Calls of one tool stay apart: their arguments differ."""
    at = 0
    while at < len(placed):
        end = at + 1
        while end < len(placed) and _continues(placed[end - 1][0], placed[end][0]):
            end += 1
        steps = tuple(step for step, _ in placed[at:end])
        members = tuple(member for _, member in placed[at:end])
        yield Unit(steps, members, is_loop=any(step.error is None for step in steps[:-1]))
        at = end


def _continues(earlier: Operation, later: Operation) -> bool:
    if later.name != earlier.name or later.kind is not earlier.kind or later.start_ns < earlier.end_ns:
        return False
    is_attempt = earlier.error is not None or (later.attempt or 1) > 1
    return is_attempt or later.kind in (OperationKind.PHASE, OperationKind.AGENT)


def _breaks(execution: Execution, children: Sequence[Operation]) -> Iterator[int]:
    """Yield the starts of model calls and waits for people, those inside spans that are not about agents too."""
    for child in children:
        if child.kind is OperationKind.LLM or child.wait_kind == "human":
            yield child.start_ns
        elif child.kind in _TRANSPARENT:
            yield from _breaks(execution, execution.children(child.span_id))


def moved_together(units: Sequence[Unit]) -> list[Move]:
    """Return the changes that start all steps of a series when the first one starts."""
    leader = units[0].members[0].span_id
    return [
        Move(member.span_id, member.start_ns - unit.start_ns, after=leader)
        for unit in units[1:]
        for member in unit.members
    ]
