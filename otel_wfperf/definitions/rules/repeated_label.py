"""Rule: two phases, or two branches of a phase, have the same label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.definition import Branch, Phase
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedLabel:
    """Report the later ones: whoever refers to the label means the first, as far as anybody can tell."""

    name: ClassVar[str] = "repeated_label"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        definition = dependencies.definition
        named: list[Sequence[Branch | Phase]] = [definition.phases, *(phase.branches for phase in definition.phases)]
        for several in named:
            first: dict[str, Branch | Phase] = {}
            for each in several:
                earlier = first.setdefault(each.label.casefold(), each)
                if earlier is not each:
                    yield LintFinding(
                        rule=self.name,
                        source=definition.source,
                        line=each.line,
                        severity=Severity.MEDIUM,
                        message=f"{each.name} exists already, in line {earlier.line}; what refers to it means that one",
                        recommendation="Give each its own label.",
                    )
