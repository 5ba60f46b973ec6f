"""How far a saving may be off because a figure of the change is a guess."""

from otel_wfperf.model import Saving


def widened(saving: Saving, by_s: float) -> Saving:
    """Widen the interval of a saving on both sides (seconds); a saving is never negative."""
    return Saving(
        median_s=saving.median_s, low_s=min(saving.median_s, max(0.0, saving.low_s - by_s)), high_s=saving.high_s + by_s
    )
