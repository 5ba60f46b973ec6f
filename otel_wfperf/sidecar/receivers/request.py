"""What both receivers do with a request: check it, append it to the log, say how it went.

The log gets the request's own bytes, so that exporters send on what came, unknown fields included. Only a request
with spans that must be rejected is written anew, without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Signal
from otel_wfperf.otlp.requests import Checked, check
from otel_wfperf.otlp.status import response_body
from otel_wfperf.sidecar.metrics import Metrics

# Chosen: parsing this much takes about 3 ms; more would hold up the other clients of the event loop.
_INLINE_BYTES: Final = 512 * 1024


class StoppingError(LogFullError):
    """The sidecar stops; the sender should retry, with the next one."""

    def __init__(self) -> None:
        """Say so instead of blaming the log."""
        super().__init__(retry_after_s=1.0)
        self.args = ("the sidecar is stopping; retry in 1 s",)


class Intake:
    """Takes requests from the receivers into the log."""

    def __init__(self, log: Log, metrics: Metrics, *, max_request_bytes: int) -> None:
        """Share one log and one set of counters between the receivers."""
        self._log = log
        self.metrics = metrics
        self.max_request_bytes = max_request_bytes
        self.draining = False

    async def accept(self, signal: Signal, data: bytes, *, protocol: str) -> Mapping[str, int]:
        """Append a protobuf request to the log; durable when this returns the spans left out, by reason.

        Raises:
            DecodeError: It is not what it says it is; sending it again is no use.
            LogFullError: There is no room now, or the sidecar stops; the sender should retry.
        """
        return await self.accept_checked(signal, lambda: check(signal, data), size=len(data), protocol=protocol)

    async def accept_checked(
        self, signal: Signal, checking: Callable[[], Checked], *, size: int, protocol: str
    ) -> Mapping[str, int]:
        """Do the same for a request that is decoded by ``checking``."""
        if self.draining:
            raise StoppingError
        checked = checking() if size <= _INLINE_BYTES else await asyncio.to_thread(checking)
        if checked.items:
            await self._log.append(signal, checked.data, items=checked.items)
        self.metrics.accepted(signal, protocol, checked.items)
        for reason, spans in checked.rejected.items():
            self.metrics.rejected_spans(reason, spans)
        return checked.rejected


def answer(rejected: Mapping[str, int], *, json: bool) -> bytes:
    """Encode the answer to an accepted request, in JSON or protobuf."""
    reasons = ", ".join(f"{spans} {reason}" for reason, spans in sorted(rejected.items()))
    message = f"spans rejected: {reasons}; the others were accepted" if rejected else ""
    return response_body(sum(rejected.values()), message, json=json)
