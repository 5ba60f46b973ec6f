"""Write the spans that were received into a file that ``wfperf analyze`` and ``wfperf compare`` read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from otel_wfperf.log import Log, Signal

CONSUMER: Final = "recorder"
_WAIT_S: Final = 1.0
# Source: how the Collector's file exporter frames requests (fileexporter/README.md): 4 bytes, big endian.
_PREFIX_BYTES: Final = 4


@dataclass(slots=True)
class Recorder:
    """Follows the log as a consumer of its own, so that nothing is trimmed before it is written.

    Attributes:
        file: Gets the requests as OTLP protobuf, each after its length.
        spans: Written so far (count).
    """

    file: BinaryIO
    spans: int = 0
    _position: int = 0
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, log: Log) -> None:
        """Write what comes, until cancelled."""
        while True:
            if await log.wait(self._position, timeout_s=_WAIT_S):
                await self.catch_up(log)

    async def catch_up(self, log: Log) -> None:
        """Write all that is in the log now."""
        async with self._writing:
            while records := await log.read(self._position):
                for record in records:
                    if record.signal is Signal.TRACES:
                        self.file.write(len(record.data).to_bytes(_PREFIX_BYTES, "big") + record.data)
                        self.spans += record.items
                self._position = records[-1].offset
                await log.commit(CONSUMER, self._position)
            self.file.flush()
