from pathlib import Path

import pytest

from otel_wfperf import semconv
from scripts.paths import DOCS
from scripts.reference import PAGES


def test_every_name_is_written_once() -> None:
    names = [value for key, value in vars(semconv).items() if key.isupper() and isinstance(value, str)]

    assert len(names) == len(set(names))
    assert len({metric.name for metric in semconv.METRICS}) == len(semconv.METRICS)


def test_histograms_have_ascending_buckets_and_every_metric_a_unit() -> None:
    for metric in semconv.METRICS:
        assert metric.unit
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) is (metric.instrument == "histogram")


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert Path(DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run: python -m scripts.reference"
