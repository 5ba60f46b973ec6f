"""The sidecar as a process: what signals and sudden death do to what it acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from otel_wfperf.log import SqliteLog
from otel_wfperf.sidecar.receivers.grpc import SERVICES
from tests.sidecar import requests
from tests.sidecar.exporters.backend import grpc_backend, hang
from tests.sidecar.running import (
    ENVIRONMENT,
    PROGRAM,
    SidecarProcess,
    exporter,
    fetch_json,
    settings,
    sidecar_process,
)
from tests.waiting import eventually_async

METHOD = f"/{next(iter(SERVICES.values()))}/Export"
SPANS_IN_TRACE = 20
SENDERS = 8


@asynccontextmanager
async def running(folder: Path, **sidecar: Any) -> AsyncIterator[SidecarProcess]:
    """Run a sidecar process without holding up the event loop, on which the back end answers."""
    process = sidecar_process(folder, **sidecar)
    entered = await asyncio.to_thread(process.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Sender:
    """Sends one trace after another and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self._next = 1

    async def run(self, address: str) -> None:
        """Send until the sidecar is gone."""
        async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
            with suppress(grpc.aio.AioRpcError):
                while True:
                    number = self._next
                    self._next += 1
                    await call(requests.tree(trace_id(number), SPANS_IN_TRACE - 1, with_root=True), timeout=30)
                    self.acknowledged.add(number)

    async def reach(self, count: int) -> None:
        async def reached() -> bool:
            return len(self.acknowledged) >= count

        await eventually_async(reached)


async def test_kill_9_in_the_middle_of_everything_loses_nothing_acknowledged(tmp_path: Path) -> None:
    sender = Sender()
    async with grpc_backend() as backend:
        exporters = [exporter(backend.endpoint)]
        for kill in range(2):
            async with running(tmp_path, exporters=exporters) as sidecar:
                sending = [asyncio.create_task(sender.run(sidecar.endpoints.grpc)) for _ in range(SENDERS)]
                await sender.reach(40 * (kill + 1))
                os.kill(sidecar.pid, signal.SIGKILL)
                await asyncio.gather(*sending)

        expected = {trace_id(number).hex() for number in sender.acknowledged}
        async with running(tmp_path, exporters=exporters) as sidecar:

            async def all_arrived() -> bool:
                return expected <= complete(backend.span_counts())

            async def all_analysed() -> bool:
                url = f"{sidecar.endpoints.page}/api/v1/executions?limit=1000"
                found = (await asyncio.to_thread(fetch_json, url))["executions"]
                return expected <= complete({one["trace_id"]: one["span_count"] for one in found})

            await eventually_async(all_arrived)
            await eventually_async(all_analysed)


def complete(span_counts: dict[str, int]) -> set[str]:
    return {trace for trace, count in span_counts.items() if count >= SPANS_IN_TRACE}


async def test_sigterm_leaves_what_was_acknowledged_on_the_disk(tmp_path: Path) -> None:
    sender = Sender()
    async with (
        grpc_backend(hang) as backend,
        running(tmp_path, exporters=[exporter(backend.endpoint)], drain_timeout="1s") as sidecar,
    ):
        sending = [asyncio.create_task(sender.run(sidecar.endpoints.grpc)) for _ in range(SENDERS)]
        await sender.reach(50)
        os.kill(sidecar.pid, signal.SIGTERM)
        await asyncio.gather(*sending)

    log = SqliteLog(
        tmp_path / "log.sqlite", consumers=["exporter/backend"], max_size_bytes=10**9, max_age_s=3600, fsync=False
    )
    records = await log.read(0, limit=100_000, max_bytes=10**9)
    await log.close()
    stored = {int(trace, 16) for record in records for trace in requests.trace_ids(record.data)}
    assert sender.acknowledged <= stored


async def test_sigterm_hands_over_to_a_back_end_that_answers(tmp_path: Path) -> None:
    sender = Sender()
    async with grpc_backend() as backend, running(tmp_path, exporters=[exporter(backend.endpoint)]) as sidecar:
        sending = [asyncio.create_task(sender.run(sidecar.endpoints.grpc)) for _ in range(SENDERS)]
        await sender.reach(50)
        os.kill(sidecar.pid, signal.SIGTERM)
        await asyncio.gather(*sending)

        async def all_arrived() -> bool:
            return {trace_id(number).hex() for number in sender.acknowledged} <= complete(backend.span_counts())

        await eventually_async(all_arrived)


@pytest.mark.parametrize(("signals", "drain_timeout", "status"), [(1, "100ms", 0), (2, "20s", 128 + signal.SIGTERM)])
async def test_a_second_sigterm_ends_it_at_once(tmp_path: Path, signals: int, drain_timeout: str, status: int) -> None:
    ready = tmp_path / "endpoints.json"
    async with grpc_backend(hang) as backend:
        config = settings(tmp_path / "data", exporters=[exporter(backend.endpoint)], drain_timeout=drain_timeout)
        command = [sys.executable, "-c", PROGRAM, json.dumps(config), str(ready)]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **ENVIRONMENT})

        async def started() -> bool:
            return ready.exists()

        await eventually_async(started)
        grpc_address, _, page = json.loads(ready.read_text())
        async with grpc.aio.insecure_channel(grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
            await call(requests.traces(), timeout=30)
        process.send_signal(signal.SIGTERM)
        if signals == 2:

            async def draining() -> bool:
                try:
                    await asyncio.to_thread(fetch_json, f"{page}/readyz")
                except OSError:
                    return True
                return False

            await eventually_async(draining)
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == status
