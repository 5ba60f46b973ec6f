"""OTLP over HTTP, in protobuf, to a back end."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from otel_wfperf.config import ExporterConfig
from otel_wfperf.log import Signal
from otel_wfperf.otlp.status import rejected_items
from otel_wfperf.sidecar.exporters.address import is_loopback
from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome, Rejected, Retry

# Source: OTLP specification, "Retryable Response Codes".
RETRYABLE: Final = frozenset({429, 502, 503, 504})
# Source: RFC 1952; level 1 compresses telemetry almost as well as 9 at a fraction of the time.
_GZIP_LEVEL: Final = 1
# Source: OTLP specification, "OTLP/HTTP Response": clients should limit what they read, 4 MiB is recommended.
_MAX_ANSWER_BYTES: Final = 4 * 1024**2


class HttpExporter:
    """Sends to one HTTP endpoint."""

    def __init__(self, config: ExporterConfig, *, clock_s: Callable[[], float] = time.time) -> None:
        """Prepare a connection pool, which connects when it is used."""
        self._clock_s = clock_s
        self._timeout_s = config.timeout_s
        self._gzip = config.compression == "gzip"
        self._urls = {signal: f"{config.endpoint}/v1/{signal.value}" for signal in Signal}
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        headers["content-type"] = "application/x-protobuf"
        if self._gzip:
            headers["content-encoding"] = "gzip"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=config.timeout_s,
            # A proxy of the environment is not between us and our own machine.
            trust_env=not is_loopback(config.endpoint),
            limits=httpx.Limits(max_connections=config.concurrency),
        )

    async def send(self, signal: Signal, data: bytes) -> Outcome:
        """Try once to hand over an OTLP protobuf request."""
        if self._gzip:
            data = await asyncio.to_thread(gzip.compress, data, _GZIP_LEVEL)
        try:
            # httpx bounds each read alone: a back end that sends a byte now and then would never end.
            async with asyncio.timeout(self._timeout_s):
                response, body = await self._post(signal, data)
        except (httpx.TimeoutException, TimeoutError):
            return Retry(reason="timeout")
        except httpx.HTTPError:
            return Retry(reason="connection")
        if response.is_success:
            return Accepted(rejected_items=rejected_items(body))
        reason = f"http_{response.status_code}"
        if response.status_code in RETRYABLE:
            return Retry(reason=reason, after_s=retry_after_s(response.headers.get("retry-after"), self._clock_s()))
        return Rejected(reason=reason)

    async def _post(self, signal: Signal, data: bytes) -> tuple[httpx.Response, bytes]:
        """Send, and read no more of the answer than one may be long; a longer one is not OTLP, and is left."""
        body = bytearray()
        async with self._client.stream("POST", self._urls[signal], content=data) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    body.clear()
                    break
        return response, bytes(body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Return the delay of a Retry-After header (seconds); None when there is none.

    Source: RFC 9110, section 10.2.3: a number of seconds or a date.
    """
    if header is None:
        return None
    try:
        if header.strip().isdigit():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
