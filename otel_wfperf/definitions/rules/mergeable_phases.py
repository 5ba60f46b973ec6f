"""Rule: consecutive phases that need not wait for one another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.definition import Phase
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeablePhases:
    """Report a phase that says what it needs, when that is not the phase right before it.

    A phase that says nothing is left alone: the order in which phases are written is meant. So is one that reads a
    result of the phase before it, and one that needs something which does.
    """

    name: ClassVar[str] = "mergeable_phases"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        phases = dependencies.definition.phases
        for number in range(1, 0 if dependencies.definition.from_graph else len(phases)):
            before, phase = phases[number - 1], phases[number]
            if not _says_what_it_needs(phase) or _needs_the_one_before(dependencies, number):
                continue
            needed = _earlier(dependencies, number)
            if not needed and not phase.says_independent:
                continue
            names = ", ".join(phases[each].name for each in needed) or "no other phase"
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=phase.line,
                severity=Severity.LOW,
                message=f"{phase.name} needs {names} and not {before.name}, but waits for it",
                recommendation=f"Merge {before.name} and {phase.name} into one phase with their parts as branches.",
            )


def _says_what_it_needs(phase: Phase) -> bool:
    if phase.waits.after or phase.says_independent:
        return True
    return bool(phase.branches) and all(branch.waits.after for branch in phase.branches)


def _earlier(dependencies: Dependencies, number: int) -> list[int]:
    """List the earlier phases that a phase and its branches wait for or use."""
    both = (*dependencies.declared, *dependencies.used)
    return sorted({each.awaited.phase for each in both if each.waiting.phase == number and each.awaited.phase < number})


def _needs_the_one_before(dependencies: Dependencies, number: int) -> bool:
    """Tell whether a phase needs the one before it; what is misspelled may be that one."""
    misspelled = any(each.place.phase == number for each in dependencies.unknown)
    return misspelled or number - 1 in _earlier(dependencies, number)
