from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import create_engine, text

from otel_wfperf import semconv
from otel_wfperf.assembly import Assembler
from otel_wfperf.log import Record, Signal, SqliteLog
from otel_wfperf.model import Execution
from otel_wfperf.otlp import protobuf
from otel_wfperf.report.document import Document, execution_document
from otel_wfperf.sidecar.analyzer import Analyzer
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.pipeline import CONSUMER, Pipeline
from otel_wfperf.store import Position, Store
from tests.sidecar import requests
from tests.sidecar.receiving import samples
from tests.waiting import eventually_async

A, B = b"\x0a" * 16, b"\x0b" * 16


@dataclass(slots=True, kw_only=True)
class Parts:
    """A pipeline and what stands around it."""

    log: SqliteLog
    store: Store
    metrics: Metrics
    pipeline: Pipeline


@asynccontextmanager
async def parts(folder: Path, *, max_size_bytes: int = 10**9, annotate: bool = False) -> AsyncIterator[Parts]:
    log = SqliteLog(
        folder / "log.sqlite", consumers=[CONSUMER], max_size_bytes=max_size_bytes, max_age_s=3600, fsync=False
    )
    store = Store.open(f"sqlite:///{folder / 'store.sqlite'}", fsync=False)
    metrics = Metrics()
    pipeline = Pipeline(log, store, Analyzer(Assembler(), window=20), metrics=metrics, position=0, annotate=annotate)
    try:
        yield Parts(log=log, store=store, metrics=metrics, pipeline=pipeline)
    finally:
        pipeline.close()
        store.close()
        await log.close()


async def append(log: SqliteLog, data: bytes) -> None:
    await log.append(Signal.TRACES, data, items=1)


