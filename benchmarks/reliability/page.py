"""docs/reliability.md: a row for each figure, the newest measurement of each."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.reliability.figure import Figure, Outcome

_HEAD: Final = """\
# Reliability

<!-- Made by `python -m benchmarks.reliability --write docs/reliability.md`; do not edit. -->

What is promised, and what was measured with real processes on loopback ({machine}). `make reliability` measures all
but the long figures again, `make reliability-long` those; one alone: `python -m benchmarks.reliability --figure N`. A
row is replaced when its figure is measured again with `--write`.

| figure | what | asked | measured | |
|---:|---|---|---|---|
"""


def write(path: Path, figures: Sequence[Figure], outcomes: Sequence[tuple[Figure, Outcome]]) -> None:
    """Replace the rows of what was measured, and keep those of the other figures."""
    rows = _stored(path) | {_key(figure): _row(figure, outcome) for figure, outcome in outcomes}
    listed = [rows.get(_key(each), _missing(each)) for each in figures]
    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()}"
    path.write_text(_HEAD.format(machine=machine) + "\n".join(listed) + "\n", encoding="utf-8")


def _key(figure: Figure) -> str:
    return f"{figure.number} long" if figure.long else str(figure.number)


def _row(figure: Figure, outcome: Outcome) -> str:
    verdict = "" if outcome.reached else "not reached"
    cells = (_key(figure), figure.title, figure.asked, outcome.got, verdict)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _missing(figure: Figure) -> str:
    return _row(figure, Outcome(got="not measured yet", reached=False))


def _stored(path: Path) -> dict[str, str]:
    """Return the rows of the page by their figure."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {
        line.split("|")[1].strip(): line
        for line in lines
        if line.startswith("| ") and line.split("|")[1].strip()[:1].isdigit()
    }
