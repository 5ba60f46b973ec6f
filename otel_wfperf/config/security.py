"""Who may talk to the sidecar, and how."""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, model_validator
from pydantic_core import PydanticCustomError

from otel_wfperf.config.listen import ListenConfig
from otel_wfperf.config.secrets import SECRET_PROBLEM, Secret
from otel_wfperf.config.section import Section
from otel_wfperf.config.values import Duration, split_address

# Chosen: 16 random hexadecimal digits are 64 bits, which nobody guesses over a network.
_MIN_TOKEN_CHARACTERS: Final = 16
_ORIGIN: Final = re.compile(r"https?://[^/?#\s]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")


def _checked_token(token: Secret) -> Secret:
    value = token.get()
    if len(value) < _MIN_TOKEN_CHARACTERS:
        problem = "a token needs at least {least} characters; `openssl rand -hex 16` makes one"
        raise PydanticCustomError(SECRET_PROBLEM, problem, {"least": _MIN_TOKEN_CHARACTERS})
    if not value.isascii() or not value.isprintable() or " " in value:
        raise PydanticCustomError(SECRET_PROBLEM, "a token is printable ASCII without spaces: it is sent in a header")
    return token


def _checked_origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("write an origin as browsers do, such as https://app.example.com (no path, no wildcard)")
    return origin.lower()


def _checked_host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise ValueError("write a host name without a port, such as wfperf.example.com")
    return host.lower()


Token = Annotated[Secret, AfterValidator(_checked_token)]
Origin = Annotated[str, AfterValidator(_checked_origin)]
HostName = Annotated[str, AfterValidator(_checked_host)]


class TlsConfig(Section):
    """TLS 1.2 or newer. The files are PEM; when one changes, new connections use what is in it."""

    certificate: Path
    """The server's certificate, followed by those between it and its authority."""
    key: Path
    """Its private key, not encrypted."""
    client_ca: Path | None = None
    """Authorities of the clients' certificates; a client without one from them is refused (mutual TLS)."""


class CorsConfig(Section):
    """Which web pages may send OTLP over HTTP from a browser. Source: Fetch standard, "CORS protocol"."""

    allowed_origins: tuple[Origin, ...] = ()
    """Their origins, such as https://app.example.com; none by default."""
    allowed_headers: tuple[str, ...] = ()
    """Headers that they may send besides content-type, content-encoding and authorization."""
    max_age_s: Duration = 600.0
    """How long a browser may remember the permission (default 10m). Chosen: the most that Chromium used to keep."""


class OtlpSecurityConfig(Section):
    """Who may send OTLP, over gRPC and HTTP."""

    tls: TlsConfig | None = None
    """Certificates; none = not encrypted."""
    tokens: tuple[Token, ...] = ()
    """Each is enough: `authorization: Bearer TOKEN`. Several let senders change over one by one; a file that changes
    counts within a second."""
    cors: CorsConfig = CorsConfig()
    """Web pages."""


class PageSecurityConfig(Section):
    """Who may see the page, use the API and, by default, scrape /metrics. /healthz and /readyz are open to all."""

    tls: TlsConfig | None = None
    """Certificates of the port, /metrics and health included; none = not encrypted."""
    tokens: tuple[Token, ...] = ()
    """Each is enough: `authorization: Bearer TOKEN`, or in a browser as the password for any user name."""
    allowed_hosts: tuple[HostName, ...] = ()
    """Names under which the page may be asked for besides localhost and addresses, such as that of a proxy. On a
    loopback address others are refused: a web site could make its name lead here (DNS rebinding)."""


class MetricsSecurityConfig(Section):
    """Who may scrape /metrics."""

    tokens: tuple[Token, ...] | None = None
    """Those of the page by default; others here make it separate, and [] opens it to all who reach the port."""


class SecurityConfig(Section):
    """Who may talk to the sidecar, and how. Everything is open by default, to this machine only."""

    otlp: OtlpSecurityConfig = OtlpSecurityConfig()
    """OTLP over gRPC and HTTP."""
    page: PageSecurityConfig = PageSecurityConfig()
    """Page and API."""
    metrics: MetricsSecurityConfig = MetricsSecurityConfig()
    """/metrics."""
    allow_unauthenticated: bool = False
    """Listen on addresses other than loopback although anybody who reaches them may send or see everything (default
    false). For networks that do their own authentication, such as a service mesh."""

    @model_validator(mode="after")
    def _open_metrics_need_an_open_port(self) -> Self:
        if self.metrics.tokens == () and self.page.tls is not None and self.page.tls.client_ca is not None:
            raise ValueError(
                "metrics.tokens: []: /metrics cannot be open while page.tls.client_ca asks for a certificate"
            )
        return self

    def exposures(self, listen: ListenConfig) -> Iterator[str]:
        """Say which addresses anybody in the network could use, each with its key and a way out."""
        if self.allow_unauthenticated:
            return
        for key, audience in (("grpc", "otlp"), ("http", "otlp"), ("page", "page")):
            address = getattr(listen, key)
            if not is_loopback(address) and not _authenticates(self.otlp if audience == "otlp" else self.page):
                yield (
                    f"sidecar.listen.{key}: {address!r}: would be open to everybody in the network; set "
                    f"sidecar.security.{audience}.tokens or sidecar.security.{audience}.tls.client_ca, listen on "
                    "127.0.0.1, or set sidecar.security.allow_unauthenticated: true"
                )


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can connect to an address (host:port)."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _authenticates(config: OtlpSecurityConfig | PageSecurityConfig) -> bool:
    return bool(config.tokens) or (config.tls is not None and config.tls.client_ca is not None)
