"""The sidecar's ports: free, taken by a sidecar that answers, or taken by something else."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psutil

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.cli.checks.connection import TIMEOUT_S, refuses
from otel_wfperf.config import OtlpSecurityConfig, PageSecurityConfig, SidecarConfig, TlsConfig, split_address
from otel_wfperf.config.secrets import SecretUnavailableError

WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
COMPARE: Final = "compare the addresses and sidecar.security with those it runs with: wfperf config print"


@dataclass(frozen=True, slots=True)
class _HttpPort:
    """A port that speaks HTTP, and what it asks of its clients."""

    address: str
    security: OtlpSecurityConfig | PageSecurityConfig

    @property
    def asks_for_certificate(self) -> bool:
        """Whether only clients with a certificate get an answer; there is none here."""
        tls = self.security.tls
        return tls is not None and tls.client_ca is not None

    @property
    def answers(self) -> bool:
        """Whether a sidecar seems to be there."""
        if self.asks_for_certificate:
            return not refuses(*_reachable(self.address))
        return self.status("/readyz") is not None

    def url(self, path: str) -> str:
        """Return the URL of a page, as it can be reached from here."""
        host, port = _reachable(self.address)
        scheme = "http" if self.security.tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"

    def status(self, path: str, body: bytes | None = None) -> int | None:
        """Request a page; return the HTTP status, or None when nothing that speaks HTTP answers."""
        headers = {"Content-Type": "application/x-protobuf"}
        # A proxy is for the world outside, not for this machine.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        try:
            if self.security.tokens:
                headers["Authorization"] = f"Bearer {self.security.tokens[0].get()}"
            if self.security.tls is not None:
                handlers.append(urllib.request.HTTPSHandler(context=_trusting(self.security.tls)))
            request = urllib.request.Request(self.url(path), data=body, headers=headers)  # noqa: S310 - always http(s)
            with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, ValueError, SecretUnavailableError):
            return None


def checks(config: SidecarConfig) -> Iterator[Check]:
    """Look at the three ports and at the sidecar behind them if there is one."""
    listen = config.listen
    page, http = _HttpPort(listen.page, config.security.page), _HttpPort(listen.http, config.security.otlp)
    if page.answers:
        yield _readiness(page)
        yield _otlp_over_http(http)
        yield _otlp_over_grpc(listen.grpc)
    else:
        ports = {"OTLP over gRPC": listen.grpc, "OTLP over HTTP": listen.http, "page": listen.page}
        yield from (_port(purpose, address) for purpose, address in ports.items())


def _readiness(page: _HttpPort) -> Check:
    if page.asks_for_certificate:
        return Check("sidecar", Health.OK, f"{page.address} answers, to clients with a certificate only")
    ready = page.status("/readyz")
    if ready == 200:
        return Check("sidecar", Health.OK, f"running and ready on {page.url('')}")
    problem = f"/readyz on {page.address} answers {ready}"
    return Check("sidecar", Health.FAIL, problem, "read the messages of wfperf sidecar")


def _otlp_over_http(http: _HttpPort) -> Check:
    """Check a sidecar that answers: an empty request is valid OTLP and stores nothing."""
    subject = "OTLP over HTTP"
    if http.asks_for_certificate:
        problem = refuses(*_reachable(http.address))
        detail = f"{http.address} {problem or 'answers, to clients with a certificate only'}"
        return Check(subject, Health.FAIL if problem else Health.OK, detail, COMPARE if problem else "")
    status = http.status("/v1/traces", body=b"")
    health = Health.OK if status == 200 else Health.FAIL
    detail = f"{http.address} answers an empty request with {status or 'nothing'}"
    return Check(subject, health, detail, "" if status == 200 else COMPARE)


def _otlp_over_grpc(address: str) -> Check:
    problem = refuses(*_reachable(address))
    health = Health.FAIL if problem else Health.OK
    return Check("OTLP over gRPC", health, f"{address} {problem or 'answers'}", COMPARE if problem else "")


def _port(purpose: str, address: str) -> Check:
    host, port = _reachable(address)
    subject = f"port for {purpose}"
    if port == 0 or refuses(host, port):
        return Check(subject, Health.OK, f"{address} is free")
    return Check(
        subject,
        Health.WARN,
        f"{address} is in use by {_owner(port)}, which is no sidecar",
        "stop it, or start the sidecar on another port: wfperf sidecar --help",
    )


def _owner(port: int) -> str:
    """Name the process that listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if listens and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return "a process of another user"


def _reachable(address: str) -> tuple[str, int]:
    host, port = split_address(address)
    return WILDCARDS.get(host, host), port


def _trusting(tls: TlsConfig) -> ssl.SSLContext:
    """Trust exactly the certificate that is configured, whatever names are in it."""
    context = ssl.create_default_context(cafile=tls.certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
