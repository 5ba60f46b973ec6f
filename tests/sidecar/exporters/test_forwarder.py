from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.config import ExporterConfig, RetryConfig
from otel_wfperf.log import Signal, SqliteLog
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.sidecar.exporters.aside import Aside
from otel_wfperf.sidecar.exporters.dead_letters import DeadLetters
from otel_wfperf.sidecar.exporters.exporter import Accepted, Exporter, Outcome, Retry
from otel_wfperf.sidecar.exporters.forwarder import Forwarder, consumer
from otel_wfperf.sidecar.exporters.retry import delay_s
from otel_wfperf.sidecar.exporters.transport import connect
from otel_wfperf.sidecar.metrics import Metrics
from tests.processes import free_ports
from tests.sidecar import requests
from tests.sidecar.exporters.backend import Backend, accept, grpc_backend, hang, http_backend
from tests.sidecar.receiving import samples
from tests.waiting import eventually_async

QUICK = {"initial_delay": "1ms", "max_delay": "5ms"}


@asynccontextmanager
async def log_for(folder: Path, *names: str) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(
        folder / "log.sqlite",
        consumers=[consumer(name) for name in names],
        max_size_bytes=10**9,
        max_age_s=3600,
        fsync=False,
    )
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def running(
    log: SqliteLog,
    config: ExporterConfig,
    exporter: Exporter,
    *,
    metrics: Metrics | None = None,
    max_age_s: float = 3600,
    folder: Path = Path(),
) -> AsyncIterator[Forwarder]:
    """Forward through any transport; dead letters go to a folder of that name."""
    metrics = metrics or Metrics()
    letters = DeadLetters(folder / "dead-letters", max_size_bytes=10**6, clock_ns=time.time_ns)
    forwarder = Forwarder(
        config,
        exporter,
        log,
        metrics=metrics,
        aside=Aside(config.name, letters, metrics),
        max_age_s=max_age_s,
        random=Random(7).random,
    )
    task = asyncio.create_task(forwarder.run())
    try:
        yield forwarder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def forwarding(
    log: SqliteLog,
    endpoint: str,
    *,
    name: str = "b",
    metrics: Metrics | None = None,
    max_age_s: float = 3600,
    folder: Path = Path(),
    **options: Any,
) -> AsyncIterator[Forwarder]:
    config = ExporterConfig.model_validate({"name": name, "endpoint": endpoint, "retry": QUICK, **options})
    exporter = connect(config)
    async with running(log, config, exporter, metrics=metrics, max_age_s=max_age_s, folder=folder) as forwarder:
        yield forwarder
    await exporter.close()


async def fill(log: SqliteLog, batches: int, *, spans: int = 10) -> set[str]:
    """Append batches of spans and return all their ids."""
    bodies = [requests.traces(spans, first=1 + spans * number) for number in range(batches)]
    await asyncio.gather(*(log.append(Signal.TRACES, body, items=spans) for body in bodies))
    return {f"{number:016x}" for number in range(1, 1 + spans * batches)}


async def delivered(backend: Backend, expected: set[str]) -> None:
    async def complete() -> bool:
        return len(backend.span_ids()) >= len(expected)

    await eventually_async(complete)
    assert sorted(backend.span_ids()) == sorted(expected)


async def test_delivers_everything_once_to_a_back_end_that_refuses_seven_of_ten(tmp_path: Path) -> None:
    random = Random(1)

    async def refuse(_data: bytes) -> grpc.StatusCode | None:
        return grpc.StatusCode.UNAVAILABLE if random.random() < 0.7 else None

    metrics = Metrics()
    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        expected = await fill(log, 100)
        async with forwarding(log, backend.endpoint, metrics=metrics):
            await delivered(backend, expected)

    assert backend.tries > 200
    assert samples(metrics, "wfperf_exporter_sent_items_total") == {("b", "traces"): 1000}
    assert samples(metrics, "wfperf_exporter_retried_requests_total") == {("b", "unavailable"): backend.tries - 100}


async def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log, grpc_backend() as backend:
        first = await fill(log, 5)
        async with forwarding(log, backend.endpoint) as forwarder:
            await forwarder.drain(30)
        assert set(backend.span_ids()) == first
        backend.taken.clear()
        await log.append(Signal.LOGS, requests.logs(), items=1)
        async with forwarding(log, backend.endpoint) as forwarder:
            await forwarder.drain(30)

    assert backend.taken == [(Signal.LOGS, requests.logs())]


async def test_delivers_after_the_back_end_comes_up(tmp_path: Path) -> None:
    [port] = free_ports(1)
    metrics = Metrics()

    async def retried() -> bool:
        return bool(samples(metrics, "wfperf_exporter_retried_requests_total"))

    async with log_for(tmp_path, "b") as log:
        expected = await fill(log, 3)
        async with forwarding(log, f"http://127.0.0.1:{port}", metrics=metrics):
            await eventually_async(retried)
            async with grpc_backend(port=port) as backend:
                await delivered(backend, expected)


