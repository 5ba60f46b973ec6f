"""Which tools and models are called more or less often in a run than before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from otel_wfperf.analysis.parts import RunFigures
from otel_wfperf.analysis.statistics import benjamini_hochberg
from otel_wfperf.analysis.two_samples import rank_test


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsChange:
    """A tool or model that is called more or less often in a run than before.

    Attributes:
        kind: tool, llm, retrieval or embedding.
        before: Calls a run, on average (count).
        after: The same after.
    """

    kind: str
    name: str
    before: float
    after: float


def calls_changed(
    before: Sequence[RunFigures], after: Sequence[RunFigures], *, level: float
) -> tuple[CallsChange, ...]:
    """List what is called more or less often in a run than chance explains (share of false ones at most ``level``)."""
    if not all(run.calls for run in (*before, *after)):
        return ()
    callees = sorted({callee for run in (*before, *after) for callee in run.calls})
    counts = [[[float(run.calls.get(callee, 0)) for run in side] for side in (before, after)] for callee in callees]
    rejected = benjamini_hochberg([rank_test([(early, late)]).p_two_sided for early, late in counts], level=level)
    changed = [
        CallsChange(kind=kind, name=name, before=fmean(early), after=fmean(late))
        for (kind, name), (early, late), reject in zip(callees, counts, rejected, strict=True)
        if reject
    ]
    return tuple(sorted(changed, key=lambda each: -abs(each.after - each.before)))
