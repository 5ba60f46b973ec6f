"""What both receivers do with a request: check it, append it to the log, say how it went.

The log gets the request's own bytes, so that exporters send on what came, unknown fields included. Only a request
with spans that must be rejected is written anew, without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from otel_wfperf.config import LimitsConfig
from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Signal
from otel_wfperf.otlp.requests import Checked, check
from otel_wfperf.otlp.status import response_body
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.tokens import Tokens

# Chosen: parsing this much takes about 3 ms; more would hold up the other clients of the event loop.
_INLINE_BYTES: Final = 512 * 1024
UNAUTHENTICATED: Final = (
    "authorization: no good token; send one that is in sidecar.security.otlp.tokens: authorization: Bearer TOKEN"
)


class StoppingError(LogFullError):
    """The sidecar stops; the sender should retry, with the next one."""

    def __init__(self) -> None:
        """Say so instead of blaming the log."""
        super().__init__(retry_after_s=1.0)
        self.args = ("the sidecar is stopping; retry in 1 s",)


class CrowdedError(LogFullError):
    """More is being received than there is memory for; the sender should retry."""

    def __init__(self) -> None:
        """Say so instead of blaming the log."""
        super().__init__(retry_after_s=1.0)
        self.args = ("too much is being received at once; retry in 1 s",)


class TooManyItemsError(Exception):
    """A request has more in it than is allowed; it must not be sent again as it is."""


@dataclass(slots=True)
class Held:
    """Memory that all requests take which are being dealt with (bytes)."""

    size_bytes: int = 0


class Holding:
    """The part of it that one request takes."""

    def __init__(self, held: Held, limit_bytes: int) -> None:
        """Take nothing yet."""
        self._held = held
        self._limit_bytes = limit_bytes
        self._size_bytes = 0

    def grow_to(self, size_bytes: int) -> None:
        """Take this much instead of what it took; raise CrowdedError when there is too little for that now."""
        more = size_bytes - self._size_bytes
        if more > 0 and self._held.size_bytes + more > self._limit_bytes:
            raise CrowdedError
        self._held.size_bytes += more
        self._size_bytes = size_bytes


class Intake:
    """Takes requests from the receivers into the log."""

    def __init__(
        self,
        log: Log,
        metrics: Metrics,
        *,
        max_request_bytes: int,
        limits: LimitsConfig | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """Share one log, one set of counters and the limits between the receivers.

        Args:
            log: Where requests go.
            metrics: Counters.
            max_request_bytes: Largest request, before and after decompression (bytes).
            limits: What one sender may ask.
            tokens: One of them is needed; None = nothing is.
        """
        self._log = log
        self.metrics = metrics
        self.max_request_bytes = max_request_bytes
        self._limits = limits or LimitsConfig()
        self._tokens = tokens
        self._held = Held()
        self.draining = False

    def knows(self, authorization: str | None) -> bool:
        """Tell whether a sender with this ``authorization`` may send."""
        return self._tokens is None or self._tokens.accept(authorization)

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """Account for the memory of one request until it is dealt with."""
        held = Holding(self._held, self._limits.in_flight_size_bytes)
        try:
            yield held
        finally:
            held.grow_to(0)

    async def accept(self, signal: Signal, data: bytes, *, protocol: str) -> Mapping[str, int]:
        """Append a protobuf request to the log; durable when this returns the spans left out, by reason.

        Raises:
            DecodeError: It is not what it says it is; sending it again is no use.
            TooManyItemsError: It has more in it than is allowed; sending it again is no use.
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
        if checked.items > self._limits.request_items:
            raise TooManyItemsError(
                f"{checked.items} {signal.value} in one request are more than sidecar.limits.request_items: "
                f"{self._limits.request_items}; send smaller batches"
            )
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
