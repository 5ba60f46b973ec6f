from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from otel_wfperf.log import Signal
from otel_wfperf.sidecar.exporters.exporter import Accepted, Exporter, Outcome, Retry
from otel_wfperf.sidecar.exporters.renewal import RenewedExporter
from tests.waiting import eventually_async


class Connection:
    """A connection of which the test says how it answers."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.hold: asyncio.Event | None = None
        self.closed = False

    async def send(self, _signal: Signal, _data: bytes) -> Outcome:
        if self.hold is not None:
            await self.hold.wait()
        return self.outcome

    async def close(self) -> None:
        self.closed = True


def connecting(made: list[Connection], outcome: Outcome) -> Callable[[], Exporter]:
    def connect() -> Exporter:
        made.append(Connection(outcome))
        return made[-1]

    return connect


@pytest.mark.parametrize("reason", ["deadline_exceeded", "timeout"])
async def test_a_connection_on_which_answers_are_missing_is_replaced(reason: str) -> None:
    made: list[Connection] = []
    exporter = RenewedExporter(connecting(made, Retry(reason=reason)), lambda: 0)
    for _ in range(4):
        await exporter.send(Signal.TRACES, b"")

    async def closed() -> bool:
        return made[0].closed

    await eventually_async(closed)
    assert len(made) == 2
    await exporter.close()
    assert made[1].closed


async def test_an_answer_shows_that_the_connection_lives() -> None:
    made: list[Connection] = []
    exporter = RenewedExporter(connecting(made, Retry(reason="timeout")), lambda: 0)
    for _ in range(5):
        for outcome in (Retry(reason="timeout"), Retry(reason="timeout"), Retry(reason="unavailable")):
            made[0].outcome = outcome
            await exporter.send(Signal.TRACES, b"")

    assert len(made) == 1
    await exporter.close()


async def test_what_is_under_way_ends_on_its_own_connection() -> None:
    made: list[Connection] = []
    stamp = 0
    exporter = RenewedExporter(connecting(made, Accepted()), lambda: stamp)
    made[0].hold = asyncio.Event()
    under_way = asyncio.create_task(exporter.send(Signal.TRACES, b""))

    async def begun() -> bool:
        return not under_way.done()

    await eventually_async(begun)
    await asyncio.sleep(0)
    stamp = 1
    assert await exporter.send(Signal.TRACES, b"") == Accepted()
    assert not made[0].closed
    made[0].hold.set()
    assert await under_way == Accepted()

    async def closed() -> bool:
        return made[0].closed

    await eventually_async(closed)
    await exporter.close()
