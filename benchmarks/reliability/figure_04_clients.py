"""Figure 4: many clients at once, each on a connection of its own, are all accepted quickly."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc.aio
import httpx

from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import METHOD, Batch, workflow_batches
from benchmarks.reliability.rig import running_sidecar

_CLIENTS: Final = 200
_SECONDS: Final = 20
# Chosen: an SDK sends every 5 s; with a batch of 25 spans each second, 200 of them make 5 000 spans a second.
_BATCH_SPANS: Final = 25
_LIMIT_S: Final = 0.1
_LOOK_S: Final = 0.01

Send = Callable[[bytes], Awaitable[None]]


def measure() -> Outcome:
    """Let half of the clients speak gRPC and half HTTP, each sending a batch a second."""
    with tempfile.TemporaryDirectory() as folder, running_sidecar(Path(folder)) as sidecar:
        latencies_s, sent, own_lags_s = asyncio.run(_run(sidecar.grpc, sidecar.http))
        accepted = int(sidecar.metric("wfperf_receiver_accepted_items_total", signal="traces"))
    p99_s, own_p99_s = (statistics.quantiles(each, n=100)[98] for each in (latencies_s, own_lags_s))
    median_s = statistics.median(latencies_s)
    return Outcome(
        got=f"p99 {p99_s * 1e3:.0f} ms, median {median_s * 1e3:.1f} ms of {len(latencies_s):,} requests, "
        f"{sent / _SECONDS:,.0f} spans/s, {sent - accepted} lost; the clients' own event loop was late by p99 "
        f"{own_p99_s * 1e3:.0f} ms",
        reached=p99_s < _LIMIT_S and accepted == sent,
    )


async def _run(target: str, url: str) -> tuple[list[float], int, list[float]]:
    latencies_s: list[float] = []
    own_lags_s: list[float] = []
    batches = list(workflow_batches(_BATCH_SPANS * _CLIENTS * _SECONDS, batch_spans=_BATCH_SPANS, trace_spans=25))
    async with AsyncExitStack() as opened:
        senders: list[Send] = []
        for number in range(_CLIENTS):
            client = _grpc_client(target, opened) if number % 2 else _http_client(url, opened)
            senders.append(await client)
        watching = asyncio.create_task(_watch(own_lags_s))
        async with asyncio.TaskGroup() as tasks:
            for number, sender in enumerate(senders):
                tasks.create_task(_send_each_second(sender, batches[number::_CLIENTS], latencies_s))
        watching.cancel()
    return latencies_s, sum(len(batch.spans) for batch in batches), own_lags_s


async def _watch(lags_s: list[float]) -> None:
    """Note how late this process itself is: a busy machine shows in every latency."""
    while True:
        due_s = time.perf_counter() + _LOOK_S
        await asyncio.sleep(_LOOK_S)
        lags_s.append(max(0.0, time.perf_counter() - due_s))


async def _send_each_second(send: Send, batches: Sequence[Batch], latencies_s: list[float]) -> None:
    due_s = time.perf_counter() + random.random()
    for batch in batches:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        due_s += 1.0
        begun_s = time.perf_counter()
        await send(batch.data)
        latencies_s.append(time.perf_counter() - begun_s)


async def _grpc_client(target: str, opened: AsyncExitStack) -> Send:
    # Otherwise all channels of a process share one connection.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    channel = await opened.enter_async_context(grpc.aio.insecure_channel(target, options=options))
    call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)

    async def send(data: bytes) -> None:
        await call(data, timeout=30)

    return send


async def _http_client(url: str, opened: AsyncExitStack) -> Send:
    # Without TLS there is nothing to verify, and making contexts takes time.
    client = await opened.enter_async_context(httpx.AsyncClient(verify=False, trust_env=False, timeout=30))  # noqa: S501

    async def send(data: bytes) -> None:
        headers = {"content-type": "application/x-protobuf"}
        (await client.post(f"{url}/v1/traces", content=data, headers=headers)).raise_for_status()

    return send


FIGURE: Final = Figure(
    number=4,
    title=f"{_CLIENTS} clients at once, gRPC and HTTP",
    asked=f"p99 of acceptance below {_LIMIT_S * 1e3:.0f} ms",
    measure=measure,
)
