"""Rule: a word that is nearly a keyword, so that a phase, a branch or an agent is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class MisspeltKeyword:
    """Report each of them: what was written is taken as prose, and the schedule is that of the rest."""

    name: ClassVar[str] = "misspelt_keyword"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        for each in dependencies.definition.misspelt:
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=each.line,
                severity=Severity.HIGH,
                message=f"{each.written!r} is read as prose (did you mean {each.meant}?)",
                recommendation=f"Write {each.meant}, or another word if it is prose.",
            )
