"""Rule: branches or phases that wait for one another, so that none can start."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.cycles import cycles
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class CircularDependency:
    """Report each group of places that wait for one another, with one cycle of it."""

    name: ClassVar[str] = "circular_dependency"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        for cycle in cycles(dependencies.awaited):
            pairs = set(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
            lines = [each.line for each in dependencies.declared if (each.waiting, each.awaited) in pairs]
            # Reversed, so that the arrows mean the same as in a schedule: done before.
            names = [dependencies.name(place) for place in reversed((*cycle, cycle[0]))]
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=min(lines),
                severity=Severity.HIGH,
                message=f"{' -> '.join(names)}: each has to be done before the next, so none can start",
                recommendation=f"Let {names[1]} start without {names[0]}, or make one of them.",
            )
