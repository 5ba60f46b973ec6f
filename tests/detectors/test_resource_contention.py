import math
from collections.abc import Callable
from random import Random

import pytest

from otel_wfperf.detectors.resource_contention import ResourceContention
from otel_wfperf.model import Execution, Finding, ResourceUse
from tests.detectors.builders import Run, population

USES: dict[str, Callable[[float], ResourceUse]] = {
    "cpu_pressure_ratio": lambda value: ResourceUse(cpu_pressure_ratio=value),
    "memory_pressure_ratio": lambda value: ResourceUse(memory_pressure_ratio=value),
    "steal_ratio": lambda value: ResourceUse(steal_ratio=value),
    "loop_lag_s": lambda value: ResourceUse(loop_lag_s=value),
}


def found(*executions: Execution) -> list[Finding]:
    return list(ResourceContention().detect(population(*executions)))


def runs(
    *short: bool, slow: float = 3.0, pressure: float = 0.3, calm: float = 0.02, field: str = "cpu_pressure_ratio"
) -> list[Execution]:
    """Build one run every 10 s; in those that are short, the signal is high and calls are slow."""
    found, random = [], Random(5)
    for number, is_short in enumerate(short):
        run = Run(number, start_ms=number * 10_000)
        for call in range(4):
            duration_ms = 400 * math.exp(random.gauss(0, 0.15)) * (slow if is_short else 1)
            value = (pressure if is_short else calm) * random.uniform(0.99, 1.01)
            run.tool("parse_page", call * 1500, duration_ms, resources=USES[field](value))
        found.append(run.build())
    return found


RECURRENT = (False, False, True) * 6


@pytest.mark.parametrize(
    ("field", "pressure", "calm", "name"),
    [
        ("cpu_pressure_ratio", 0.3, 0.02, "cpu"),
        ("memory_pressure_ratio", 0.2, 0.01, "memory"),
        ("steal_ratio", 0.1, 0.0, "cpu steal"),
        ("loop_lag_s", 0.5, 0.01, "event loop"),
    ],
)
def test_names_the_resource_that_is_short_when_calls_are_slow(
    field: str, pressure: float, calm: float, name: str
) -> None:
    [finding] = found(*runs(*RECURRENT, field=field, pressure=pressure, calm=calm))

    assert (finding.subject.kind.value, finding.subject.name) == ("resource", name)
    assert finding.evidence["episodes"] == 6
    assert finding.evidence["slow_ratio"] == pytest.approx(3, rel=0.2)
    assert "coincide" in finding.summary
    assert finding.saving is not None
    assert finding.evidence["runs_affected"] == 6


def test_a_signal_below_its_threshold_is_no_shortage() -> None:
    assert not found(*runs(*RECURRENT, pressure=0.095, calm=0.02))


def test_a_third_slower_is_left_alone() -> None:
    assert not found(*runs(*RECURRENT, slow=1.35))


def test_twice_is_coincidence() -> None:
    once_and_again = (*[False] * 4, *[True] * 4, *[False] * 4, *[True] * 4)

    assert not found(*runs(*once_and_again))
    assert found(*runs(*once_and_again, *[False] * 4, *[True] * 4))


def test_eleven_windows_are_too_few() -> None:
    assert not found(*runs(*RECURRENT[:11]))
    assert found(*runs(*RECURRENT[:12]))


def test_a_shortage_in_which_nothing_is_slow_is_left_alone() -> None:
    assert not found(*runs(*RECURRENT, slow=1.0))


def test_calls_with_long_answers_are_not_slow() -> None:
    executions, random = [], Random(2)
    for number, is_short in enumerate(RECURRENT):
        run = Run(number, start_ms=number * 10_000)
        for call in range(4):
            tokens_out = random.randrange(400, 600) if is_short else random.randrange(20, 60)
            use = ResourceUse(cpu_pressure_ratio=0.3 if is_short else 0.01)
            run.llm(call * 2000, 250 + 3 * tokens_out, tokens=(300, tokens_out), resources=use)
        executions.append(run.build())

    assert not found(*executions)
