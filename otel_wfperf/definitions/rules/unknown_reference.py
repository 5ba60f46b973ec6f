"""Rule: something is waited for that the definition does not have."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from otel_wfperf.definitions.definition import ReferenceKind
from otel_wfperf.definitions.places import Dependencies, Place
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownReference:
    """Report each name that is referred to and not defined, once for each place that does so."""

    name: ClassVar[str] = "unknown_reference"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        phases = dependencies.definition.phases
        seen: set[tuple[Place, str]] = set()
        for place, reference in dependencies.unknown:
            if (place, reference.name) in seen:
                continue
            seen.add((place, reference.name))
            is_phase = reference.kind is ReferenceKind.PHASE
            known = [each.name for each in phases] if is_phase else _branches(dependencies)
            near = get_close_matches(reference.label, [name.removeprefix("Branch ") for name in known], n=1)
            suggestion = f" (did you mean {near[0]}?)" if near else ""
            exist = f"there are {', '.join(known)}" if known else "there are none"
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=reference.line,
                severity=Severity.HIGH,
                message=f"{dependencies.name(place)} names {reference.name}, which does not exist{suggestion}; {exist}",
                recommendation="Correct the name, or add what it stands for.",
            )


def _branches(dependencies: Dependencies) -> list[str]:
    phases = dependencies.definition.phases
    return list(dict.fromkeys(branch.name for phase in phases for branch in phase.branches))
