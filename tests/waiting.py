"""Wait for something that happens in another task, but not for ever; `tests.processes.eventually` is for threads."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Chosen: far above what is ever needed on two busy cores, so that only a real fault reaches it.
LIMIT_S = 30.0
_PAUSE_S = 0.02


async def eventually_async(predicate: Callable[[], Awaitable[T]], timeout_s: float = LIMIT_S) -> T:
    """Await until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := await predicate()):
        assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s:g} s"
        await asyncio.sleep(_PAUSE_S)
    return answer
