"""What a figure is: a promise with a number, and how to find out whether it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured.

    Attributes:
        got: In words and units, to stand beside what was asked.
        reached: Whether that is what was asked.
    """

    got: str
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One promise.

    Attributes:
        number: Its number; stays the same for ever.
        title: What it is about, in a few words.
        asked: What is promised, in words and units.
        measure: Finds out, with real processes; raises when it cannot be measured here.
        long: Takes many minutes; measured at night.
    """

    number: int
    title: str
    asked: str
    measure: Callable[[], Outcome]
    long: bool = False

    def line(self, outcome: Outcome) -> str:
        """Say how it went."""
        verdict = "reached" if outcome.reached else "NOT REACHED"
        return f"figure {self.number}: asked {self.asked}, got {outcome.got} ({verdict})"
