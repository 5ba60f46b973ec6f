"""Both transports against real certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from otel_wfperf.config import ExporterConfig
from otel_wfperf.errors import ConfigError
from otel_wfperf.log import Signal
from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome, Retry
from otel_wfperf.sidecar.exporters.transport import TRANSPORTS, connect
from tests.sidecar import requests
from tests.sidecar.authority import LONG_AGO, Authority
from tests.sidecar.exporters.backend import grpc_backend

transports = pytest.mark.parametrize("protocol", TRANSPORTS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@asynccontextmanager
async def https_backend(server: dict[str, Any]) -> AsyncIterator[str]:
    """Take everything over HTTPS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server["certificate"], server["key"])
    if "client_ca" in server:
        context.load_verify_locations(server["client_ca"])
        context.verify_mode = ssl.CERT_REQUIRED
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as running:
        yield f"https://127.0.0.1:{running.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def grpcs_backend(server: dict[str, Any]) -> AsyncIterator[str]:
    async with grpc_backend(tls=grpc_credentials(server)) as backend:
        yield backend.endpoint


def grpc_credentials(server: dict[str, Any]) -> grpc.ServerCredentials:
    pair = (Path(server["key"]).read_bytes(), Path(server["certificate"]).read_bytes())
    ca = Path(server["client_ca"]).read_bytes() if "client_ca" in server else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


BACKENDS: dict[str, Callable[[dict[str, Any]], AbstractAsyncContextManager[str]]] = {
    "grpc": grpcs_backend,
    "http/protobuf": https_backend,
}


def configured(protocol: str, endpoint: str, **tls: Any) -> ExporterConfig:
    config = {"name": "b", "endpoint": endpoint, "protocol": protocol, "timeout": "5s", "tls": tls}
    return ExporterConfig.model_validate(config)


async def sent(config: ExporterConfig) -> Outcome:
    exporter = connect(config)
    try:
        return await exporter.send(Signal.TRACES, requests.traces())
    finally:
        await exporter.close()


@transports
async def test_believes_a_back_end_whose_certificate_is_from_the_authority(protocol: str, authority: Authority) -> None:
    async with BACKENDS[protocol](authority.server()) as endpoint:
        assert await sent(configured(protocol, endpoint, ca=str(authority.certificate))) == Accepted()


@transports
async def test_retries_with_the_reason_when_it_does_not_believe_a_back_end(
    protocol: str, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    async with BACKENDS[protocol](authority.server()) as endpoint:
        outcome = await sent(configured(protocol, endpoint, ca=str(other.certificate)))

    assert isinstance(outcome, Retry)
    assert outcome.reason == "tls"


@transports
async def test_a_certificate_that_has_expired_is_told(protocol: str, authority: Authority) -> None:
    certificate, key = authority.issue("old", not_after=LONG_AGO)
    async with BACKENDS[protocol]({"certificate": certificate, "key": key}) as endpoint:
        outcome = await sent(configured(protocol, endpoint, ca=str(authority.certificate)))

    assert isinstance(outcome, Retry)
    assert outcome.reason == "tls"
    assert "expired" in outcome.detail


@transports
async def test_shows_its_own_certificate_when_asked(protocol: str, authority: Authority, tmp_path: Path) -> None:
    clients = Authority(tmp_path / "clients")
    certificate, key = (str(path) for path in clients.issue("client"))
    ca = str(authority.certificate)
    async with BACKENDS[protocol](authority.server(clients=clients)) as endpoint:
        assert isinstance(await sent(configured(protocol, endpoint, ca=ca)), Retry)
        mutual = configured(protocol, endpoint, ca=ca, certificate=certificate, key=key)
        assert await sent(mutual) == Accepted()


@transports
async def test_a_certificate_of_another_name_is_believed_when_it_is_named(protocol: str, authority: Authority) -> None:
    ca = str(authority.certificate)
    async with BACKENDS[protocol](authority.server()) as endpoint:
        assert isinstance(await sent(configured(protocol, endpoint, ca=ca, server_name="elsewhere.test")), Retry)
        assert await sent(configured(protocol, endpoint, ca=ca, server_name="localhost")) == Accepted()


async def test_the_check_can_be_left_out_over_http(authority: Authority) -> None:
    async with https_backend(authority.server()) as endpoint:
        config = configured("http/protobuf", endpoint, insecure_skip_verify=True)
        assert await sent(config) == Accepted()


@transports
async def test_new_files_count_without_a_restart_and_broken_ones_do_not(
    protocol: str, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority(tmp_path / "other")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(other.certificate.read_bytes())
    async with BACKENDS[protocol](authority.server()) as endpoint:
        exporter = connect(configured(protocol, endpoint, ca=str(trusted)))
        try:
            assert isinstance(await exporter.send(Signal.TRACES, requests.traces()), Retry)
            trusted.write_bytes(authority.certificate.read_bytes() + b"\n")
            assert await exporter.send(Signal.TRACES, requests.traces()) == Accepted()
            trusted.write_text("no certificate at all")
            assert await exporter.send(Signal.TRACES, requests.traces()) == Accepted()
        finally:
            await exporter.close()

    assert "the certificates from before stay in use" in caplog.text


@transports
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"ca": None}, r"sidecar\.exporters \(b\): tls\.ca: .*cannot be read \(No such file"),
        ({"ca": "x"}, r"tls\.ca: .*holds no certificate; name a PEM file"),
        ({"certificate": "x", "key": "x"}, "are no certificate with its key"),
    ],
)
async def test_refuses_files_that_cannot_be_used_with_their_key(
    protocol: str, tmp_path: Path, content: dict[str, str | None], expected: str
) -> None:
    for name, text in content.items():
        if text is not None:
            (tmp_path / name).write_text(text)
    files = {name: str(tmp_path / name) for name in content}

    with pytest.raises(ConfigError, match=expected):
        connect(configured(protocol, "https://127.0.0.1:1", **files))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"endpoint": "http://b:1", "tls": {"server_name": "b"}}, "tls is for https endpoints"),
        ({"tls": {"insecure_skip_verify": True}}, "gRPC cannot leave out the check"),
        ({"tls": {"certificate": "a"}}, "key is missing"),
        ({"tls": {"key": "a"}}, "certificate is missing"),
    ],
)
def test_refuses_settings_that_contradict_each_other(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        ExporterConfig.model_validate({"name": "b", "endpoint": "https://b:1", **config})
