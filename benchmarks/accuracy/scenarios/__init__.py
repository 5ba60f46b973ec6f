"""Workflows to try detectors on; a file for each family of faults, and one for healthy workflows."""

from typing import Final

from benchmarks.accuracy.scenario import Scenario
from benchmarks.accuracy.scenarios import (
    change,
    failures,
    gaps,
    model_calls,
    parallel,
    queueing,
    repetition,
    service,
)
from benchmarks.accuracy.scenarios.healthy import HEALTHY

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *service.SCENARIOS,
    *change.SCENARIOS,
    *parallel.SCENARIOS,
    *queueing.SCENARIOS,
    *model_calls.SCENARIOS,
    *repetition.SCENARIOS,
    *failures.SCENARIOS,
    *gaps.SCENARIOS,
    *HEALTHY,
)
# In the order of the documentation's families.
DETECTORS_TRIED: Final = tuple(dict.fromkeys(each.detector for each in SCENARIOS if each.detector is not None))
