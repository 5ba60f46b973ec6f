"""An event loop on which time passes faster, so that ten minutes of delays take some seconds."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any, Final

SPEED: Final = 30


class FastLoop(asyncio.SelectorEventLoop):
    """Tells a time that runs :data:`SPEED` times as fast; files, threads and sockets are as fast as ever."""

    def __init__(self) -> None:
        """Start at the time of the usual loop, made faster."""
        super().__init__(_FastSelector())

    def time(self) -> float:
        """Return the time (seconds)."""
        return super().time() * SPEED


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout / SPEED if timeout else timeout)
