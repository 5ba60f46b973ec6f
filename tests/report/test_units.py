import pytest

from otel_wfperf.report.units import count, duration, duration_s, seconds


@pytest.mark.parametrize(
    ("duration_ns", "written"),
    [
        (0, "0 s"),
        (7, "7.00 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 µs"),
        (850_000, "850 µs"),
        (999_600, "1.00 ms"),
        (71_234_567, "71.2 ms"),
        (999_700_000, "1.00 s"),
        (9_994_000_000, "9.99 s"),
        (12_345_678_901, "12.3 s"),
        (59_940_000_000, "59.9 s"),
        (59_960_000_000, "1 min 00 s"),
        (185_000_000_000, "3 min 05 s"),
        (3_599_600_000_000, "1 h 00 min"),
        (7_500_000_000_000, "2 h 05 min"),
        (-1_500_000_000, "-1.50 s"),
    ],
)
def test_writes_three_figures_and_the_unit(duration_ns: float, written: str) -> None:
    assert duration(duration_ns) == written


def test_converts_nanoseconds_to_seconds_and_seconds_to_words() -> None:
    assert seconds(1_500_000_000) == 1.5
    assert duration_s(1.5) == "1.50 s"


def test_counts_with_the_right_noun() -> None:
    assert [count(number, "call") for number in (0, 1, 2, 1234567)] == [
        "0 calls",
        "1 call",
        "2 calls",
        "1 234 567 calls",
    ]
