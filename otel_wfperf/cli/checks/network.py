"""The sidecar's ports: free, taken by a sidecar that answers, or taken by something else."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Final

import psutil

from otel_wfperf.cli.checks.check import Check, Health
from otel_wfperf.cli.checks.connection import TIMEOUT_S, refuses
from otel_wfperf.config import SidecarConfig, split_address

WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound


def checks(config: SidecarConfig) -> Iterator[Check]:
    """Look at the three ports and at the sidecar behind them if there is one."""
    listen = config.listen
    ports = {"OTLP over gRPC": listen.grpc, "OTLP over HTTP": listen.http, "page": listen.page}
    if _status(_url(listen.page, "/readyz")) is not None:
        yield from _running(listen.page, listen.http, listen.grpc)
    else:
        for purpose, address in ports.items():
            yield _port(purpose, address)


def _running(page: str, http: str, grpc: str) -> Iterator[Check]:
    """Check a sidecar that answers: an empty request is valid OTLP and stores nothing."""
    ready = _status(_url(page, "/readyz"))
    if ready == 200:
        yield Check("sidecar", Health.OK, f"running and ready on {_url(page, '')}")
    else:
        yield Check("sidecar", Health.FAIL, f"/readyz on {page} answers {ready}", "read the messages of wfperf sidecar")
    received = _status(_url(http, "/v1/traces"), body=b"")
    yield Check(
        "OTLP over HTTP",
        Health.OK if received == 200 else Health.FAIL,
        f"{http} answers an empty request with {received or 'nothing'}",
        "" if received == 200 else "compare the addresses: wfperf config print",
    )
    problem = refuses(*_reachable(grpc))
    yield Check(
        "OTLP over gRPC",
        Health.FAIL if problem else Health.OK,
        f"{grpc} {problem or 'answers'}",
        "compare the addresses: wfperf config print" if problem else "",
    )


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


def _url(address: str, path: str) -> str:
    host, port = _reachable(address)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"


def _status(url: str, body: bytes | None = None) -> int | None:
    """Request a page of the sidecar; return the HTTP status, or None when nothing that speaks HTTP answers."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/x-protobuf"})  # noqa: S310 - always http
    # A proxy is for the world outside, not for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None
