from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.definitions.definition import Branch, Definition, Phase, Reference, ReferenceKind, Step, Waits
from otel_wfperf.definitions.markdown import parse_markdown
from otel_wfperf.definitions.schedule import Schedule, schedule, tasks
from otel_wfperf.errors import InputError
from tests.definitions.simulated import simulate

FALSE = (
    "## Phase 1: All\n### Branch A: a\nDepends on Branch C\n### Branch B: b\nDepends on Branch A\n### Branch C: c\n"
    "## Phase 2: End\n"
)


def planned(text: str, *durations_s: float, max_parallel: int | None = None) -> Schedule:
    return schedule(tasks(parse_markdown(text, "flow.md")), durations_s, max_parallel=max_parallel)


def test_waits_for_siblings_and_for_whole_phases() -> None:
    result = planned(FALSE, 1, 2, 4, 8)

    assert result.starts_s == (4, 5, 0, 7)
    assert result.ends_s == (5, 7, 4, 15)
    assert result.critical_path() == (2, 0, 1, 3)


def test_the_slowest_branch_decides() -> None:
    result = planned("## Phase 1: All\n### Branch A: a\n### Branch B: b\n## Phase 2: End\n", 1, 5, 1)

    assert result.starts_s == (0, 0, 5)
    assert result.critical_path() == (1, 2)


def test_capacity_serves_in_the_order_written_and_is_part_of_the_critical_path() -> None:
    result = planned("## Phase 1: All\n### Branch A: a\n### Branch B: b\n### Branch C: c\n", 3, 2, 1, max_parallel=2)

    assert result.starts_s == (0, 0, 2)
    assert result.duration_s == 3
    result = planned("## Phase 1: All\n### Branch A: a\n### Branch B: b\n### Branch C: c\n", 3, 2, 5, max_parallel=2)
    assert result.critical_path() == (1, 2)


def test_a_sequential_phase_runs_in_the_order_written() -> None:
    assert planned("## Phase 1: All (sequential)\n### Branch A: a\n### Branch B: b\n", 1, 2).starts_s == (0, 1)


def test_branches_that_wait_for_one_another_cannot_be_scheduled() -> None:
    with pytest.raises(InputError, match="wait for one another"):
        planned("## Phase 1: All\n### Branch A: a\nAfter Branch B\n### Branch B: b\nAfter Branch A\n", 1, 1)


def any_definition(random: Random) -> Definition:
    """Draw phases with branches that wait for earlier ones of the same phase."""
    phases = []
    for number in range(random.randint(1, 4)):
        branches = []
        for position in range(random.randint(0, 5)):
            awaited = [chr(65 + each) for each in range(position) if random.random() < 0.3]
            after = tuple(Reference(kind=ReferenceKind.BRANCH, label=each, line=1) for each in awaited)
            label = chr(65 + position)
            branches.append(
                Branch(
                    label=label, title="", line=1, steps=steps(random, random.randint(1, 3)), waits=Waits(after=after)
                )
            )
        own = steps(random, random.randint(0 if branches else 1, 2))
        sequential = random.random() < 0.2
        phases.append(
            Phase(label=str(number), title="", line=1, branches=tuple(branches), steps=own, sequential=sequential)
        )
    return Definition(name="any", source="any", phases=tuple(phases))


def steps(random: Random, count: int) -> tuple[Step, ...]:
    # Lengths without ties: two orders of the same moment would both be right.
    return tuple(Step(text=str(random.uniform(1, 100)), line=1) for _ in range(count))


@given(st.integers(0, 2**32), st.sampled_from([None, 1, 2, 3]))
def test_agrees_with_an_orchestrator_that_runs_it(seed: int, max_parallel: int | None) -> None:
    definition = any_definition(Random(seed))
    todo = tasks(definition)

    predicted = schedule(todo, [float(task.step.text) for task in todo], max_parallel=max_parallel)

    assert predicted.duration_s == pytest.approx(simulate(definition, lambda step: float(step.text), max_parallel))
    path = predicted.critical_path()
    lengths_s = [predicted.ends_s[each] - predicted.starts_s[each] for each in path]
    assert sum(lengths_s) == pytest.approx(predicted.duration_s)
