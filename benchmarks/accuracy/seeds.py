"""Which seeds decide about the cases: those that thresholds may be tuned on, and those that judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.accuracy.running import Case
from benchmarks.accuracy.scenario import Kind, Scenario

# Chosen: a population of 30 runs costs half a second; all of it is to take less than eight minutes.
_RUNS_OF_SCENARIO: Final = 100
_FEWEST: Final = 4
_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class Seeds:
    """One set of seeds.

    Attributes:
        name: As on the command line.
        base: The first of them.
    """

    name: str
    base: int

    def named(self, most: int) -> str:
        """Say which they are."""
        return f"{self.name} seeds {self.base} to {self.base + most - 1}"


TUNING: Final = Seeds("tuning", 10_000)
# Nobody looks at a case of these: `--explain` refuses them.
JUDGING: Final = Seeds("judging", 77_310_000)
SEEDS: Final = {seeds.name: seeds for seeds in (TUNING, JUDGING)}


def cases(scenarios: Sequence[Scenario], seeds: Seeds, *, most: int | None = None) -> Iterator[Case]:
    """List the populations of scenarios; so many of each, healthy ones at most."""
    for scenario in scenarios:
        usual = seeds_of(scenario)
        count = usual if most is None else min(most, usual) if scenario.kind is Kind.HEALTHY else most
        yield from (case_of(scenario, seeds, number) for number in range(count))


def seeds_of(scenario: Scenario) -> int:
    """Return how many populations a scenario has: fewer, where they are large (count)."""
    if scenario.kind is Kind.HEALTHY:
        return len(scenario.runs)
    mean_runs = sum(scenario.runs) / len(scenario.runs)
    return max(_FEWEST, len(scenario.runs), min(_MOST, int(_RUNS_OF_SCENARIO / mean_runs)))


def case_of(scenario: Scenario, seeds: Seeds, number: int) -> Case:
    """Return one population of a scenario."""
    return Case(scenario, seeds.base + number, scenario.runs[number % len(scenario.runs)])
