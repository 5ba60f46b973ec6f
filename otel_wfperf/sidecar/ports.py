"""The ports of a sidecar: who may use them, and the servers behind them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp

from otel_wfperf.config import SidecarConfig, TlsConfig, is_loopback
from otel_wfperf.log import Log
from otel_wfperf.sidecar.http_server import HttpServer
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.receivers import http
from otel_wfperf.sidecar.receivers.grpc import GrpcReceiver
from otel_wfperf.sidecar.receivers.request import Intake
from otel_wfperf.sidecar.tls import Certificates
from otel_wfperf.sidecar.tokens import Tokens

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a sidecar listens.

    Attributes:
        grpc: OTLP over gRPC (host:port).
        http: OTLP over HTTP (base URL).
        page: Page, API, metrics (base URL).
    """

    grpc: str
    http: str
    page: str


class Ports:
    """The servers of one sidecar."""

    def __init__(self, config: SidecarConfig, log: Log, metrics: Metrics, *, page: ASGIApp) -> None:
        """Prepare; raise ConfigError when a port would be open to the network or a certificate cannot be used.

        Args:
            config: Addresses, limits, tokens, certificates.
            log: What the receivers append to.
            metrics: Counters.
            page: The application of the page port, guarded already.
        """
        config.refuse_exposure()
        _warn_of_readable_tokens(config)
        self._config = config
        self._metrics = metrics
        otlp = config.security.otlp
        certificates = _certificates(otlp.tls, "otlp")
        self._intake = Intake(
            log,
            metrics,
            max_request_bytes=config.max_request_size_bytes,
            limits=config.limits,
            tokens=Tokens(otlp.tokens) if otlp.tokens else None,
        )
        self._page = self._server(page, "page", _certificates(config.security.page.tls, "page"), drain_timeout_s=0)
        app = http.application(self._intake, read_timeout_s=config.read_timeout_s, cors=otlp.cors)
        self._http = self._server(app, "http", certificates, drain_timeout_s=config.drain_timeout_s / 2)
        self._grpc = GrpcReceiver(self._intake, config.listen.grpc, certificates=certificates)

    async def open(self, opened: AsyncExitStack) -> Endpoints:
        """Listen: the page first, the receivers last; raise ConfigError when a port is taken."""
        page = await self._page.start()
        opened.push_async_callback(self._page.stop)
        http_url = await self._http.start()
        opened.push_async_callback(self._http.stop)
        grpc = await self._grpc.start()
        opened.push_async_callback(self._grpc.stop, 0)
        return Endpoints(grpc=grpc, http=http_url, page=page)

    def refuse_for_now(self) -> None:
        """Refuse what comes from now on, retryably."""
        self._intake.draining = True

    async def drain(self) -> None:
        """Refuse what comes from now on, and finish what is being received."""
        self.refuse_for_now()
        await asyncio.gather(self._grpc.stop(self._config.drain_timeout_s / 2), self._http.stop())

    def _server(
        self, app: ASGIApp, port: str, certificates: Certificates | None, *, drain_timeout_s: float
    ) -> HttpServer:
        return HttpServer(
            app,
            getattr(self._config.listen, port),
            key=f"sidecar.listen.{port}",
            drain_timeout_s=drain_timeout_s,
            read_timeout_s=self._config.read_timeout_s,
            certificates=certificates,
            max_connections=self._config.limits.connections,
            connection_refused=partial(self._metrics.connection_refused, port),
        )


def _certificates(tls: TlsConfig | None, audience: str) -> Certificates | None:
    return Certificates(tls, key=f"sidecar.security.{audience}.tls") if tls is not None else None


def _warn_of_readable_tokens(config: SidecarConfig) -> None:
    security, listen = config.security, config.listen
    for audience, settings, address in (
        ("otlp", security.otlp, listen.grpc),
        ("otlp", security.otlp, listen.http),
        ("page", security.page, listen.page),
    ):
        if settings.tokens and settings.tls is None and not is_loopback(address):
            _LOGGER.warning(
                "sidecar.security.%s: tokens cross the network readably on %s; set sidecar.security.%s.tls, unless "
                "something else encrypts",
                audience,
                address,
                audience,
            )
