from __future__ import annotations

import asyncio

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters.circuit import MAX_FAILURES, Circuit, Gate
from otel_wfperf.sidecar.exporters.exporter import Accepted, Rejected, Retry
from tests.waiting import eventually_async

CONFIG = ExporterConfig(name="b", endpoint="http://b:1")
FAILED = Retry(reason="unavailable")


def circuit(failures: int, *, at_s: float = 0.0) -> Circuit:
    opened = Circuit(CONFIG, random=lambda: 0.5)
    for _ in range(failures):
        opened.answered(FAILED, at_s)
    return opened


def test_opens_after_failures_in_a_row_only() -> None:
    flaky = circuit(MAX_FAILURES - 1)
    flaky.answered(Accepted(), 0)
    flaky.answered(FAILED, 0)

    assert not flaky.is_open
    assert flaky.wait_s(0) == 0
    assert circuit(MAX_FAILURES).is_open


def test_probes_at_growing_intervals_up_to_the_longest_delay() -> None:
    dead = circuit(MAX_FAILURES)
    waits, now_s = [], 0.0
    for _ in range(12):
        waits.append(round(dead.wait_s(now_s), 2))
        now_s += dead.wait_s(now_s)
        dead.answered(FAILED, now_s)

    assert waits == [1.0, 1.5, 2.25, 3.38, 5.06, 7.59, 11.39, 17.09, 25.63, 30.0, 30.0, 30.0]


def test_what_was_under_way_when_it_opened_is_no_probe() -> None:
    dead = circuit(MAX_FAILURES + 7)

    assert dead.wait_s(0) == 1.0


def test_waits_as_long_as_the_back_end_asked() -> None:
    dead = circuit(MAX_FAILURES)
    dead.answered(Retry(reason="unavailable", after_s=60), 1.0)

    assert dead.wait_s(1.0) == 60


def test_a_refusal_for_ever_shows_that_the_back_end_lives() -> None:
    dead = circuit(MAX_FAILURES)
    dead.answered(Rejected(reason="invalid_argument"), 1.0)

    assert not dead.is_open


class Traffic:
    """Requests that pass a gate and wait inside until they are told their outcome."""

    def __init__(self, gate: Gate, count: int) -> None:
        self.inside = 0
        self._gate = gate
        self._outcomes: asyncio.Queue[Accepted | Retry] = asyncio.Queue()
        self.tasks = [asyncio.create_task(self._pass()) for _ in range(count)]

    async def _pass(self) -> None:
        async with self._gate.passage():
            self.inside += 1
            outcome = await self._outcomes.get()
            self._gate.answered(outcome)
            self.inside -= 1

    async def answer(self, outcome: Accepted | Retry) -> None:
        self._outcomes.put_nowait(outcome)

    async def reach(self, inside: int) -> None:
        async def reached() -> bool:
            return self.inside == inside

        await eventually_async(reached)


async def test_one_probe_at_a_time_and_all_at_once_again_after_a_success() -> None:
    now_s = 0.0
    gate = Gate(circuit(MAX_FAILURES), 4, clock_s=lambda: now_s)
    now_s = 1.0
    traffic = Traffic(gate, 10)
    await traffic.reach(1)
    await traffic.answer(FAILED)
    await traffic.reach(0)
    now_s = 100.0
    await traffic.reach(1)
    await traffic.answer(Accepted())
    await traffic.reach(4)
    for _ in range(8):
        await traffic.answer(Accepted())
    await asyncio.gather(*traffic.tasks)


async def test_a_probe_that_is_cancelled_lets_the_next_one_through() -> None:
    gate = Gate(circuit(MAX_FAILURES), 2, clock_s=lambda: 0.0)
    waiting = asyncio.create_task(gate.passage().__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gate.circuit.answered(Accepted(), 0.0)

    traffic = Traffic(gate, 1)
    await traffic.reach(1)
    await traffic.answer(Accepted())
    await asyncio.gather(*traffic.tasks)
