"""Figure 23: who has no business here gets nothing, each port has its own keys, and no secret is written anywhere."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import httpx

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import METHOD, Batch, workflow_batches
from benchmarks.reliability.rig import SidecarProcess
from tests.sidecar.authority import LONG_AGO, Authority

_ASKED: Final = 12
_OTLP, _PAGE, _METRICS = "otlp-token-7f3a9c21d4e8", "page-token-1b5d8e6f2a90", "metrics-token-c4d7e1f8a3b2"
_WRONG: Final = "wrong-token-000000000000"


@dataclass(frozen=True, slots=True)
class _Knock:
    """One try to get in.

    Attributes:
        where: What it asks for: grpc, http, or a path of the page port.
        identity: The client's certificate and key.
        expected: What it should get: "in", or how it should be refused ("401", "no connection").
    """

    what: str
    where: str
    token: str | None = None
    identity: tuple[Path, Path] | None = None
    encrypted: bool = True
    expected: str = "no connection"


def _knocks(clients: Authority, strangers: Authority) -> Iterator[_Knock]:
    known, stranger = clients.issue("client"), strangers.issue("client")
    expired = clients.issue("expired", not_after=LONG_AGO)
    for port in ("grpc", "http"):
        yield _Knock("known certificate, good token", port, _OTLP, known, expected="in")
        yield _Knock("not encrypted", port, _OTLP, encrypted=False)
        yield _Knock("no certificate", port, _OTLP)
        yield _Knock("certificate of another authority", port, _OTLP, stranger)
        yield _Knock("expired certificate", port, _OTLP, expired)
        yield _Knock("no token", port, None, known, expected="401")
        yield _Knock("wrong token", port, _WRONG, known, expected="401")
        yield _Knock("the page's token", port, _PAGE, known, expected="401")
    for path, good, bad in (
        ("/", _PAGE, _METRICS),
        ("/api/v1/executions", _PAGE, _OTLP),
        ("/metrics", _METRICS, _PAGE),
    ):
        yield _Knock("good token", path, good, expected="in")
        yield _Knock("no token", path, None, expected="401")
        yield _Knock("a token for something else", path, bad, expected="401")
        yield _Knock("not encrypted", path, good, encrypted=False)
    yield _Knock("no token", "/healthz", None, expected="in")


def measure() -> Outcome:
    """Knock at every port of one sidecar, and then look for the secrets wherever it writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers, clients, strangers = (Authority(folder / each) for each in ("servers", "clients", "strangers"))
        sidecar = SidecarProcess(folder, _settings(folder, servers, clients), {"PAGE_TOKEN": _PAGE})
        sidecar.start()
        try:
            knocks = list(_knocks(clients, strangers))
            wrong = asyncio.run(_wrong_answers(knocks, sidecar, servers))
            texts = _everything_written(sidecar, servers)
        finally:
            sidecar.stop()
        found = _found(texts | {"its output to the end": sidecar.log.read_bytes()}, folder / "servers" / "server.key")
    refused = sum(knock.expected != "in" for knock in knocks)
    problems = "; ".join([*wrong, *found])
    return Outcome(
        got=f"{refused} tries without right and {len(knocks) - refused} with it, {len(wrong)} answered wrongly; "
        f"{len(found)} secrets found in {len(texts) + 1} places{': ' if problems else ''}{problems}",
        reached=refused >= _ASKED and not wrong and not found,
    )


def _settings(folder: Path, servers: Authority, clients: Authority) -> dict[str, Any]:
    token = folder / "otlp-token"
    token.write_text(f"{_OTLP}\n")
    return {
        "security": {
            "otlp": {"tls": servers.server(clients=clients), "tokens": [{"file": str(token)}]},
            "page": {"tls": servers.server(), "tokens": [{"env": "PAGE_TOKEN"}]},
            "metrics": {"tokens": [_METRICS]},
        },
        "events": {"level": "debug"},
    }


