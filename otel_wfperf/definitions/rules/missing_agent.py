"""Rule: a branch that nobody is named for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingAgent:
    """Report branches without an agent, where the definition names one for most branches.

    Phases without branches are left alone: the orchestrator itself may do them.

    Attributes:
        min_named_ratio: Share of the branches that name an agent (0..1). Chosen: in a definition that names few, agents
            are said elsewhere.
    """

    name: ClassVar[str] = "missing_agent"
    min_named_ratio: float = 0.5

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        branches = [(phase, branch) for phase in dependencies.definition.phases for branch in phase.branches]
        unnamed = [(phase, branch) for phase, branch in branches if not branch.agents]
        if not branches or 1 - len(unnamed) / len(branches) < self.min_named_ratio:
            return
        for phase, branch in unnamed:
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=branch.line,
                severity=Severity.MEDIUM,
                message=f"{branch.name} of {phase.name} names no agent, as the other branches do",
                recommendation='Say who does it: subagent_type="..." (in YAML, agent: ...).',
            )
