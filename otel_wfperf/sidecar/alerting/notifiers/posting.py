"""POST JSON somewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from otel_wfperf.config import Secret, SecretUnavailableError
from otel_wfperf.sidecar.alerting.notifiers.notifier import NotSentError
from otel_wfperf.sidecar.exporters.address import is_loopback
from otel_wfperf.sidecar.exporters.http import retry_after_s

# Those that the sender is to blame for, but may be otherwise a moment later. Source: RFC 9110, 15.5.9; RFC 6585, 4.
_PASSING: Final = frozenset({408, 425, 429})


class Poster:
    """Sends to one address."""

    def __init__(self, url: Secret, *, timeout_s: float, headers: Mapping[str, Secret] | None = None) -> None:
        """Prepare a connection, which is made when it is used; secrets are read at each use."""
        self._url = url
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        # A proxy of the environment is not between us and our own machine. A redirect would take secrets elsewhere.
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=not is_loopback(url.get()))

    async def post(self, body: Any) -> None:
        """Send; raise NotSentError unless it was taken. Messages of errors hold neither address nor answer."""
        try:
            headers = {name: value.get() for name, value in self._headers.items()}
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream("POST", self._url.get(), json=body, headers=headers) as answer:
                    self._check(answer)
        except SecretUnavailableError:
            raise NotSentError("secret") from None
        except (httpx.TimeoutException, TimeoutError):
            raise NotSentError("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise NotSentError("connection") from None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        status = answer.status_code
        is_final = status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _PASSING
        after_s = retry_after_s(answer.headers.get("retry-after"), time.time())
        raise NotSentError(f"http_{status}", is_final=is_final, after_s=after_s or 0.0)
