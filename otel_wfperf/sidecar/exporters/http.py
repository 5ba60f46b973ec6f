"""OTLP over HTTP, in protobuf, to a back end."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from otel_wfperf.config import ExporterConfig, SecretUnavailableError
from otel_wfperf.log import Signal
from otel_wfperf.otlp.status import rejected_items
from otel_wfperf.sidecar.exporters.address import is_loopback
from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome, Rejected, Retry, shortened
from otel_wfperf.sidecar.exporters.headers import current_headers
from otel_wfperf.sidecar.exporters.tls import ssl_context

# Source: OTLP specification, "Retryable Response Codes".
RETRYABLE: Final = frozenset({429, 502, 503, 504})
# Source: RFC 1952; level 1 compresses telemetry almost as well as 9 at a fraction of the time.
_GZIP_LEVEL: Final = 1
# Source: OTLP specification, "OTLP/HTTP Response": clients should limit what they read, 4 MiB is recommended.
_MAX_ANSWER_BYTES: Final = 4 * 1024**2
_MAX_DETAIL_BYTES: Final = 1024


class HttpExporter:
    """Sends to one HTTP endpoint."""

    def __init__(self, config: ExporterConfig, *, clock_s: Callable[[], float] = time.time) -> None:
        """Prepare a connection pool, which connects when it is used."""
        self._clock_s = clock_s
        self._timeout_s = config.timeout_s
        self._gzip = config.compression == "gzip"
        self._urls = {signal: f"{config.endpoint}/v1/{signal.value}" for signal in Signal}
        self._headers = config.headers
        self._own_headers = {"content-type": "application/x-protobuf"}
        if self._gzip:
            self._own_headers["content-encoding"] = "gzip"
        server_name = config.tls.server_name
        self._extensions: dict[str, Any] = {"sni_hostname": server_name} if server_name else {}
        self._client = httpx.AsyncClient(
            timeout=config.timeout_s,
            verify=ssl_context(config) if config.endpoint.startswith("https://") else True,
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
        except SecretUnavailableError as error:
            return Retry(reason="secret", detail=str(error))
        except (httpx.TimeoutException, TimeoutError):
            return Retry(reason="timeout")
        except httpx.HTTPError as error:
            return Retry(reason=_reason(error), detail=shortened(str(error)))
        if response.is_success:
            return Accepted(rejected_items=rejected_items(body))
        reason, detail = f"http_{response.status_code}", shortened(body[:_MAX_DETAIL_BYTES].decode(errors="replace"))
        if response.status_code in RETRYABLE:
            after_s = retry_after_s(response.headers.get("retry-after"), self._clock_s())
            return Retry(reason=reason, after_s=after_s, detail=detail)
        return Rejected(reason=reason, detail=detail)

    async def _post(self, signal: Signal, data: bytes) -> tuple[httpx.Response, bytes]:
        """Send, and read no more of the answer than one may be long; a longer one is not OTLP, and is left."""
        body = bytearray()
        headers = current_headers(self._headers) | self._own_headers
        async with self._client.stream(
            "POST", self._urls[signal], content=data, headers=headers, extensions=self._extensions
        ) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    body.clear()
                    break
        return response, bytes(body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _reason(error: BaseException) -> str:
    """Tell why there was no connection, by what the failure was caused by."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if isinstance(cause, socket.gaierror):
            return "dns"
        cause = cause.__cause__ or cause.__context__
    return "connection"


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Return the delay of a Retry-After header (seconds); None when there is none.

    Source: RFC 9110, section 10.2.3: a number of seconds or a date.
    """
    if header is None:
        return None
    try:
        if header.strip().isdigit():
            return float(header)
        moment = parsedate_to_datetime(header)
        # One of the three forms names no time zone: it is UTC.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
