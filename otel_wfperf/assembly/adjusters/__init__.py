"""Corrections that make a trace comparable, in the order in which they are applied."""

from typing import Final

from otel_wfperf.assembly.adjusters.adjuster import Adjuster
from otel_wfperf.assembly.adjusters.clock_skew import ClockSkew
from otel_wfperf.assembly.adjusters.completeness import Completeness
from otel_wfperf.assembly.adjusters.dependencies import Dependencies
from otel_wfperf.assembly.adjusters.duplicates import Duplicates
from otel_wfperf.assembly.adjusters.hops import Hops
from otel_wfperf.assembly.adjusters.never_ended import NeverEnded
from otel_wfperf.assembly.adjusters.owners import Owners
from otel_wfperf.assembly.adjusters.parents import Parents
from otel_wfperf.assembly.adjusters.runs import Runs
from otel_wfperf.assembly.adjusters.same_end import SameEnd
from otel_wfperf.assembly.adjusters.times import ImpossibleTimes
from otel_wfperf.assembly.adjusters.tokens import Tokens
from otel_wfperf.assembly.adjusters.turns import Attempts, Turns
from otel_wfperf.assembly.adjusters.wrappers import Wrappers

# Parents needs each span id once (Duplicates) and sensible starts (ImpossibleTimes); all that follow need its tree.
# Completeness counts what came, before anything is taken out, and knows better than the missing parents.
# ClockSkew compares durations, so ends must be known (NeverEnded).
# Runs looks at nesting as it was written, Wrappers at settled kinds; SameEnd must not count wrappers.
# Dependencies needs the messages that Hops takes out, and names by settled kinds.
# Owners, Turns, Attempts and Tokens describe what Wrappers left.
ADJUSTERS: Final[tuple[Adjuster, ...]] = (
    Duplicates(),
    ImpossibleTimes(),
    Parents(),
    Completeness(),
    NeverEnded(),
    ClockSkew(),
    Runs(),
    Dependencies(),
    Hops(),
    Wrappers(),
    SameEnd(),
    Owners(),
    Turns(),
    Attempts(),
    Tokens(),
)

__all__ = ["ADJUSTERS", "Adjuster"]
