"""A first-come first-served queue, replayed with another number of servers."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def waits_ns(arrivals_ns: Sequence[int], services_ns: Sequence[int], servers: int) -> list[int]:
    """Return how long each request waits (nanoseconds) when so many are served at once; order as given.

    Arrivals stay where they are: that a run that waits less sends its next request earlier is not replayed.

    Source: Lindley's recursion, with the earliest of several servers (Kiefer and Wolfowitz, 1955).
    """
    if servers < 1:
        raise ValueError(f"servers: {servers} serve nothing; give 1 or more")
    free_ns = [min(arrivals_ns, default=0)] * servers
    waits = [0] * len(arrivals_ns)
    for at in sorted(range(len(arrivals_ns)), key=arrivals_ns.__getitem__):
        start_ns = max(arrivals_ns[at], heapq.heappop(free_ns))
        waits[at] = start_ns - arrivals_ns[at]
        heapq.heappush(free_ns, start_ns + services_ns[at])
    return waits
