import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_wfperf.errors import ConfigError, LogFullError
from otel_wfperf.log import Signal, SqliteLog
from tests.log.opening import DAY_NS, files_cannot_grow_beyond, opened
from tests.peers import REPOSITORY


async def test_reads_back_what_was_appended_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        first = await log.append(Signal.TRACES, b"one", items=1)
        second = await log.append(Signal.LOGS, b"two", items=2)
        records = await log.read(0)

    assert [(record.offset, record.signal, record.data, record.items) for record in records] == [
        (first, Signal.TRACES, b"one", 1),
        (second, Signal.LOGS, b"two", 2),
    ]


async def test_many_appends_at_once_get_one_offset_each(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        offsets = await asyncio.gather(*(log.append(Signal.TRACES, b"%d" % number, items=1) for number in range(500)))
        records = await log.read(0, limit=1000)

    assert offsets == list(range(1, 501))
    assert [record.data for record in records] == [b"%d" % number for number in range(500)]


async def test_reads_at_most_what_was_asked_for_but_always_something(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        for _ in range(5):
            await log.append(Signal.TRACES, bytes(100), items=1)

        assert [record.offset for record in await log.read(1, limit=2)] == [2, 3]
        assert [record.offset for record in await log.read(0, max_bytes=250)] == [1, 2]
        assert [record.offset for record in await log.read(0, max_bytes=1)] == [1]
        assert await log.read(5) == ()


async def test_keeps_records_offsets_and_identity_over_a_restart(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        await log.append(Signal.TRACES, b"one", items=1)
        await log.commit("reader", 1)
        await log.trim()
        identity = log.log_id

    async with opened(tmp_path) as log:
        assert (log.log_id, log.end, log.size_bytes) == (identity, 1, 0)
        assert await log.cursor("reader") == 1
        assert await log.append(Signal.TRACES, b"two", items=1) == 2


async def test_trims_what_every_consumer_has_passed(tmp_path: Path) -> None:
    async with opened(tmp_path, "fast", "slow") as log:
        for _ in range(4):
            await log.append(Signal.TRACES, b"data", items=1)
        full = log.size_bytes
        await log.commit("fast", 4)
        await log.commit("slow", 2)
        expired = await log.trim()

        assert [record.offset for record in await log.read(0)] == [3, 4]
        assert log.size_bytes == full / 2
        assert expired.items == {}


async def test_forgets_the_cursor_of_a_consumer_that_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path, "stays", "goes") as log:
        await log.append(Signal.TRACES, b"data", items=1)
        await log.commit("stays", 1)

    async with opened(tmp_path, "stays") as log:
        await log.trim()
        assert await log.read(0) == ()


async def test_drops_what_is_too_old_and_counts_it_by_consumer(tmp_path: Path) -> None:
    now_ns = DAY_NS
    async with opened(tmp_path, "fast", "slow", clock_ns=lambda: now_ns) as log:
        await log.append(Signal.TRACES, b"old", items=7)
        await log.commit("fast", 1)
        now_ns += 3_601_000_000_000
        await log.append(Signal.TRACES, b"new", items=1)
        expired = await log.trim()

        assert expired.items == {"slow": 7}
        assert [record.data for record in await log.read(0)] == [b"new"]


async def test_refuses_more_than_its_limit_until_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size_bytes=1500) as log:
        await log.append(Signal.TRACES, bytes(800), items=1)
        with pytest.raises(LogFullError, match=r"sidecar\.log\.max_size") as refused:
            await log.append(Signal.TRACES, bytes(800), items=1)
        assert refused.value.retry_after_s > 0
        assert log.status.refused_appends == {"size": 1}

        await log.commit("reader", 1)
        await log.trim()
        assert await log.append(Signal.TRACES, bytes(800), items=1) == 2


async def test_a_write_that_fails_is_refused_and_what_follows_is_taken(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        await log.append(Signal.TRACES, b"one", items=1)
        with files_cannot_grow_beyond(100_000):
            with pytest.raises(LogFullError, match="the disk of the log"):
                await log.append(Signal.TRACES, bytes(200_000), items=1)
            with pytest.raises(LogFullError, match="the disk of the log"):
                await log.append(Signal.TRACES, bytes(200_000), items=1)
        assert (log.end, log.status.records) == (1, 1)
        assert sum(log.status.refused_appends.values()) == 2

        assert await log.append(Signal.TRACES, bytes(200_000), items=1) == 2
        assert [len(record.data) for record in await log.read(0)] == [3, 200_000]


async def test_leaves_room_on_the_disk_to_delete_and_uses_again_what_it_deleted(
    tmp_path: Path,
) -> None:
    free = 10**9
    log = SqliteLog(
        tmp_path / "log.sqlite",
        consumers=["reader"],
        max_size_bytes=10**9,
        max_age_s=3600,
        fsync=False,
        disk_free_bytes=lambda: free,
    )
    await log.append(Signal.TRACES, bytes(1_000_000), items=1)
    free = 64 * 1024**2 + 100_000
    with pytest.raises(LogFullError):
        await log.append(Signal.TRACES, bytes(500_000), items=1)

    await log.commit("reader", 1)
    await log.trim()
    assert await log.append(Signal.TRACES, bytes(500_000), items=1) == 2
    with pytest.raises(LogFullError):
        await log.append(Signal.TRACES, bytes(1_000_000), items=1)
    await log.close()


async def test_trims_thousands_of_records(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await asyncio.gather(*(log.append(Signal.TRACES, b"data", items=1) for _ in range(4500)))
        await log.commit("reader", 4400)
        await log.trim()

        assert [record.offset for record in await log.read(0, limit=1)] == [4401]
        assert log.status.records == 100


async def test_appends_are_answered_while_a_long_trim_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await asyncio.gather(*(log.append(Signal.TRACES, bytes(1_000_000), items=1) for _ in range(40)))
        await log.commit("reader", 40)
        trimming = asyncio.create_task(log.trim())
        appended = []
        while not trimming.done():
            appended.append(await log.append(Signal.TRACES, b"data", items=1))
        await trimming

        assert len(appended) > 5
        assert [record.offset for record in await log.read(0, limit=1000)] == appended


async def test_waits_for_news(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        assert not await log.wait(0, timeout_s=0)
        waiting = asyncio.create_task(log.wait(0, timeout_s=30))
        await log.append(Signal.TRACES, b"data", items=1)
        assert await waiting


async def test_a_second_sidecar_is_refused_by_the_key_to_change(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(
            ConfigError,
            match=r"sidecar\.data_dir: .*: another sidecar uses it; stop that one",
        ):
            async with opened(tmp_path):
                pass


async def test_a_folder_that_cannot_be_written_is_told_from_a_taken_one() -> None:
    with pytest.raises(ConfigError, match=r"^sidecar\.data_dir: '/proc': cannot be written"):
        SqliteLog(
            Path("/proc/log.sqlite"),
            consumers=["reader"],
            max_size_bytes=10**9,
            max_age_s=3600,
        )


async def test_only_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        items = [1, 2**70, 3]
        answers = await asyncio.gather(
            *(log.append(Signal.TRACES, b"data", items=count) for count in items),
            return_exceptions=True,
        )

        assert isinstance(answers[1], LogFullError)
        assert [record.items for record in await log.read(0)] == [1, 3]
        assert log.status.refused_appends == {"fault": 1}


async def test_a_disk_that_is_gone_refuses_retryably(tmp_path: Path) -> None:
    def gone() -> int:
        raise FileNotFoundError

    log = SqliteLog(
        tmp_path / "log.sqlite",
        consumers=["reader"],
        max_size_bytes=10**9,
        max_age_s=3600,
        disk_free_bytes=gone,
    )
    with pytest.raises(LogFullError):
        await log.append(Signal.TRACES, b"one", items=1)
    await log.close()


async def test_appends_fail_retryably_once_it_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        pass

    with pytest.raises(LogFullError):
        await log.append(Signal.TRACES, b"data", items=1)


APPENDER = """
import asyncio, sys
from pathlib import Path
from otel_wfperf.log import Signal, SqliteLog
from tests.peers import REPOSITORY

async def main():
    log = SqliteLog(Path(sys.argv[1]), consumers=["reader"], max_size_bytes=10**9, max_age_s=3600, fsync=False)
    async def client(number):
        while True:
            offset = await log.append(Signal.TRACES, b"x" * 5000, items=1)
            print(offset, flush=True)
    await asyncio.gather(*(client(number) for number in range(20)))

asyncio.run(main())
"""


def acknowledged_before_it_was_killed(file: Path, count: int) -> list[int]:
    """Run a process that appends as fast as it can, kill it after some offsets, and return those it printed."""
    command = [sys.executable, "-c", APPENDER, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    offsets = [int(process.stdout.readline()) for _ in range(count)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    return offsets + [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.parametrize("count", [1, 57, 400])
async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, count: int) -> None:
    offsets = await asyncio.to_thread(acknowledged_before_it_was_killed, tmp_path / "log.sqlite", count)

    async with opened(tmp_path) as log:
        kept = {record.offset for record in await log.read(0, limit=100_000, max_bytes=10**9)}

    assert kept.issuperset(offsets)
