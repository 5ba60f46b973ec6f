"""uvicorn as a part of a larger program: it binds early, says when it is ready, and leaves signals alone."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from otel_wfperf.config import split_address
from otel_wfperf.errors import ConfigError
from otel_wfperf.sidecar.tls import Certificates

# Chosen: as nginx, and longer than the 60 s that Prometheus scrapes at.
_KEEP_ALIVE_S = 75
_SETTINGS: Final[dict[str, Any]] = {
    "lifespan": "off",
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": _KEEP_ALIVE_S,
}
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HttpServer:
    """Serves one ASGI application on one address."""

    def __init__(
        self,
        app: ASGIApp,
        address: str,
        *,
        key: str,
        drain_timeout_s: float,
        read_timeout_s: float = 30.0,
        certificates: Certificates | None = None,
        max_connections: int = 1_000,
        connection_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to serve.

        Args:
            app: What to serve.
            address: Where (host:port).
            key: The setting that a message about the address names.
            drain_timeout_s: How long requests in flight may take when it stops (seconds, at least one).
            read_timeout_s: How long a client may take to send the headers of a request (seconds).
            certificates: For TLS; None = not encrypted.
            max_connections: Connections at once; the next is answered 503 and closed (count).
            connection_refused: Told of each of those.
        """
        self._address = address
        self._key = key
        config = uvicorn.Config(
            app,
            http=_bounded(AutoHTTPProtocol, max_connections, connection_refused),
            timeout_graceful_shutdown=max(1, round(drain_timeout_s)),
            **_SETTINGS,
        )
        config.load()
        # uvicorn makes contexts of its own, whose certificates stay what they are.
        config.ssl = certificates.context() if certificates is not None else None
        self._scheme = "https" if certificates is not None else "http"
        self._server = _Server(config, read_timeout_s=read_timeout_s)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen and return the base URL with the real port; raise ConfigError when the port is taken."""
        listening = self._bind()
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name=f"wfperf {self._key}")
        await self._server.ready.wait()
        host, port = listening.getsockname()[:2]
        return f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}"

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, close the connections."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task

    def _bind(self) -> socket.socket:
        host, port = split_address(self._address)
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            listening.close()
            message = f"{self._key}: {self._address!r}: cannot be bound ({error.strerror}); choose another port"
            raise ConfigError(message) from error
        return listening


class _Server(uvicorn.Server):
    """A server that its owner starts and stops."""

    def __init__(self, config: uvicorn.Config, *, read_timeout_s: float) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._read_timeout_s = read_timeout_s
        self._waiting_since_s: dict[Any, float] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def on_tick(self, counter: int) -> bool:
        """Hang up on clients that take too long to send the headers of a request, which uvicorn 0.54 never does."""
        now_s = time.monotonic()
        waiting = [one for one in self.server_state.connections if _awaits_headers(one)]
        self._waiting_since_s = {one: self._waiting_since_s.get(one, now_s) for one in waiting}
        for connection, since_s in self._waiting_since_s.items():
            if now_s - since_s >= self._read_timeout_s:
                connection.transport.close()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the owner."""
        yield


def _bounded(protocol: Any, limit: int, refused: Callable[[], None]) -> type[asyncio.Protocol]:
    """Make a protocol that takes connections up to a limit, so that clients cannot use up the open files."""

    class Bounded(protocol):  # type: ignore[misc]  # which protocol it is depends on what is installed
        def connection_made(self, transport: asyncio.Transport) -> None:
            if len(self.connections) < limit:
                super().connection_made(transport)
                return
            refused()
            self.transport = transport
            transport.write(_FULL)
            transport.close()

    return Bounded


def _awaits_headers(connection: Any) -> bool:
    """Tell whether a connection has no request in flight and is not in the pause between two requests."""
    cycle = connection.cycle
    return (cycle is None or cycle.response_complete) and connection.timeout_keep_alive_task is None
