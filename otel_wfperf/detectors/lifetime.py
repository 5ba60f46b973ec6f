"""How long the result of a call may be kept, by what its repetitions answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from otel_wfperf.model import Operation

# Chosen: what people set caches to; between two of them nobody cares.
LIFETIMES_S: Final = (60, 300, 900, 3_600, 21_600, 86_400)
# Chosen: a result that differs in a date or a count still answers the same; fragments are names and numbers.
MIN_SIMILARITY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Kept:
    """What a cache would have answered.

    Attributes:
        ttl_s: How long it keeps a result (seconds).
        hits: The calls that it would have answered.
        stale: Of those, with another result than they got (count).
    """

    ttl_s: int
    hits: tuple[Operation, ...]
    stale: int


def same_result(first: Operation, second: Operation) -> bool | None:
    """Tell whether two calls got the same result; None when their results were not recorded.

    The hash decides where both have one; else the share of common fragments, of which a bounded sample is known.
    """
    if first.output_hash is not None and second.output_hash is not None:
        return first.output_hash == second.output_hash
    ours, theirs = first.output_fragments, second.output_fragments
    if not ours or not theirs:
        return None
    return len(ours & theirs) >= MIN_SIMILARITY * len(ours | theirs)


def equal_ratio(calls: Sequence[Operation]) -> float | None:
    """Return the share of calls whose result is that of the call before (0..1); None when one is not known."""
    verdicts = [same_result(earlier, later) for earlier, later in pairwise(calls)]
    if not verdicts or None in verdicts:
        return None
    return sum(verdict is True for verdict in verdicts) / len(verdicts)


def longest_lifetime_s(calls: Sequence[Operation], *, max_stale_ratio: float) -> int | None:
    """Return the longest lifetime with which a cache would have been right often enough (seconds).

    No longer than the calls were observed for, as nothing is known beyond. None when even the shortest is wrong.

    Chosen: counted on the recorded calls; a model of how often results change would need to see many changes.
    """
    observed_s = (calls[-1].start_ns - calls[0].start_ns) / 1e9
    for ttl_s in reversed(LIFETIMES_S):
        if ttl_s <= observed_s:
            kept = keep(calls, ttl_s)
            if kept.hits and kept.stale <= max_stale_ratio * len(kept.hits):
                return ttl_s
    return None


def keep(calls: Sequence[Operation], ttl_s: int) -> Kept:
    """Play equal calls, in order of start, to a cache; a call that comes before the first has answered is no hit."""
    hits, stale = [], 0
    filled = calls[0]
    for call in calls[1:]:
        age_ns = call.start_ns - filled.end_ns
        if 0 <= age_ns <= ttl_s * 1_000_000_000:
            hits.append(call)
            stale += same_result(filled, call) is not True
        elif age_ns > 0:
            filled = call
    return Kept(ttl_s, tuple(hits), stale)
