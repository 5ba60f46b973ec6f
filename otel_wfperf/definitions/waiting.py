"""A definition whose branches also wait for what they only say that they use."""

from __future__ import annotations

from dataclasses import replace

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Reference, ReferenceKind, Waits
from otel_wfperf.definitions.places import Dependencies, Place
from otel_wfperf.definitions.rules.undeclared_dependency import unguarded


def with_undeclared_waits(definition: Definition) -> Definition | None:
    """Return the definition as it would run if every result that a sibling makes were waited for; None if none is."""
    waits: dict[Place, list[Reference]] = {}
    for use in unguarded(Dependencies(definition)):
        maker, user = use.awaited, use.waiting
        if maker.phase == user.phase and maker.branch is not None:
            label = definition.phases[maker.phase].branches[maker.branch].label
            waits.setdefault(user, []).append(Reference(kind=ReferenceKind.BRANCH, label=label, line=use.line))
    if not waits:
        return None
    phases = tuple(_waiting(phase, number, waits) for number, phase in enumerate(definition.phases))
    return replace(definition, phases=phases)


def _waiting(phase: Phase, number: int, waits: dict[Place, list[Reference]]) -> Phase:
    def waiting(position: int, branch: Branch) -> Branch:
        return replace(branch, waits=branch.waits + Waits(after=tuple(waits.get(Place(number, position), ()))))

    return replace(phase, branches=tuple(waiting(*each) for each in enumerate(phase.branches)))
