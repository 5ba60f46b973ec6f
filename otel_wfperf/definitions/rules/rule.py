"""What a rule is, and what it reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """Something about a definition that makes it slower, or wrong.

    Attributes:
        rule: Name of the rule.
        source: File, or ``module:graph``.
        line: Line number; 0 = the source has no lines.
        severity: High = the definition does not do what it says; medium = probably; low = it could be better.
        message: What is so, in one sentence.
        recommendation: What to do, in one imperative sentence.
    """

    rule: str
    source: str
    line: int
    severity: Severity
    message: str
    recommendation: str


class Rule(Protocol):
    """One thing to look for.

    Attributes:
        name: Public name, as in findings.
    """

    name: ClassVar[str]

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """Yield one finding per subject."""
        ...
