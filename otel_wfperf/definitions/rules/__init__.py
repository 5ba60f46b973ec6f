"""What is looked for in workflow definitions."""

from collections.abc import Collection

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.places import Dependencies
from otel_wfperf.definitions.rules.circular_dependency import CircularDependency
from otel_wfperf.definitions.rules.contradicted_order import ContradictedOrder
from otel_wfperf.definitions.rules.false_parallelism import FalseParallelism
from otel_wfperf.definitions.rules.granularity import Granularity
from otel_wfperf.definitions.rules.mergeable_phases import MergeablePhases
from otel_wfperf.definitions.rules.missing_agent import MissingAgent
from otel_wfperf.definitions.rules.misspelt_keyword import MisspeltKeyword
from otel_wfperf.definitions.rules.repeated_label import RepeatedLabel
from otel_wfperf.definitions.rules.rule import LintFinding, Rule
from otel_wfperf.definitions.rules.splittable_phase import SplittablePhase
from otel_wfperf.definitions.rules.undeclared_dependency import UndeclaredDependency
from otel_wfperf.definitions.rules.unknown_reference import UnknownReference

__all__ = ["RULES", "LintFinding", "Rule", "lint"]

RULES: tuple[Rule, ...] = (
    MisspeltKeyword(),
    RepeatedLabel(),
    CircularDependency(),
    UnknownReference(),
    ContradictedOrder(),
    FalseParallelism(),
    UndeclaredDependency(),
    MissingAgent(),
    MergeablePhases(),
    SplittablePhase(),
    Granularity(),
)


def lint(definition: Definition, *, ignored: Collection[str] = ()) -> tuple[LintFinding, ...]:
    """Apply all rules but those ignored; findings in the order of their lines."""
    dependencies = Dependencies(definition)
    found = [finding for rule in RULES if rule.name not in ignored for finding in rule.check(dependencies)]
    return tuple(sorted(found, key=lambda finding: (finding.line, finding.severity.rank)))
