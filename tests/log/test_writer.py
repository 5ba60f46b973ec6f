import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Signal, SqliteLog, tables
from tests.log.opening import files_cannot_grow_beyond, opened
from tests.waiting import eventually_async


class Forced:
    """Notes which files are forced to the disk by us; SQLite does so itself, past Python."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: int) -> None:
        self.count += 1


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Forced:
    found = Forced()
    monkeypatch.setattr(os, "fsync", found)
    return found


async def test_an_interval_forces_what_was_committed_also_when_nothing_follows(tmp_path: Path, forced: Forced) -> None:
    async with opened(tmp_path, fsync_interval_s=0.05) as log:
        await log.append(Signal.TRACES, b"one", items=1)

        async def was_forced() -> bool:
            return forced.count == 1

        await eventually_async(was_forced)
        await log.append(Signal.TRACES, b"two", items=1)
        await eventually_async(lambda: _at_least(forced, 2))


async def _at_least(forced: Forced, count: int) -> bool:
    return forced.count >= count


async def test_an_interval_forces_the_rest_when_the_log_is_closed(tmp_path: Path, forced: Forced) -> None:
    async with opened(tmp_path, fsync_interval_s=3600.0) as log:
        await log.append(Signal.TRACES, b"one", items=1)
        assert forced.count == 0

    assert forced.count == 1


async def test_never_forces_nothing(tmp_path: Path, forced: Forced) -> None:
    async with opened(tmp_path) as log:
        await log.append(Signal.TRACES, b"one", items=1)

    assert forced.count == 0


async def test_appends_get_offsets_in_the_order_of_their_calls_whatever_else_is_written(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        tasks = []
        for number in range(300):
            tasks.append(asyncio.create_task(log.append(Signal.TRACES, b"%d" % number, items=1)))
            if number % 50 == 0:
                await log.commit("reader", number // 2)
                await log.trim()
        assert await asyncio.gather(*tasks) == list(range(1, 301))
        kept = await log.read(0, limit=1000)

    assert [int(record.data) for record in kept] == [record.offset - 1 for record in kept]


async def test_a_disk_that_can_not_be_written_is_used_again_once_it_can(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        await log.append(Signal.TRACES, bytes(10_000), items=1)
        with files_cannot_grow_beyond(0):
            with pytest.raises(LogFullError):
                await log.append(Signal.TRACES, b"x", items=1)
            await log.commit("reader", 1)
            with pytest.raises(LogFullError):
                await log.trim()
            assert len(await log.read(0)) == 1
        await log.trim()
        assert await log.append(Signal.TRACES, b"more", items=1) == 2
        assert [record.offset for record in await log.read(0)] == [2]
        assert log.status.damaged_records == {}


async def test_says_how_it_is(tmp_path: Path) -> None:
    now_ns = 10**18
    log = SqliteLog(
        tmp_path / "log.sqlite",
        consumers=["fast", "slow"],
        max_size_bytes=10**9,
        max_age_s=3600,
        fsync=False,
        clock_ns=lambda: now_ns,
    )
    assert (log.status.records, log.status.oldest_age_s, log.status.lag_records) == (
        0,
        0.0,
        {"fast": 0, "slow": 0},
    )
    for _ in range(3):
        await log.append(Signal.TRACES, b"data", items=1)
        now_ns += 10**9
    await log.commit("fast", 3)
    await log.commit("slow", 1)
    await log.trim()

    assert (log.status.records, log.status.oldest_age_s) == (2, 2.0)
    assert log.status.lag_records == {"fast": 0, "slow": 2}
    await log.close()


async def test_a_killed_process_remembers_cursors_that_no_commit_has_stored(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    async with opened(tmp_path) as log:
        for _ in range(3):
            await log.append(Signal.TRACES, b"data", items=1)
        await log.commit("reader", 2)
        shutil.copytree(tmp_path, killed, ignore=shutil.ignore_patterns("killed", "*.lock", "*-shm"))

    async with opened(killed) as log:
        assert await log.cursor("reader") == 2
        assert (log.status.records, log.status.damaged_records) == (3, {})


async def test_a_process_killed_between_a_commit_and_its_note_remembers_newer_cursors(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    async with opened(tmp_path) as log:
        await log.append(Signal.TRACES, b"one", items=1)
        await log.commit("reader", 1)
        shutil.copy(tmp_path / "log.marks", killed)
        await log.append(Signal.TRACES, b"two", items=1)
    shutil.copy(tmp_path / "log.sqlite", killed)
    with closing(sqlite3.connect(killed / "log.sqlite", isolation_level=None)) as connection:
        marks, _ = tables.read_marks(connection)
        assert marks is not None
        tables.write_marks(connection, marks.with_cursors({"reader": 0}))

    async with opened(killed) as log:
        assert await log.cursor("reader") == 1
        assert (log.status.records, log.status.damaged_records) == (2, {})
