"""How many agents run at once, for the metric of how busy their capacity is."""

from __future__ import annotations

import time
from threading import RLock


class ActiveAgents:
    """How many agents run, and for how long they kept the capacity busy."""

    def __init__(self) -> None:
        """Begin with none."""
        # Reentrant: a signal handler or a finalizer of the same thread may record an agent, too.
        self._lock = RLock()
        self._active = 0
        self._peak = 0
        self._busy_s = 0.0
        self._changed_s = self._taken_s = time.monotonic()

    def change(self, by: int) -> None:
        """Count an agent in (1) or out (-1)."""
        with self._lock:
            self._integrate()
            # An agent that ends in a forked child started in the parent.
            self._active = max(0, self._active + by)
            self._peak = max(self._peak, self._active)

    def take_utilisation(self, capacity: int | None) -> float | None:
        """Return the busy share since the last call (0..1); None when no agent ever ran.

        Without a configured capacity, the most agents that ever ran at once stand for it.
        """
        with self._lock:
            now_s = self._integrate()
            available_s = (capacity or self._peak) * (now_s - self._taken_s)
            busy_s, self._busy_s, self._taken_s = self._busy_s, 0.0, now_s
        return min(1.0, busy_s / available_s) if available_s > 0 else None

    def _integrate(self) -> float:
        now_s = time.monotonic()
        self._busy_s += self._active * (now_s - self._changed_s)
        self._changed_s = now_s
        return now_s
