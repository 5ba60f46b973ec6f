"""How long operations usually take, from the stored distributions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from otel_wfperf.analysis.sketch import Sketch
from otel_wfperf.model import OperationKind

# Chosen: with fewer the 95th percentile is the longest of a handful, which says little.
_MIN_COUNT: Final = 20
_QUANTILE: Final = 0.95
# Chosen: what is usual changes slowly, and looking it up reads the database.
_KEEP_S: Final = 60.0
_MAX_KEPT: Final = 1_000


class UsualDurations:
    """Looks durations up and remembers them for a while."""

    def __init__(self, look_up: Callable[[str, str, str], Sketch], clock_s: Callable[[], float]) -> None:
        """Remember nothing yet.

        Args:
            look_up: Returns the distribution (seconds) for workflow, kind and name; may raise when it cannot be read.
            clock_s: Monotonic time (seconds).
        """
        self._look_up = look_up
        self._clock_s = clock_s
        self._kept: OrderedDict[tuple[str, OperationKind, str], tuple[float, int | None]] = OrderedDict()

    def __call__(self, workflow: str, kind: OperationKind, name: str) -> int | None:
        """Return the 95th percentile (nanoseconds); None when too few were seen."""
        key, now_s = (workflow, kind, name), self._clock_s()
        kept = self._kept.get(key)
        if kept is not None and now_s - kept[0] < _KEEP_S:
            return kept[1]
        usual_ns = self._read(workflow, kind, name)
        self._kept[key] = (now_s, usual_ns)
        self._kept.move_to_end(key)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return usual_ns

    def _read(self, workflow: str, kind: OperationKind, name: str) -> int | None:
        try:
            sketch = self._look_up(workflow, kind.value, name)
        except Exception:  # noqa: BLE001 - a store that cannot be read now: nobody knows
            return None
        return int(sketch.quantile(_QUANTILE) * 1e9) if sketch.count >= _MIN_COUNT else None
