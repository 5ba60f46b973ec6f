"""Rule: too many or too few phases for what is in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.definitions.schedule import can_run, schedule, tasks
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Granularity:
    """Report a number of phases outside the range that suits the workflow.

    Source: the field guide that this product implements: fine (6-10 phases) when more than 0.7 of the steps can run
    beside others, coarse (3-5) when the density of dependencies is above 0.8, else balanced (4-7). Too few is only
    reported when the longest row of steps could fill the finest of the range: fewer steps cannot make more phases.

    Attributes:
        fine_potential: Share of the steps that are not in the longest row (0..1).
        coarse_density: Share of the branches but the first that say they wait for something (0..1).
    """

    name: ClassVar[str] = "granularity"
    fine_potential: float = 0.7
    coarse_density: float = 0.8

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        definition = dependencies.definition
        if definition.from_graph or not can_run(dependencies):
            return
        planned = tasks(definition, dependencies)
        row = round(schedule(planned, [1.0] * len(planned)).duration_s)
        style, fewest, most = self._range(1 - row / len(planned), _density(dependencies))
        count = len(definition.phases)
        if fewest <= count <= most or (count < fewest and row < most):
            return
        many = count > most
        yield LintFinding(
            rule=self.name,
            source=definition.source,
            line=definition.phases[0].line,
            severity=Severity.LOW,
            message=f"{count} phases for {len(planned)} steps, {row} of them in a row; {style} granularity "
            f"({fewest}-{most} phases) suits it",
            recommendation="Merge phases that hand over to one another only."
            if many
            else "Split long rows of steps into phases of their own.",
        )

    def _range(self, potential: float, density: float) -> tuple[str, int, int]:
        if potential > self.fine_potential:
            return "fine", 6, 10
        return ("coarse", 3, 5) if density > self.coarse_density else ("balanced", 4, 7)


def _density(dependencies: Dependencies) -> float:
    phases = dependencies.definition.phases
    waiting = [bool(phase.waits.after or branch.waits.after) for phase in phases for branch in phase.branches]
    waiting += [bool(phase.waits.after) for phase in phases if not phase.branches]
    return sum(waiting) / (len(waiting) - 1) if len(waiting) > 1 else 0.0
