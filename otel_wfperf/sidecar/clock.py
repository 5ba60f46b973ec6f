"""The time for the analyzer: it reads like the wall clock and never jumps."""

import time
from collections.abc import Callable


def steady_clock(
    wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
) -> Callable[[], int]:
    """Return a clock (nanoseconds since the Unix epoch) that goes on from now by the monotonic one.

    A wall clock that is set back by an hour would keep executions open, and the analyzer idle, for that hour.
    """
    offset_ns = wall_ns() - monotonic_ns()
    return lambda: monotonic_ns() + offset_ns
