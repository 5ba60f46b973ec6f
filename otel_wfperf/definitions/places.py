"""What waits for what in a definition: references resolved to the phases and branches they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Reference, ReferenceKind, Waits


class Place(NamedTuple):
    """A branch of a phase, or a phase (``branch`` is None), by their positions."""

    phase: int
    branch: int | None = None


class Dependency(NamedTuple):
    """``waiting`` waits for ``awaited``, as a line of the definition says."""

    waiting: Place
    awaited: Place
    line: int


class Unresolved(NamedTuple):
    """A reference to something that does not exist, and where it stands."""

    place: Place
    reference: Reference


@dataclass(frozen=True)
class Dependencies:
    """All that a definition says about order."""

    definition: Definition

    def name(self, place: Place) -> str:
        """Name a place as messages do."""
        phase = self.definition.phases[place.phase]
        return phase.name if place.branch is None else phase.branches[place.branch].name

    @cached_property
    def declared(self) -> tuple[Dependency, ...]:
        """What waits for what, each pair once."""
        return self._resolved[0]

    @cached_property
    def used(self) -> tuple[Dependency, ...]:
        """Results that are named without saying that they are waited for."""
        return self._resolved[1]

    @cached_property
    def unknown(self) -> tuple[Unresolved, ...]:
        """References that lead nowhere."""
        return self._resolved[2]

    @cached_property
    def awaited(self) -> Mapping[Place, tuple[Place, ...]]:
        """For each place, the places that it is declared to wait for itself."""
        found: dict[Place, list[Place]] = {}
        for dependency in self.declared:
            found.setdefault(dependency.waiting, []).append(dependency.awaited)
        return {place: tuple(targets) for place, targets in found.items()}

    def within(self, phase: int) -> Mapping[int, frozenset[int]]:
        """Return which branches of a phase wait for which of the same phase."""
        waits: dict[int, set[int]] = {}
        for (waiting_phase, waiting), (awaited_phase, awaited), _ in self.declared:
            if waiting_phase == awaited_phase == phase and waiting is not None and awaited is not None:
                waits.setdefault(waiting, set()).add(awaited)
        return {branch: frozenset(targets) for branch, targets in waits.items()}

    def reaches(self, start: Place, goal: Place) -> bool:
        """Tell whether a place waits for another one, directly or through others."""
        seen, stack = {start}, [start]
        while stack:
            for target in self.awaited.get(stack.pop(), ()):
                if target == goal:
                    return True
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
        return False

    @cached_property
    def _resolved(self) -> tuple[tuple[Dependency, ...], tuple[Dependency, ...], tuple[Unresolved, ...]]:
        declared: dict[tuple[Place, Place], Dependency] = {}
        used: dict[tuple[Place, Place], Dependency] = {}
        unknown: list[Unresolved] = []
        for place, waits in self._statements():
            for kind, references in (("after", waits.after), ("before", waits.before), ("uses", waits.uses)):
                for reference in references:
                    target = self._target(place, reference)
                    if target is None:
                        unknown.append(Unresolved(place, reference))
                    elif _says_something(place, target, reference):
                        pair = (target, place) if kind == "before" else (place, target)
                        (used if kind == "uses" else declared).setdefault(pair, Dependency(*pair, reference.line))
        return tuple(declared.values()), tuple(used.values()), tuple(unknown)

    def _statements(self) -> Iterator[tuple[Place, Waits]]:
        for number, phase in enumerate(self.definition.phases):
            yield Place(number), phase.waits
            for position, branch in enumerate(phase.branches):
                yield Place(number, position), branch.waits

    def _target(self, place: Place, reference: Reference) -> Place | None:
        phases = self.definition.phases
        if reference.kind is ReferenceKind.PHASE:
            number = _position(reference.label, phases)
            if number is not None:
                return Place(number)
        for number in self._searched(place, reference):
            others = [branch for position, branch in enumerate(phases[number].branches) if (number, position) != place]
            found = _position(reference.label, others)
            if found is not None:
                return Place(number, phases[number].branches.index(others[found]))
        if place.branch is not None and _position(reference.label, [phases[place.phase].branches[place.branch]]) == 0:
            return place
        # In YAML a name need not say whether it is that of a branch or of a phase.
        number = None if reference.prose else _position(reference.label, phases)
        return None if number is None else Place(number)

    def _searched(self, place: Place, reference: Reference) -> Iterator[int]:
        """Order the phases in which a branch may be meant: the own one, earlier ones, later ones."""
        if reference.phase is not None:
            number = _position(reference.phase, self.definition.phases)
            if number is not None:
                yield number
            return
        yield place.phase
        yield from range(place.phase - 1, -1, -1)
        yield from range(place.phase + 1, len(self.definition.phases))


def _position(label: str, named: Iterable[Branch | Phase]) -> int | None:
    """Find a label or title, whatever its case."""
    wanted = label.casefold()
    several = list(named)
    for position, each in enumerate(several):
        if each.label.casefold() == wanted:
            return position
    return next((position for position, each in enumerate(several) if each.title.casefold() == wanted), None)


def _says_something(place: Place, target: Place, reference: Reference) -> bool:
    """Leave out what prose says about itself or about the phase around it ("After Branch A, notify the team")."""
    is_own = target == place or (target.phase == place.phase and None in {target.branch, place.branch})
    return not (is_own and reference.prose)
