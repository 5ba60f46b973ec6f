import random
from pathlib import Path

import pytest

from otel_wfperf.log import Signal, SqliteLog
from otel_wfperf.log.pages import PAGE_BYTES
from tests.log.damaging import broken_promises, everything, flip, sample, some_damage
from tests.log.opening import opened

BODY_BYTES = 30_000


@pytest.mark.parametrize("closed", [False, True], ids=["killed", "closed"])
async def test_opens_with_everything_but_the_damaged_records_and_counts_those(tmp_path: Path, *, closed: bool) -> None:
    (tmp_path / "healthy").mkdir()
    sampled = await sample(tmp_path / "healthy", closed=closed)
    chosen = random.Random(15)

    problems = [
        problem
        for number in range(25)
        for problem in await broken_promises(sampled, some_damage(chosen, sampled), tmp_path / str(number))
    ]

    assert problems == []


async def filled(folder: Path, count: int = 20) -> None:
    async with opened(folder) as log:
        for number in range(1, count + 1):
            await log.append(Signal.TRACES, bytes([number]) * BODY_BYTES, items=1)


def place_of(file: Path, number: int) -> int:
    """Return where the data of a record are (byte)."""
    return file.read_bytes().index(bytes([number]) * 1000) + 500


async def numbers(log: SqliteLog) -> list[int]:
    return [record.data[0] for record in await everything(log)]


async def test_a_flipped_bit_within_the_data_costs_that_record_while_it_runs(
    tmp_path: Path,
) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as log:
        flip(tmp_path / "log.sqlite", 8 * place_of(tmp_path / "log.sqlite", 5))

        assert await numbers(log) == [*range(1, 5), *range(6, 21)]
        assert log.status.damaged_records == {"checksum": 1}
        assert (log.status.records, log.end) == (19, 20)


async def test_a_damaged_record_at_the_end_does_not_keep_consumers_awake(
    tmp_path: Path,
) -> None:
    await filled(tmp_path, count=3)
    async with opened(tmp_path) as log:
        flip(tmp_path / "log.sqlite", 8 * place_of(tmp_path / "log.sqlite", 3))

        assert await numbers(log) == [1, 2]
        assert log.end == 2
        assert not await log.wait(2, timeout_s=0)
        assert await log.append(Signal.TRACES, b"\4", items=1) == 4
        assert [record.offset for record in await log.read(2)] == [4]


@pytest.mark.parametrize("page", range(2, 30, 3))
async def test_a_page_overwritten_while_it_runs_costs_what_was_on_it(tmp_path: Path, page: int) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as log:
        await log.commit("reader", 2)
        log_id = log.log_id
        with (tmp_path / "log.sqlite").open("r+b") as file:
            file.seek((page - 1) * PAGE_BYTES)
            file.write(b"\xff" * PAGE_BYTES)

        kept = await numbers(log)
        assert set(kept) <= set(range(1, 21))
        assert len(kept) == 20 - sum(log.status.damaged_records.values())
        assert len(kept) >= 20 - 2 * PAGE_BYTES // 1000
        assert (log.log_id, await log.cursor("reader")) == (log_id, 2)
        assert await log.append(Signal.TRACES, b"\25", items=1) == 21
        await log.trim()
        assert await numbers(log) == [number for number in [*kept, 21] if number > 2]


async def test_a_repair_that_was_interrupted_is_finished_by_the_next_start(
    tmp_path: Path,
) -> None:
    await filled(tmp_path)
    file = tmp_path / "log.sqlite"
    (tmp_path / "log.sqlite.built").write_bytes(file.read_bytes())
    file.write_bytes(b"half of something")

    async with opened(tmp_path) as log:
        assert await numbers(log) == list(range(1, 21))

    assert (tmp_path / "log.sqlite.damaged").read_bytes() == b"half of something"
    assert not (tmp_path / "log.sqlite.built").exists()


async def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"no database" * 1000)
    async with opened(tmp_path) as log:
        assert log.status.damaged_records == {"unknown": 1}
        assert await log.append(Signal.TRACES, b"one", items=1) == 1

    assert (tmp_path / "log.sqlite.damaged").read_bytes() == b"no database" * 1000


async def test_a_log_that_was_deleted_is_missed(tmp_path: Path) -> None:
    await filled(tmp_path, count=3)
    async with opened(tmp_path) as log:
        log_id = log.log_id
    (tmp_path / "log.sqlite").unlink()

    async with opened(tmp_path) as log:
        assert (log.log_id, log.status.damaged_records) == (log_id, {"missing": 3})
        assert await log.append(Signal.TRACES, b"more", items=1) == 4


async def test_a_log_without_its_witness_is_whole(tmp_path: Path) -> None:
    await filled(tmp_path, count=3)
    (tmp_path / "log.marks").write_bytes(b"no marks")

    async with opened(tmp_path) as log:
        assert (await numbers(log), log.status.damaged_records) == ([1, 2, 3], {})