async def _wrong_answers(knocks: list[_Knock], sidecar: SidecarProcess, servers: Authority) -> list[str]:
    batches = workflow_batches(len(knocks), batch_spans=1, trace_spans=1)
    wrong = []
    for knock, batch in zip(knocks, batches, strict=True):
        got = await (_over_grpc if knock.where == "grpc" else _over_http)(knock, batch, sidecar, servers)
        if got != knock.expected:
            wrong.append(f"{knock.where}, {knock.what}: {got}")
    return wrong


async def _over_grpc(knock: _Knock, batch: Batch, sidecar: SidecarProcess, servers: Authority) -> str:
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.aio.secure_channel(sidecar.grpc, servers.channel_credentials(knock.identity), options=options)
        if knock.encrypted
        else grpc.aio.insecure_channel(sidecar.grpc, options=options)
    )
    async with channel:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        try:
            await call(batch.data, timeout=10, metadata=list(_authorization(knock).items()))
        except grpc.aio.AioRpcError as error:
            return {"UNAUTHENTICATED": "401", "UNAVAILABLE": "no connection"}.get(error.code().name, error.code().name)
    return "in"


async def _over_http(knock: _Knock, batch: Batch, sidecar: SidecarProcess, servers: Authority) -> str:
    base = sidecar.http if knock.where == "http" else sidecar.page
    url = base if knock.encrypted else base.replace("https:", "http:")
    context = servers.client_context(knock.identity)
    try:
        async with httpx.AsyncClient(
            verify=context, trust_env=False, timeout=10, headers=_authorization(knock)
        ) as client:
            if knock.where == "http":
                headers = {"content-type": "application/x-protobuf"}
                answer = await client.post(f"{url}/v1/traces", content=batch.data, headers=headers)
            else:
                answer = await client.get(url + knock.where)
    except (httpx.TransportError, ssl.SSLError):
        return "no connection"
    return "in" if answer.status_code == 200 else str(answer.status_code)


def _authorization(knock: _Knock) -> dict[str, str]:
    return {"authorization": f"Bearer {knock.token}"} if knock.token else {}


def _everything_written(sidecar: SidecarProcess, servers: Authority) -> dict[str, bytes]:
    """Collect what it shows and writes; its configuration, where one token stands, is the only exception."""
    texts = {path.name: path.read_bytes() for path in (sidecar.folder / "data").iterdir() if path.is_file()}
    context = servers.client_context()
    for path, token in {"/": _PAGE, "/metrics": _METRICS, "/api/v1/live": _PAGE, "/api/openapi.json": _PAGE}.items():
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
            texts[path] = client.get(sidecar.page + path, headers=headers).raise_for_status().content
    for command in (["config", "print", str(sidecar.file)], ["config", "check", str(sidecar.file)]):
        texts["wfperf " + " ".join(command[:2])] = _wfperf(command)
    texts["wfperf doctor"] = _wfperf(["doctor", "--config", str(sidecar.file)])
    return texts


def _wfperf(arguments: list[str]) -> bytes:
    command = [sys.executable, "-m", "otel_wfperf.cli", *arguments]
    done = subprocess.run(command, capture_output=True, env=_environment(), check=False)
    return done.stdout + done.stderr


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PAGE_TOKEN": _PAGE}


def _found(texts: Mapping[str, bytes], key: Path) -> list[str]:
    needles = {name: token.encode() for name, token in {"otlp": _OTLP, "page": _PAGE, "metrics": _METRICS}.items()}
    needles |= {f"{name} in base64": base64.b64encode(b"user:" + token)[8:-4] for name, token in needles.items()}
    needles["wrong token that was tried"] = _WRONG.encode()
    needles["private key"] = key.read_bytes().splitlines()[1]
    return [f"{what} in {where}" for where, text in texts.items() for what, needle in needles.items() if needle in text]


FIGURE: Final = Figure(
    number=23,
    title="access: certificates, tokens, secrets",
    asked=f"at least {_ASKED} negative cases refused, OTLP, page and /metrics apart, 0 secrets written",
    measure=measure,
)
