"""Who may use the page port: tokens, names of the host, and no orders from other web sites."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from otel_wfperf.config import SidecarConfig, is_loopback, split_address
from otel_wfperf.sidecar.tokens import Tokens

# They say nothing that is worth hiding, and who asks them, such as kubelet, has no token and uses addresses.
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
_METRICS_PATH: Final = "/metrics"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Bearer first: clients that know both take the first. Basic makes browsers ask for the token.
_CHALLENGE: Final = 'Bearer realm="otel-wfperf", Basic realm="otel-wfperf: any name, the token as password"'


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    reason: str
    message: str


class Guard:
    """Decides about requests before anything else looks at them."""

    def __init__(self, config: SidecarConfig, *, refused: Callable[[str], None]) -> None:
        """Take what matters from the configuration.

        Args:
            config: Tokens, names, addresses.
            refused: Told the reason of each refusal.
        """
        page, metrics = config.security.page, config.security.metrics
        self._page = Tokens(page.tokens) if page.tokens else None
        own = Tokens(metrics.tokens) if metrics.tokens else None
        self._metrics = self._page if metrics.tokens is None else own
        self._hosts = _allowed_hosts(config.listen.page, page.allowed_hosts)
        self._refused = refused

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the guard before it."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            refusal = self._judge(scope) if scope["type"] == "http" and scope["path"] not in _OPEN_PATHS else None
            if refusal is None:
                await app(scope, receive, send)
                return
            self._refused(refusal.reason)
            headers = {"www-authenticate": _CHALLENGE} if refusal.status == 401 else None
            await JSONResponse({"errors": [refusal.message]}, refusal.status, headers)(scope, receive, send)

        return guarded

    def _judge(self, scope: Scope) -> _Refusal | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and not _is_named(host, self._hosts):
            advice = "add it to sidecar.security.page.allowed_hosts, or ask for localhost"
            return _Refusal(403, "host", f"host: {host!r}: is not a name of this sidecar; {advice}")
        if scope["method"] not in _SAFE_METHODS and _is_from_elsewhere(headers, host):
            advice = "use the page itself, or a program that is no browser"
            return _Refusal(
                403, "cross_site", f"origin: {headers.get('origin', '')!r}: may give no orders here; {advice}"
            )
        tokens = self._metrics if scope["path"] == _METRICS_PATH else self._page
        if tokens is not None and not tokens.accept(headers.get("authorization")):
            advice = "send one that is in sidecar.security: authorization: Bearer TOKEN"
            return _Refusal(401, "unauthenticated", f"authorization: no good token; {advice}")
        return None


def _allowed_hosts(address: str, names: Collection[str]) -> frozenset[str] | None:
    """Return the names under which the page may be asked for; None = any.

    On loopback, any other name is that of a web site which leads here (DNS rebinding). What listens to a network is
    protected by authentication; its names are checked when some are given.
    """
    if not names and not is_loopback(address):
        return None
    host, _ = split_address(address)
    return frozenset({"localhost", host.lower(), *names})


def _is_named(host: str, allowed: frozenset[str]) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name in allowed or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_from_elsewhere(headers: Headers, host: str) -> bool:
    """Tell whether a browser sends this for another site's page. Source: Fetch Metadata, Sec-Fetch-Site."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
