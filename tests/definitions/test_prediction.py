from pathlib import Path
from random import Random
from statistics import median

import pytest

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.definitions.prediction import predict
from otel_wfperf.definitions.profiles import measured, profile_of
from otel_wfperf.errors import InputError
from tests.definitions.simulated import simulate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "workflows" / "five-phases.md"
FIVE_PHASES = parse_markdown(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)


def simulated_s(definition: Definition, runs: int, max_parallel: int | None = None) -> list[float]:
    """Run a definition with a duration drawn for every step (seconds, ascending)."""
    random = Random(20)
    return sorted(
        simulate(definition, lambda step: profile_of(step, {}).quantile_s(random.random()), max_parallel)
        for _ in range(runs)
    )


@pytest.mark.parametrize("max_parallel", [None, 2, 1])
def test_agrees_with_the_simulated_execution_of_five_phases(max_parallel: int | None) -> None:
    prediction = predict(FIVE_PHASES, max_parallel=max_parallel)
    observed_s = simulated_s(FIVE_PHASES, 200, max_parallel)

    assert prediction.total.median_s == pytest.approx(median(observed_s), rel=0.03)
    inside = sum(prediction.total.low_s <= each <= prediction.total.high_s for each in observed_s)
    assert inside / len(observed_s) == pytest.approx(0.9, abs=0.06)


def test_agrees_exactly_where_every_step_takes_its_median() -> None:
    prediction = predict(FIVE_PHASES)
    assert prediction.at_medians.duration_s == pytest.approx(
        simulate(FIVE_PHASES, lambda step: profile_of(step, {}).median_s)
    )


def test_equal_branches_take_longer_than_each_of_them() -> None:
    branches = "".join(f'### Branch {label}: x\nsubagent_type="backend-developer"\n' for label in "ABCDE")
    prediction = predict(parse_markdown(f"## Phase 1: All\n{branches}", "flow.md"))

    # The median of the largest of five uniform draws from 25 to 50 is 25 + 25 x 0.5^(1/5).
    assert prediction.at_medians.duration_s == 37.5
    assert prediction.total.median_s == pytest.approx(25 + 25 * 0.5**0.2, rel=0.01)
    assert prediction.work_s == 5 * 37.5


def test_measured_profiles_replace_the_usual_times() -> None:
    definition = parse_markdown('## Phase 1: One\nsubagent_type="backend-developer"\n', "flow.md")
    prediction = predict(definition, {"backend-developer": measured([3.0, 1.0, 2.0])})
    assert prediction.total.median_s == pytest.approx(2.0)


def test_is_the_same_each_time() -> None:
    assert predict(FIVE_PHASES) == predict(FIVE_PHASES)


def test_what_cannot_start_is_refused_with_the_next_step() -> None:
    text = "## Phase 1: All\n### Branch A: a\nAfter Branch B\n### Branch B: b\nAfter Branch A\n"
    with pytest.raises(InputError, match=r"flow\.md: branches wait for one another.*wfperf lint flow\.md"):
        predict(parse_markdown(text, "flow.md"))
