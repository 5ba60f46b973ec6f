"""Rule: branches that are written side by side and run one after another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.definitions.cycles import cycles
from otel_wfperf.definitions.places import Dependencies, Place
from otel_wfperf.definitions.rules.rule import LintFinding
from otel_wfperf.model import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseParallelism:
    """Report each phase with a branch that waits for a sibling, with the true schedule.

    A phase that says it is sequential is left alone; so are branches that wait for one another, which is worse and
    reported by ``circular_dependency``.
    """

    name: ClassVar[str] = "false_parallelism"

    def check(self, dependencies: Dependencies) -> Iterator[LintFinding]:
        """See Rule."""
        for number, phase in enumerate(dependencies.definition.phases):
            waits = dependencies.within(number)
            places = {Place(number, one): [Place(number, each) for each in others] for one, others in waits.items()}
            if not waits or phase.sequential or cycles(places):
                continue
            labels = [branch.label for branch in phase.branches]
            rounds = _rounds(waits)
            true = " -> ".join(_together([labels[branch] for branch in members]) for members in rounds)
            lines = [
                each.line
                for each in dependencies.declared
                if each.waiting in places and each.awaited.branch is not None
            ]
            yield LintFinding(
                rule=self.name,
                source=dependencies.definition.source,
                line=min(lines),
                severity=Severity.HIGH,
                message=f"{phase.name} only looks parallel: {_reasons(dependencies, number, waits)}; "
                f"true schedule: {true}{_others(labels, rounds)}",
                recommendation=_recommendation(rounds, labels),
            )


def _rounds(waits: Mapping[int, frozenset[int]]) -> list[list[int]]:
    """Group the branches that are concerned by when they can start."""
    concerned = sorted(set(waits).union(*waits.values()))
    rounds: list[list[int]] = []
    placed: set[int] = set()
    while len(placed) < len(concerned):
        rounds.append([each for each in concerned if each not in placed and waits.get(each, frozenset()) <= placed])
        placed.update(rounds[-1])
    return rounds


def _together(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"({', '.join(labels)})"


def _reasons(dependencies: Dependencies, number: int, waits: Mapping[int, frozenset[int]]) -> str:
    names = [
        dependencies.name(Place(number, position))
        for position in range(len(dependencies.definition.phases[number].branches))
    ]
    return ", ".join(
        f"{names[waiting]} waits for {' and '.join(names[each] for each in sorted(awaited))}"
        for waiting, awaited in sorted(waits.items())
    )


def _others(labels: list[str], rounds: list[list[int]]) -> str:
    concerned = {branch for members in rounds for branch in members}
    others = [label for position, label in enumerate(labels) if position not in concerned]
    return f", beside {', '.join(others)}" if others else ""


def _recommendation(rounds: list[list[int]], labels: list[str]) -> str:
    order = ", then ".join(" and ".join(labels[branch] for branch in members) for members in rounds)
    return f"Write it as phases in that order ({order}), or agree on what is handed over first, so that nobody waits."
