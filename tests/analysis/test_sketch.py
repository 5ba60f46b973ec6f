import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.analysis.sketch import Sketch

values = st.floats(1e-6, 1e6)


def sketch_of(numbers: list[float]) -> Sketch:
    sketch = Sketch()
    for number in numbers:
        sketch.add(number)
    return sketch


@given(st.lists(values, min_size=1), st.floats(0, 1))
def test_a_quantile_is_within_one_percent_of_the_value_of_its_rank(numbers: list[float], q: float) -> None:
    exact = sorted(numbers)[int(q * (len(numbers) - 1))]

    assert sketch_of(numbers).quantile(q) == pytest.approx(exact, rel=0.0101)


@given(st.lists(values), st.lists(values))
def test_merging_equals_adding_to_one(left: list[float], right: list[float]) -> None:
    assert sketch_of(left).merge(sketch_of(right)) == sketch_of(left + right)


def test_survives_json() -> None:
    random = Random(1)
    sketch = sketch_of([random.lognormvariate(0, 1) for _ in range(1000)] + [0.0])

    assert Sketch.from_dict(json.loads(json.dumps(sketch.to_dict()))) == sketch


def test_zero_is_a_value() -> None:
    sketch = sketch_of([0.0, 0.0, 5.0])

    assert sketch.count == 3
    assert sketch.quantile(0.5) == 0.0


def test_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(ValueError, match="empty sketch"):
        Sketch().quantile(0.5)
    with pytest.raises(ValueError, match="alpha: 2"):
        Sketch(alpha=2)
    with pytest.raises(ValueError, match="cannot merge"):
        Sketch(alpha=0.01).merge(Sketch(alpha=0.02))
    with pytest.raises(ValueError, match="not a sketch"):
        Sketch.from_dict({"alpha": "x"})
