"""Put aside what a back end will never take, off the event loop, and count it."""

from __future__ import annotations

import asyncio
import logging

from otel_wfperf.errors import DecodeError
from otel_wfperf.log import Record
from otel_wfperf.sidecar.exporters.dead_letters import DeadLetters
from otel_wfperf.sidecar.exporters.exporter import Rejected
from otel_wfperf.sidecar.metrics import Metrics

_LOGGER = logging.getLogger(__name__)


class Aside:
    """The dead letters of one exporter."""

    def __init__(self, name: str, letters: DeadLetters, metrics: Metrics) -> None:
        """Count for an exporter what is kept of it."""
        self._name = name
        self._letters = letters
        self._metrics = metrics
        self._failed = False

    async def keep(self, record: Record, outcome: Rejected) -> bool:
        """Write a record to the dead letters; False, counted, when that is not possible."""
        about = {
            "exporter": self._name,
            "reason": outcome.reason,
            **({"detail": outcome.detail} if outcome.detail else {}),
            "received_unix_ns": str(record.received_ns),
        }
        try:
            evicted = await asyncio.to_thread(self._letters.add, record.signal, record.data, about=about)
        except (OSError, DecodeError) as error:
            if not self._failed:
                _LOGGER.error(  # noqa: TRY400 - it is no fault of ours
                    "exporter %s: a dead letter cannot be kept (%s); further ones are only counted", self._name, error
                )
            self._failed = True
            self._metrics.dead_letter(self._name, record.signal, kept=False, items=record.items)
            return False
        self._metrics.dead_letter(self._name, record.signal, kept=True, items=record.items)
        self._metrics.dead_letters_evicted(self._name, evicted)
        return True
