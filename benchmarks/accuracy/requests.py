"""HTTP requests of tools, recorded as the instrumentation of an HTTP client does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.service_times import spread
from otel_wfperf import semconv


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, and how it goes.

    Attributes:
        route: Template of the path.
        path: The path itself, where it differs from the template.
        seconds: What the service takes in the median.
        log_spread: Standard deviation of the log of that.
        status: What it answers.
        retry_after_s: How long it asks to wait before the next try (seconds).
        resend: How often the client has tried before (count).
        setup_s: Time to connect (seconds), where the client tells it.
        pool_wait_s: Time until a connection was free (seconds), where the client tells it.
    """

    method: str
    host: str
    route: str
    path: str | None = None
    seconds: float = 0.1
    log_spread: float = 0.2
    status: int = 200
    retry_after_s: float | None = None
    resend: int | None = None
    setup_s: float | None = None
    pool_wait_s: float | None = None

    def attributes(self) -> dict[str, Any]:
        """Return what is known when it is sent.

        Set-up of the connection is told by our attributes: no instrumentation for Python tells it.
        """
        known = {
            "http.request.method": self.method,
            "server.address": self.host,
            "server.port": 443,
            "url.full": f"https://{self.host}{self.path or self.route}",
            "url.template": self.route,
            semconv.CONNECTION_SETUP: self.setup_s,
            semconv.CONNECTION_WAIT: self.pool_wait_s,
            "http.request.resend_count": self.resend or None,
        }
        return {name: value for name, value in known.items() if value is not None}

    def note_answer(self, span: Span) -> None:
        """Record what came back."""
        span.set_attribute("http.response.status_code", self.status)
        if self.status >= 400:
            span.set_attribute(semconv.ERROR_TYPE, str(self.status))
            span.set_status(Status(StatusCode.ERROR))
        if self.retry_after_s is not None:
            span.set_attribute("http.response.header.retry-after", (f"{self.retry_after_s:g}",))


async def send(request: Request, draw: Callable[..., Random], lab: Lab, tracer: Tracer) -> None:
    """Send a request and wait for the answer."""
    random = draw("http", request.method, request.host, request.route, request.path)
    now_ns = lab.clock.time_ns()
    span = tracer.start_span(request.method, kind=SpanKind.CLIENT, attributes=request.attributes(), start_time=now_ns)
    taken_s = request.seconds * spread(random, request.log_spread)
    await asyncio.sleep(taken_s + (request.setup_s or 0) + (request.pool_wait_s or 0))
    request.note_answer(span)
    span.end(lab.clock.time_ns())
