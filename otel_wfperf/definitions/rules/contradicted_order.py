"""Rule: something waits for what runs later."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies, Dependency, Place
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class ContradictedOrder:
    """Report dependencies on a later phase, and on a later branch of a sequential phase.

    Places that wait for one another are left to ``circular_dependency``.
    """

    name: ClassVar[str] = "contradicted_order"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        for dependency in dependencies.declared:
            waiting, awaited, line = dependency
            if not _is_contradicted(dependencies, dependency) or dependencies.reaches(awaited, waiting):
                continue
            first, second = _named(dependencies, waiting), _named(dependencies, awaited)
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=line,
                severity=Severity.HIGH,
                message=f"{first} waits for {second}, which runs later in the order written",
                recommendation=f"Move {second} before {first}.",
            )


def _is_contradicted(dependencies: Dependencies, dependency: Dependency) -> bool:
    waiting, awaited, _ = dependency
    if awaited.phase != waiting.phase:
        return awaited.phase > waiting.phase
    if awaited.branch is None or waiting.branch is None:
        return False
    return dependencies.definition.phases[waiting.phase].sequential and awaited.branch > waiting.branch


def _named(dependencies: Dependencies, place: Place) -> str:
    """Name a place; a branch with its phase, because another phase may have one of the same label."""
    name = dependencies.name(place)
    return name if place.branch is None else f"{name} of {dependencies.name(Place(place.phase))}"
