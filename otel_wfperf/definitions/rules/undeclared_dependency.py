"""Rule: a branch names the result of one that runs at the same time or later, and does not say that it waits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies, Dependency, Place
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeclaredDependency:
    """Report uses of a result that nothing guarantees to be there.

    What an earlier phase made is there. So is what a branch waits for, be it through others. A branch that the result's
    own branch waits for is left alone: there the sentence must mean something else.
    """

    name: ClassVar[str] = "undeclared_dependency"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        for use in unguarded(dependencies):
            user, maker = dependencies.name(use.waiting), dependencies.name(use.awaited)
            same = use.awaited.phase == use.waiting.phase
            when = "runs beside it" if same else f"runs later, in {dependencies.name(Place(use.awaited.phase))}"
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=use.line,
                severity=Severity.MEDIUM,
                message=f"{user} uses a result of {maker}, which {when}, and does not say that it waits for it",
                recommendation=f"Move {user} to a phase after {maker}, or say what it works with until then.",
            )


def unguarded(dependencies: Dependencies) -> Iterator[Dependency]:
    """Yield the uses of a result that nothing guarantees to be there."""
    return (use for use in dependencies.used if _is_unguarded(dependencies, use))


def _is_unguarded(dependencies: Dependencies, use: Dependency) -> bool:
    user, maker = use.waiting, use.awaited
    if user.branch is None or maker.branch is None or maker.phase < user.phase:
        return False
    phase = dependencies.definition.phases[user.phase]
    if maker.phase == user.phase and phase.sequential and maker.branch < user.branch:
        return False
    return not dependencies.reaches(user, maker) and not dependencies.reaches(maker, user)
