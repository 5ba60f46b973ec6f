"""All figures, in the order of their numbers. One file a figure; add it here."""

from __future__ import annotations

from typing import Final

from benchmarks.reliability import figure_20_reload
from benchmarks.reliability.figure import Figure

FIGURES: Final[tuple[Figure, ...]] = (figure_20_reload.FIGURE,)
