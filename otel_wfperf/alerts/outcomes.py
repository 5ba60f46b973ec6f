"""How executions ended, counted in slots of time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Chosen: a tenth of the shortest window in use (5 min).
SLOT_NS: Final = 30_000_000_000
# Chosen: as many as have series in the metrics.
_MAX_WORKFLOWS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one execution ended.

    Attributes:
        trace_id: Its trace.
        failed: Whether it ended in an error.
        at_ns: When that was known (nanoseconds since the Unix epoch, by our clock).
    """

    trace_id: str
    workflow: str
    duration_ns: int
    failed: bool
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What an execution must do to count as good: not fail and, where a limit is given, take no longer.

    Attributes:
        max_duration_ns: The limit (nanoseconds); None = none.
    """

    max_duration_ns: int | None = None

    def is_broken(self, outcome: Outcome) -> bool:
        """Tell whether an execution was bad."""
        return outcome.failed or (self.max_duration_ns is not None and outcome.duration_ns > self.max_duration_ns)


@dataclass(frozen=True, slots=True)
class Tally:
    """Executions of some time (count), how many of them broke a promise, and the trace of the latest that did."""

    total: int
    bad: int
    last_bad: str | None = None

    @property
    def bad_ratio(self) -> float:
        """Share of bad ones (0..1); 0 when there were none at all."""
        return self.bad / self.total if self.total else 0.0


class Outcomes:
    """Counts executions and broken promises by workflow, for the longest window that is asked for."""

    def __init__(self, promises: Iterable[Promise] = (), *, longest_ns: int = 0) -> None:
        """Count nothing yet.

        Args:
            promises: What is asked for.
            longest_ns: How far back (nanoseconds).
        """
        self._promises = tuple(dict.fromkeys(promises))
        self._longest_slots = longest_ns // SLOT_NS + 1
        # By workflow and slot: executions, then bad ones for each promise.
        self._counts: OrderedDict[str, dict[int, list[int]]] = OrderedDict()
        self._last_bad: dict[tuple[str, Promise], str] = {}

    @property
    def workflows(self) -> tuple[str, ...]:
        """Those that ended lately."""
        return tuple(self._counts)

    def add(self, outcome: Outcome) -> None:
        """Count an execution."""
        if not self._promises:
            return
        slots = self._counts.setdefault(outcome.workflow, {})
        self._counts.move_to_end(outcome.workflow)
        while len(self._counts) > _MAX_WORKFLOWS:
            forgotten, _ = self._counts.popitem(last=False)
            for promise in self._promises:
                self._last_bad.pop((forgotten, promise), None)
        slot = outcome.at_ns // SLOT_NS
        counts = slots.setdefault(slot, [0] * (1 + len(self._promises)))
        counts[0] += 1
        for index, promise in enumerate(self._promises, start=1):
            if promise.is_broken(outcome):
                counts[index] += 1
                self._last_bad[outcome.workflow, promise] = outcome.trace_id
        for old in [each for each in slots if each <= slot - self._longest_slots]:
            del slots[old]

    def tally(self, workflow: str, promise: Promise, *, window_ns: int, now_ns: int) -> Tally:
        """Sum up the time before now; its ends are rounded to half a minute.

        Args:
            workflow: Which executions.
            promise: One of those given at the start.
            window_ns: How long (nanoseconds).
            now_ns: The present (nanoseconds since the Unix epoch).
        """
        index = 1 + self._promises.index(promise)
        first = (now_ns - window_ns) // SLOT_NS + 1
        found = [counts for slot, counts in self._counts.get(workflow, {}).items() if slot >= first]
        bad = sum(counts[index] for counts in found)
        last_bad = self._last_bad.get((workflow, promise)) if bad else None
        return Tally(sum(counts[0] for counts in found), bad, last_bad)