async def test_a_back_end_that_hangs_does_not_hold_up_another(tmp_path: Path) -> None:
    async with log_for(tmp_path, "dead", "alive") as log, grpc_backend(hang) as dead, http_backend() as alive:
        expected = await fill(log, 20)
        async with (
            forwarding(log, dead.endpoint, name="dead") as stuck,
            forwarding(log, alive.endpoint, name="alive", protocol="http/protobuf"),
        ):
            await delivered(alive, expected)
            assert stuck.pending_records == 20


async def test_puts_aside_and_counts_what_the_back_end_will_never_take(tmp_path: Path) -> None:
    async def refuse(data: bytes) -> grpc.StatusCode | None:
        return grpc.StatusCode.INVALID_ARGUMENT if f"{1:016x}" in requests.span_ids(data) else None

    metrics = Metrics()
    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        expected = await fill(log, 3)
        async with forwarding(log, backend.endpoint, metrics=metrics, folder=tmp_path) as forwarder:
            await forwarder.drain(30)

    assert set(backend.span_ids()) == expected - {f"{number:016x}" for number in range(1, 11)}
    assert samples(metrics, "wfperf_exporter_failed_items_total") == {("b", "invalid_argument", "traces"): 10}
    assert samples(metrics, "wfperf_exporter_dead_letter_items_total") == {("b", "true", "traces"): 10}
    [file] = (tmp_path / "dead-letters").iterdir()
    kept = read_spans(file.read_bytes(), name=file.name).spans
    assert {span.span_id for span in kept} == {f"{number:016x}" for number in range(1, 11)}


async def test_never_resends_a_partial_success(tmp_path: Path) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 4
    metrics = Metrics()
    async with log_for(tmp_path, "b") as log, grpc_backend() as backend:
        backend.answer = answer.SerializeToString()
        await fill(log, 1)
        async with forwarding(log, backend.endpoint, metrics=metrics) as forwarder:
            await forwarder.drain(30)

    assert backend.tries == 1
    assert samples(metrics, "wfperf_exporter_sent_items_total") == {("b", "traces"): 6}
    assert samples(metrics, "wfperf_exporter_failed_items_total") == {("b", "partial_success", "traces"): 4}


