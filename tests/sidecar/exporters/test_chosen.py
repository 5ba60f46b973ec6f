"""Traces are handed out once they are decided, on a real log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.config import ExporterConfig
from otel_wfperf.log import Record, Signal, SqliteLog
from otel_wfperf.model import ExecutionStatus
from otel_wfperf.sidecar.decisions import Decisions
from otel_wfperf.sidecar.exporters.chosen import Chosen
from otel_wfperf.sidecar.exporters.progress import Progress
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import StoreUnavailableError, Verdict
from tests.sidecar import requests
from tests.sidecar.exporters.test_forwarder import log_for
from tests.sidecar.receiving import samples

A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)
FAILED = Verdict(status=ExecutionStatus.ERROR, severity=None)
FINE = Verdict(status=ExecutionStatus.OK, severity=None)


class Stored:
    """Verdicts as the store gives them."""

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self.verdicts = verdicts
        self.failures = 0

    def __call__(self, trace_ids: Iterable[str]) -> Mapping[str, Verdict]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the disk is full")
        return {each: self.verdicts[each] for each in trace_ids if each in self.verdicts}


class Taking:
    """A source of what failed, and what it hands out."""

    def __init__(self, log: SqliteLog, stored: Stored, **options: Any) -> None:
        config = {"name": "b", "endpoint": "http://b:1", "forward": "errors", **options}
        self.metrics = Metrics()
        self.decisions = Decisions(0, stored)
        self.progress = Progress(0)
        self.source = Chosen(ExporterConfig.model_validate(config), log, self.decisions, self.metrics)
        self.source.resume(self.progress)

    async def take(self) -> list[Record]:
        """Take until there is nothing more, as if each were delivered at once."""
        taken: list[Record] = []
        taking = asyncio.create_task(self.source.take(limit=10, max_bytes=10**6))
        while not self.source.exhausted or taking.done():
            if taking.done():
                taken += taking.result()
                for record in taking.result():
                    self.progress.end(record.offset)
                taking = asyncio.create_task(self.source.take(limit=10, max_bytes=10**6))
            await asyncio.sleep(0.005)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        return taken

    def counted(self, name: str) -> float:
        return samples(self.metrics, f"wfperf_exporter_{name}_total").get(("b",), 0)


async def append(log: SqliteLog, *traces: str, first: int = 1) -> None:
    """Append one record with a span of each trace."""
    spans = b"".join(
        requests.traces(1, first=first + number, trace_id=bytes.fromhex(trace)) for number, trace in enumerate(traces)
    )
    await log.append(Signal.TRACES, spans, items=len(traces))


def handed_out(records: Iterable[Record]) -> list[tuple[int, list[str]]]:
    return [(record.offset, requests.trace_ids(record.data)) for record in records]


async def test_a_decided_trace_goes_although_an_earlier_one_is_open(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({A: FINE, B: FAILED}))
        await append(log, A)
        await append(log, B)
        assert handed_out(await taking.take()) == []
        taking.decisions.settled(2, [A])

        assert handed_out(await taking.take()) == [(2, [B])]
        assert taking.progress.position == 0
        taking.decisions.settled(2, [])
        assert handed_out(await taking.take()) == []
        assert taking.progress.position == 2
        assert taking.counted("left_out_spans") == 1


async def test_each_part_of_a_record_goes_when_it_is_decided_and_once(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({A: FAILED, B: FAILED, C: FINE}))
        await append(log, A, B, C, A)
        taking.decisions.settled(1, [B])
        first = await taking.take()
        taking.decisions.settled(1, [])
        second = await taking.take()

        assert handed_out(first) == [(1, [A, A])]
        assert handed_out(second) == [(1, [B])]
        assert [record.items for record in (*first, *second)] == [2, 1]
        assert (taking.progress.position, taking.counted("left_out_spans")) == (1, 1)


async def test_a_record_that_is_wanted_as_a_whole_stays_as_it_came(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({A: FAILED}))
        unknown = requests.traces(trace_id=bytes.fromhex(A)) + b"\xca\x3e\x03abc"
        await log.append(Signal.TRACES, unknown, items=1)
        taking.decisions.settled(1, [])

        assert [record.data for record in await taking.take()] == [unknown]


async def test_late_spans_follow_the_decision(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({A: FAILED, B: FINE}))
        await append(log, A, B)
        taking.decisions.settled(1, [])
        await taking.take()
        await append(log, A, B, first=7)
        taking.decisions.settled(2, [])

        assert handed_out(await taking.take()) == [(2, [A])]


async def test_metrics_and_logs_wait_for_nothing(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({}))
        for signal in (Signal.METRICS, Signal.LOGS):
            await log.append(signal, requests.REQUESTS[signal], items=1)

        assert [record.signal for record in await taking.take()] == [Signal.METRICS, Signal.LOGS]
        assert taking.progress.position == 2


async def test_a_restart_hands_out_again_what_the_cursor_had_not_passed(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        stored = Stored({A: FAILED, B: FAILED})
        before = Taking(log, stored)
        await append(log, A)
        await append(log, B)
        before.decisions.settled(2, [A])
        assert handed_out(await before.take()) == [(2, [B])]

        after = Taking(log, stored)
        after.progress = Progress(before.progress.position)
        after.source.resume(after.progress)
        after.decisions.settled(2, [])
        assert handed_out(await after.take()) == [(1, [A]), (2, [B])]


@pytest.mark.parametrize("forward", ["errors", "findings"])
async def test_what_the_store_does_not_know_is_handed_out(tmp_path: Path, forward: str) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({}), forward=forward)
        await append(log, A)
        taking.decisions.settled(1, [])

        assert handed_out(await taking.take()) == [(1, [A])]


async def test_a_sample_waits_for_no_analysis(tmp_path: Path) -> None:
    chosen, other = "0" * 18 + "f" * 14, "0" * 31 + "1"
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({}), forward="sample", sample_ratio=0.5)
        await append(log, chosen, other)

        assert handed_out(await taking.take()) == [(1, [chosen])]
        assert (taking.progress.position, taking.counted("left_out_spans")) == (1, 1)


async def test_traces_that_hold_back_too_much_go_undecided(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({}))
        await append(log, A)
        data = requests.traces(trace_id=bytes.fromhex(B), text="x" * 1000)
        log.max_size_bytes = 2 * 10 * len(data)
        for _ in range(11):
            await log.append(Signal.TRACES, data, items=1)

        # Half of the log is ten of these; only with the eleventh there are more behind the first.
        assert handed_out(await taking.take()) == [(1, [A])]
        assert (taking.progress.position, taking.counted("undecided_spans")) == (1, 1)


async def test_a_store_that_fails_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_wfperf.sidecar.exporters.chosen._RETRY_STORE_S", 0.01)
    async with log_for(tmp_path, "b") as log:
        stored = Stored({A: FAILED, B: FINE})
        taking = Taking(log, stored)
        await append(log, A, B)
        assert await taking.take() == []
        stored.failures = 2
        taking.decisions.settled(1, [])

        assert handed_out(await taking.take()) == [(1, [A])]
        assert stored.failures == 0


async def test_what_expired_in_the_log_is_waited_for_no_more(tmp_path: Path) -> None:
    async with log_for(tmp_path, "b") as log:
        taking = Taking(log, Stored({A: FAILED}))
        await append(log, A)
        assert await taking.take() == []
        await log.commit("exporter/b", 1)
        await log.trim()
        taking.decisions.settled(1, [])

        assert await taking.take() == []
        assert taking.progress.position == 1
