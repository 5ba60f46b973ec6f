from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest

from otel_wfperf.errors import ConfigError
from otel_wfperf.log import Signal
from otel_wfperf.sidecar.receivers.grpc import SERVICES
from tests.sidecar import requests
from tests.sidecar.authority import LONG_AGO, Authority
from tests.sidecar.receiving import Receivers, Start

OPTIONS = [("grpc.enable_http_proxy", 0)]
METHOD = f"/{SERVICES[Signal.TRACES]}/Export"


@dataclass(frozen=True, slots=True)
class Client:
    """A client that trusts an authority, with a certificate of its own or without one."""

    trusts: Authority
    identity: tuple[Path, Path] | None = None

    async def over_http(self, receivers: Receivers) -> int:
        context = self.trusts.client_context(self.identity)
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            headers = {"content-type": "application/x-protobuf"}
            response = await client.post(f"{receivers.http}/v1/traces", content=requests.traces(), headers=headers)
        return response.status_code

    async def over_grpc(self, receivers: Receivers) -> int:
        credentials = self.trusts.channel_credentials(self.identity)
        async with grpc.aio.secure_channel(receivers.grpc, credentials, options=OPTIONS) as channel:
            call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
            answer: bytes = await call(requests.traces(), timeout=10)
        return 200 if answer == b"" else 0


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def others(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "others")


REFUSED = (httpx.TransportError, ssl.SSLError, grpc.aio.AioRpcError)


async def assert_refused(client: Client, receivers: Receivers) -> None:
    with pytest.raises(REFUSED):
        await client.over_http(receivers)
    with pytest.raises(REFUSED) as caught:
        await client.over_grpc(receivers)
    assert isinstance(caught.value, grpc.aio.AioRpcError)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await receivers.records() == ()


async def test_serves_a_client_that_trusts_its_certificate(start_receivers: Start, ours: Authority) -> None:
    receivers = await start_receivers(security={"tls": ours.server()})

    assert receivers.http.startswith("https://")
    assert await Client(ours).over_http(receivers) == 200
    assert await Client(ours).over_grpc(receivers) == 200


async def test_a_client_of_another_authority_turns_away(
    start_receivers: Start, ours: Authority, others: Authority
) -> None:
    receivers = await start_receivers(security={"tls": ours.server()})

    await assert_refused(Client(others), receivers)


async def test_plain_text_gets_no_answer(start_receivers: Start, ours: Authority) -> None:
    receivers = await start_receivers(security={"tls": ours.server()})

    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(receivers.http.replace("https", "http"))
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"", timeout=10)


@pytest.mark.parametrize(
    ("version", "is_served"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
    ids=["1.1", "1.2", "1.3"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_speaks_tls_1_2_and_newer(
    start_receivers: Start, ours: Authority, *, version: ssl.TLSVersion, is_served: bool
) -> None:
    receivers = await start_receivers(security={"tls": ours.server()})

    for address in (receivers.http.removeprefix("https://"), receivers.grpc):
        context = ours.client_context()
        # Otherwise OpenSSL 3 would not even ask for the old version.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.minimum_version = context.maximum_version = version
        host, port = address.split(":")
        if is_served:
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.close()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(host, int(port), ssl=context)


async def test_mutual_tls_lets_in_only_who_has_a_valid_certificate_of_the_authority(
    start_receivers: Start, ours: Authority, others: Authority
) -> None:
    clients = Authority(ours.folder / "clients")
    receivers = await start_receivers(security={"tls": ours.server(clients=clients)})

    for identity in (None, others.issue("client"), clients.issue("expired", not_after=LONG_AGO)):
        await assert_refused(Client(ours, identity), receivers)
    assert await Client(ours, clients.issue("client")).over_http(receivers) == 200
    assert await Client(ours, clients.issue("client")).over_grpc(receivers) == 200


async def test_a_new_certificate_serves_new_connections_without_a_restart(
    start_receivers: Start, ours: Authority, others: Authority
) -> None:
    server = ours.server()
    receivers = await start_receivers(security={"tls": server})
    assert await Client(ours).over_http(receivers) == await Client(ours).over_grpc(receivers) == 200

    for old, new in zip((server["certificate"], server["key"]), others.issue("server"), strict=True):
        new.replace(old)

    assert await Client(others).over_http(receivers) == await Client(others).over_grpc(receivers) == 200
    with pytest.raises(REFUSED):
        await Client(ours).over_http(receivers)
    with pytest.raises(REFUSED):
        await Client(ours).over_grpc(receivers)


async def test_withdrawing_a_client_authority_counts_without_a_restart(
    start_receivers: Start, ours: Authority, others: Authority
) -> None:
    clients = Authority(ours.folder / "clients")
    server = ours.server(clients=clients)
    receivers = await start_receivers(security={"tls": server})
    old, new = clients.issue("client"), others.issue("client")
    assert await Client(ours, old).over_http(receivers) == await Client(ours, old).over_grpc(receivers) == 200
    received = len(await receivers.records())

    others.certificate.replace(server["client_ca"])

    with pytest.raises(REFUSED):
        await Client(ours, old).over_http(receivers)
    with pytest.raises(REFUSED):
        await Client(ours, old).over_grpc(receivers)
    assert len(await receivers.records()) == received
    assert await Client(ours, new).over_http(receivers) == await Client(ours, new).over_grpc(receivers) == 200


async def test_files_that_cannot_be_used_leave_the_certificate_from_before(
    start_receivers: Start, ours: Authority, others: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = ours.server()
    receivers = await start_receivers(security={"tls": server})

    others.certificate.replace(server["certificate"])

    for _ in range(2):
        assert await Client(ours).over_http(receivers) == await Client(ours).over_grpc(receivers) == 200
    [record] = [each for each in caplog.records if each.name == "otel_wfperf.sidecar.tls"]
    assert "the certificate from before stays in use" in record.message


def _encrypted(authority: Authority) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization

    server = authority.server()
    key = serialization.load_pem_private_key(Path(server["key"]).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    Path(server["key"]).write_bytes(key.private_bytes(*formats, encryption))
    return server


def _of_another_key(authority: Authority) -> dict[str, str]:
    certificate, _ = authority.issue("one")
    return {"certificate": str(certificate), "key": str(authority.issue("other")[1])}


def _without_authority(authority: Authority) -> dict[str, str]:
    empty = authority.folder / "empty.pem"
    server = authority.server()
    empty.write_text("")
    return server | {"client_ca": str(empty)}


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda ours: ours.server() | {"key": "/nowhere/key.pem"}, "tls.key: '/nowhere/key.pem': cannot be read"),
        (lambda ours: ours.server() | {"certificate": "/nowhere"}, "tls.certificate: '/nowhere': cannot be read"),
        (_encrypted, "the key not encrypted"),
        (_of_another_key, "belong together"),
        (_without_authority, "holds no certificate"),
    ],
)
async def test_what_cannot_be_used_is_refused_at_start_by_its_key(
    start_receivers: Start, ours: Authority, broken: Callable[[Authority], dict[str, str]], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await start_receivers(security={"tls": broken(ours)})

    assert str(caught.value).startswith("sidecar.security.otlp.tls")
    assert problem in str(caught.value)
