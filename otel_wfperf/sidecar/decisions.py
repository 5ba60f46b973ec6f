"""Which traces are analysed, and with what result: for exporters that send only some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from otel_wfperf.store import Verdict


class Decisions:
    """What the analyzer has stored so far. It keeps no verdict: those are in the store, also after a restart."""

    def __init__(self, position: int, verdicts: Callable[[Iterable[str]], Mapping[str, Verdict]]) -> None:
        """Continue where the analyzer does.

        Args:
            position: The results of all records up to this offset are stored.
            verdicts: Looks up traces in the store; blocks.
        """
        self._position = position
        self._open: frozenset[str] = frozenset()
        self._verdicts = verdicts
        self._changed = asyncio.Event()
        self.version = 0

    def settled(self, position: int, open_trace_ids: Iterable[str]) -> None:
        """Note that everything up to an offset is analysed and stored, but for some traces."""
        now_open = frozenset(open_trace_ids)
        if (position, now_open) == (self._position, self._open):
            return
        self._position, self._open = position, now_open
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def is_decided(self, trace_id: str, offset: int) -> bool:
        """Tell whether the spans of a trace in a record are analysed."""
        return offset <= self._position and trace_id not in self._open

    async def verdicts(self, trace_ids: Iterable[str]) -> Mapping[str, Verdict]:
        """Look up traces; those of which nothing is stored are left out."""
        return await asyncio.to_thread(self._verdicts, tuple(trace_ids))

    async def wait(self, version: int, *, timeout_s: float) -> None:
        """Wait until there is something newer than a version, but not longer than the timeout (seconds)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.version == version:
                    await self._changed.wait()
