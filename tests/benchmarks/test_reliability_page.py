"""The page of the figures of reliability."""

from pathlib import Path

from benchmarks.reliability import page
from benchmarks.reliability.figure import Figure, Outcome


def figure(number: int, *, long: bool = False) -> Figure:
    return Figure(
        number=number, title=f"title {number}", asked="0 lost", measure=lambda: Outcome(got="", reached=True), long=long
    )


def test_a_measurement_replaces_its_own_row_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    one, two, two_long = figures = (figure(1), figure(2), figure(2, long=True))
    page.write(file, figures, [(one, Outcome(got="0 lost", reached=True)), (two, Outcome(got="3 lost", reached=False))])
    page.write(file, figures, [(two, Outcome(got="0 lost | 5 s", reached=True))])

    assert [line for line in file.read_text().splitlines() if line.startswith("| ")][1:] == [
        "| 1 | title 1 | 0 lost | 0 lost |  |",
        "| 2 | title 2 | 0 lost | 0 lost / 5 s |  |",
        "| 2 long | title 2 | 0 lost | not measured yet | not reached |",
    ]
    assert two_long.long