@pytest.mark.parametrize(("rejected", "counted"), [(11, 10), (-1, 0)])
async def test_believes_no_back_end_that_miscounts(tmp_path: Path, rejected: int, counted: int) -> None:
    """An impossible number used to stop the exporter: the same request was sent again and again."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    metrics = Metrics()
    async with log_for(tmp_path, "b") as log, grpc_backend() as backend:
        backend.answer = answer.SerializeToString()
        await fill(log, 1)
        async with forwarding(log, backend.endpoint, metrics=metrics) as forwarder:
            await forwarder.drain(30)
            assert forwarder.pending_records == 0

    assert backend.tries == 1
    assert samples(metrics, "wfperf_exporter_sent_items_total") == {("b", "traces"): 10 - counted}


async def test_sends_only_the_signals_that_are_wanted(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log, grpc_backend() as backend:
        for signal in Signal:
            await log.append(signal, requests.REQUESTS[signal], items=1)
        async with forwarding(log, backend.endpoint, signals=["traces"]) as forwarder:
            await forwarder.drain(30)

    assert [signal for signal, _ in backend.taken] == [Signal.TRACES]


async def test_commits_only_what_is_done_when_it_is_stopped(tmp_path: Path) -> None:
    async def refuse(data: bytes) -> grpc.StatusCode | None:
        return grpc.StatusCode.UNAVAILABLE if f"{31:016x}" in requests.span_ids(data) else None

    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        expected = await fill(log, 6)

        async def all_but_one() -> bool:
            return len(backend.taken) == 5

        async with forwarding(log, backend.endpoint):
            await eventually_async(all_but_one)
        assert await log.cursor(consumer("b")) == 3

        backend.refuse = accept
        async with forwarding(log, backend.endpoint) as forwarder:
            await forwarder.drain(30)

    assert set(backend.span_ids()) == expected


async def test_a_request_that_is_refused_holds_up_only_itself(tmp_path: Path) -> None:
    """It used to hold up all that followed those that were sent with it."""
    stubborn = f"{11:016x}"

    async def refuse(data: bytes) -> grpc.StatusCode | None:
        return grpc.StatusCode.UNAVAILABLE if stubborn in requests.span_ids(data) else None

    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        expected = await fill(log, 100)

        async def all_but_one() -> bool:
            return len(backend.taken) == 99

        async with forwarding(log, backend.endpoint, concurrency=2) as forwarder:
            await eventually_async(all_but_one)
            assert (await log.cursor(consumer("b")), forwarder.pending_records) == (1, 99)
            assert forwarder.lag_s > 0
            backend.refuse = accept
            await forwarder.drain(30)
            assert (forwarder.pending_records, forwarder.lag_s) == (0, 0)

    assert set(backend.span_ids()) == expected


async def test_sets_aside_a_request_that_is_refused_for_ever_while_others_are_taken(tmp_path: Path) -> None:
    stubborn = f"{1:016x}"

    async def refuse(data: bytes) -> grpc.StatusCode | None:
        return grpc.StatusCode.UNAVAILABLE if stubborn in requests.span_ids(data) else None

    metrics = Metrics()

    async def set_aside() -> bool:
        # Others come all the time, or it would be the back end that takes nothing.
        await log.append(Signal.LOGS, requests.logs(), items=1)
        return bool(samples(metrics, "wfperf_exporter_dead_letter_items_total"))

    retry = {**QUICK, "set_aside_after": "100ms"}
    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        await fill(log, 2)
        async with forwarding(log, backend.endpoint, metrics=metrics, folder=tmp_path, retry=retry) as forwarder:
            await eventually_async(set_aside)
            await forwarder.drain(30)

    assert samples(metrics, "wfperf_exporter_failed_items_total") == {("b", "set_aside", "traces"): 10}
    [file] = (tmp_path / "dead-letters").iterdir()
    assert stubborn in {span.span_id for span in read_spans(file.read_bytes(), name=file.name).spans}


async def test_a_dead_letter_that_cannot_be_kept_is_counted_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_data: bytes) -> grpc.StatusCode:
        return grpc.StatusCode.INVALID_ARGUMENT

    metrics = Metrics()
    (tmp_path / "dead-letters").write_text("where the folder should be")
    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        await fill(log, 3)
        async with forwarding(log, backend.endpoint, metrics=metrics, folder=tmp_path) as forwarder:
            await forwarder.drain(30)

    assert samples(metrics, "wfperf_exporter_dead_letter_items_total") == {("b", "false", "traces"): 30}
    assert caplog.text.count("a dead letter cannot be kept") == 1


async def test_only_probes_a_back_end_that_takes_nothing_and_delivers_when_it_does(tmp_path: Path) -> None:
    async def refuse(_data: bytes) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    async with log_for(tmp_path, "b") as log, grpc_backend(refuse) as backend:
        expected = await fill(log, 50)
        async with forwarding(log, backend.endpoint) as forwarder:

            async def is_open() -> bool:
                return forwarder.circuit.is_open

            await eventually_async(is_open)
            backend.refuse = accept
            await delivered(backend, expected)
            assert not forwarder.circuit.is_open


class Faulty:
    """A transport with a fault that shows once."""

    def __init__(self) -> None:
        self.tries = 0

    async def send(self, _signal: Signal, _data: bytes) -> Outcome:
        self.tries += 1
        if self.tries == 1:
            raise RuntimeError("a fault")
        return Accepted()

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_fault_of_a_transport_is_counted_and_tried_again(tmp_path: Path) -> None:
    metrics, faulty = Metrics(), Faulty()
    config = ExporterConfig.model_validate({"name": "b", "endpoint": "http://b:1", "retry": QUICK})
    async with log_for(tmp_path, "b") as log:
        await fill(log, 1)
        async with running(log, config, faulty, metrics=metrics) as forwarder:
            await forwarder.drain(30)

    assert faulty.tries == 2
    assert samples(metrics, "wfperf_exporter_retried_requests_total") == {("b", "fault"): 1}


async def test_gives_up_what_is_too_old(tmp_path: Path) -> None:
    [port] = free_ports(1)
    metrics = Metrics()
    async with log_for(tmp_path, "b") as log:
        await fill(log, 2)
        async with forwarding(log, f"http://127.0.0.1:{port}", metrics=metrics, max_age_s=0) as forwarder:
            await forwarder.drain(30)

    assert samples(metrics, "wfperf_exporter_failed_items_total") == {("b", "expired", "traces"): 20}


class Patient:
    """A transport whose back end asks for a pause of a hundred years."""

    async def send(self, _signal: Signal, _data: bytes) -> Outcome:
        return Retry(reason="unavailable", after_s=3e9)

    async def close(self) -> None:
        """Nothing is open."""


async def test_waits_for_no_back_end_past_the_age_of_a_record(tmp_path: Path) -> None:
    metrics = Metrics()
    config = ExporterConfig.model_validate({"name": "b", "endpoint": "http://b:1", "retry": QUICK})
    async with log_for(tmp_path, "b") as log:
        await fill(log, 1)
        async with running(log, config, Patient(), metrics=metrics, max_age_s=0.3) as forwarder:
            await forwarder.drain(30)

    assert samples(metrics, "wfperf_exporter_failed_items_total") == {("b", "expired", "traces"): 10}


@pytest.mark.parametrize(
    ("attempt", "random", "after_s", "expected"),
    [
        (1, 0.5, None, 1.0),
        (2, 0.5, None, 1.5),
        (1, 0.0, None, 0.5),
        (1, 1.0, None, 1.5),
        (50, 0.5, None, 30.0),
        (10_000, 0.5, None, 30.0),
        (1, 0.5, 60.0, 60.0),
        (1, 0.5, 0.1, 1.0),
    ],
)
def test_waits_longer_from_try_to_try_and_as_long_as_it_was_asked(
    attempt: int, random: float, after_s: float | None, expected: float
) -> None:
    assert delay_s(RetryConfig(), attempt, Retry(reason="r", after_s=after_s), random) == expected