async def test_lets_the_log_go_up_to_the_first_open_trace(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        await append(these.log, requests.metrics())
        await append(these.log, requests.tree(A, 1))
        await append(these.log, requests.tree(B, 1))
        await these.pipeline.catch_up()

        assert await these.log.cursor(CONSUMER) == 1
        assert these.store.position(CONSUMER) == Position(log_id=these.log.log_id, offset=1)
        await these.pipeline.finish()
        assert await these.log.cursor(CONSUMER) == 3
        assert these.store.position(CONSUMER) == Position(log_id=these.log.log_id, offset=3)


async def test_open_traces_do_not_fill_the_log(tmp_path: Path) -> None:
    """Past half of the log's size a restart may find open traces incomplete, but new data is not refused."""
    async with parts(tmp_path, max_size_bytes=20_000) as these:
        for number in range(200):
            await append(these.log, requests.tree(A, 5, first=2 + 5 * number))
            await these.pipeline.catch_up()
            await these.log.trim()

        total = sum(len(requests.tree(A, 5, first=2 + 5 * number)) for number in range(200))
        assert total > 2 * these.log.max_size_bytes


async def test_waits_for_a_store_that_fails_and_loses_nothing(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        await append(these.log, requests.tree(A, 1, with_root=True))
        engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")

        def rename(old: str, new: str) -> None:
            with engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

        rename("cursors", "hidden")
        finishing = asyncio.create_task(these.pipeline.finish())

        async def failed() -> bool:
            return samples(these.metrics, "wfperf_store_failures_total")[()] > 0

        await eventually_async(failed)
        rename("hidden", "cursors")
        await finishing
        engine.dispose()

        assert [one["trace_id"] for one in these.store.executions()] == [A.hex()]


def annotation_spans(records: tuple[Record, ...]) -> list[Any]:
    spans = [span for record in records for span in protobuf.decode_traces(record.data).spans]
    return [span for span in spans if span.scope == semconv.ANNOTATION_SCOPE]


async def test_appends_one_annotation_for_each_execution_and_does_not_analyse_it(tmp_path: Path) -> None:
    async with parts(tmp_path, annotate=True) as these:
        await append(these.log, requests.tree(A, 1, with_root=True) + requests.tree(B, 1, with_root=True))
        await these.pipeline.finish()
        await these.pipeline.finish()

        found = annotation_spans(await these.log.read(0))
        assert sorted(span.trace_id for span in found) == [A.hex(), B.hex()]
        assert len(these.store.executions()) == 2
        assert these.pipeline.position == these.log.end
        assert samples(these.metrics, "wfperf_executions_total") == {("ok", "root"): 2}


async def test_counts_an_annotation_for_which_the_log_has_no_room(tmp_path: Path) -> None:
    data = requests.tree(A, 1, with_root=True)
    async with parts(tmp_path, annotate=True, max_size_bytes=len(data) + 100) as these:
        await append(these.log, data)
        await these.pipeline.finish()

        assert samples(these.metrics, "wfperf_analyzer_dropped_items_total") == {("annotation_log_full",): 1}
        assert len(these.store.executions()) == 1


async def test_counts_what_could_not_be_analysed(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        await append(these.log, b"\xff")
        await these.pipeline.finish()
        await these.pipeline.finish()

        assert samples(these.metrics, "wfperf_analyzer_dropped_items_total") == {("undecodable",): 1}


def unstorable(trace_id: bytes) -> bytes:
    """Build a trace with more tokens than a column of 64 bits can hold."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(("a", "b"), start=1):
        span = spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=1,
            end_time_unix_nano=2,
        )
        span.parent_span_id = b"" if number == 1 else (1).to_bytes(8, "big")
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "invoke_agent" if number == 1 else "chat"
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 0 if number == 1 else 2**63 - 1
    extra = spans.add()
    extra.CopyFrom(spans[1])
    extra.span_id = (3).to_bytes(8, "big")
    return request.SerializeToString()


async def test_an_execution_that_the_store_refuses_does_not_take_others_with_it(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        await append(these.log, unstorable(B))
        await append(these.log, requests.tree(A, 1, with_root=True))
        await these.pipeline.finish()

        assert [one["trace_id"] for one in these.store.executions()] == [A.hex()]
        assert these.store.position(CONSUMER) == Position(log_id=these.log.log_id, offset=2)
        assert samples(these.metrics, "wfperf_analyzer_dropped_items_total") == {("store_refused",): 1}


async def test_an_execution_that_cannot_be_described_does_not_take_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(execution: Execution) -> Document:
        if execution.trace_id == B.hex():
            raise ZeroDivisionError
        return execution_document(execution)

    monkeypatch.setattr("otel_wfperf.sidecar.pipeline.execution_document", fault)
    async with parts(tmp_path) as these:
        await append(these.log, requests.tree(B, 1, with_root=True) + requests.tree(A, 1, with_root=True))
        await these.pipeline.finish()

        assert [one["trace_id"] for one in these.store.executions()] == [A.hex()]
        assert samples(these.metrics, "wfperf_analyzer_dropped_items_total") == {("report_failed",): 1}


async def test_stops_although_the_store_fails_and_analyses_the_rest_after_the_next_start(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        with create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}").begin() as connection:
            connection.execute(text("ALTER TABLE cursors RENAME TO hidden"))
        await append(these.log, requests.tree(A, 1, with_root=True))
        running = asyncio.create_task(these.pipeline.run())

        await asyncio.wait_for(these.pipeline.stop(timeout_s=0), 30)
        await running
        assert await these.log.cursor(CONSUMER) == 0


async def test_stops_in_time_although_much_is_left(tmp_path: Path) -> None:
    async with parts(tmp_path) as these:
        for number in range(1, 200):
            await append(these.log, requests.tree(number.to_bytes(16, "big"), 1, with_root=True))

        await these.pipeline.stop(timeout_s=0)
        assert these.pipeline.position == 0


async def test_annotations_go_in_requests_that_back_ends_take(tmp_path: Path) -> None:
    async with parts(tmp_path, annotate=True) as these:
        bodies = [requests.tree(number.to_bytes(16, "big"), 0, with_root=True) for number in range(1, 1002)]
        await append(these.log, b"".join(bodies))
        await these.pipeline.finish()

        records = (await these.log.read(0))[1:]
        assert [record.items for record in records] == [500, 500, 1]
        assert len(annotation_spans(records)) == 1001
