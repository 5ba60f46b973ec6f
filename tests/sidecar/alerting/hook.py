"""A web hook on a real socket, and notifiers' messages for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_wfperf.sidecar.http_server import HttpServer


@dataclass(slots=True)
class Hook:
    """What was sent.

    Attributes:
        url: Where to send.
        bodies: JSON of each request that was taken.
        headers: Of the last request.
        tries: Requests (count).
        answer: Says the status and headers of the answer to the n-th request, from 1.
    """

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    answer: Callable[[int], Response] = lambda _number: Response(status_code=200)

    @property
    def told(self) -> list[tuple[str, str]]:
        """State and name of each alert that was taken, in order, of a webhook."""
        return [(each["state"], each["labels"]["alertname"]) for body in self.bodies for each in body["alerts"]]

    async def take(self, request: Request) -> Response:
        self.tries += 1
        self.headers = dict(request.headers)
        body = await request.json()
        answer = self.answer(self.tries)
        if answer.status_code < 300:
            self.bodies.append(body)
        return answer


@asynccontextmanager
async def running_hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = Starlette(routes=[Route("/hook", hook.take, methods=["POST"])])
    server = HttpServer(app, "127.0.0.1:0", key="hook", drain_timeout_s=1)
    hook.url = f"{await server.start()}/hook"
    try:
        yield hook
    finally:
        await server.stop()


@dataclass(slots=True)
class Counted:
    """What was counted."""

    notified_by: dict[tuple[str, str], int] = field(default_factory=dict)
    suppressed_by: dict[tuple[str, str], int] = field(default_factory=dict)

    def notified(self, notifier: str, result: str) -> None:
        key = notifier, result
        self.notified_by[key] = self.notified_by.get(key, 0) + 1

    def notification_suppressed(self, notifier: str, reason: str, alerts: int) -> None:
        key = notifier, reason
        self.suppressed_by[key] = self.suppressed_by.get(key, 0) + alerts
