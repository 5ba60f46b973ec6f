from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from otel_wfperf import semconv
from otel_wfperf.assembly import Assembler
from otel_wfperf.log import Record, Signal, SqliteLog
from otel_wfperf.otlp import protobuf
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
