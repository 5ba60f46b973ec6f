"""Logs to damage, and what must hold when a damaged one is opened."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from otel_wfperf.log import Record, Signal, SqliteLog
from otel_wfperf.log.pages import PAGE_BYTES
from tests.log.opening import opened

CONSUMERS = ("fast", "slow")
_COUNT = 150
_LEAF = 0x0D


@dataclass(frozen=True, slots=True)
class Sample:
    """The files of a log, as a killed process leaves them or as they are after it was closed.

    Attributes:
        folder: Its files.
        records: What not all consumers have passed, by offset.
        cursors: How far each consumer is.
    """

    folder: Path
    records: Mapping[int, Record]
    cursors: Mapping[str, int]

    def copy_to(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder)
        return folder / "log.sqlite"


@dataclass(frozen=True, slots=True)
class Damage:
    """One flipped bit, or a file cut short; ``place`` is the number of the bit or of the byte."""

    kind: Literal["flip", "cut"]
    suffix: str
    place: int

    def apply(self, log: Path) -> None:
        if self.kind == "flip":
            flip(log.with_name(log.name + self.suffix), self.place)
        else:
            with log.with_name(log.name + self.suffix).open("r+b") as file:
                file.truncate(self.place)


async def sample(folder: Path, *, closed: bool) -> Sample:
    """Fill a log with records of all sizes, have some of them passed and deleted, and fill it again."""
    chosen = random.Random(1)
    copy = folder / "sample"
    ignored = shutil.ignore_patterns("sample", "*.lock", "*-shm")
    async with opened(folder, *CONSUMERS) as log:
        for number in range(2 * _COUNT):
            if number == _COUNT:
                await log.commit("fast", _COUNT - 10)
                await log.commit("slow", _COUNT - 20)
                await log.trim()
            data = chosen.randbytes(chosen.choice((30, 300, 3_000, 20_000)))
            await log.append(chosen.choice(list(Signal)), data, items=number)
        records = {record.offset: record for record in await everything(log)}
        if not closed:
            shutil.copytree(folder, copy, ignore=ignored)
    if closed:
        shutil.copytree(folder, copy, ignore=ignored)
    return Sample(copy, records, {"fast": _COUNT - 10, "slow": _COUNT - 20})


async def everything(log: SqliteLog) -> list[Record]:
    """Read as a consumer does."""
    records: list[Record] = []
    while found := await log.read(records[-1].offset if records else 0):
        records += found
    return records


def some_damage(chosen: random.Random, sampled: Sample) -> Damage:
    """Choose a place, often in the first pages: all others depend on them."""
    suffix = chosen.choice([suffix for suffix in ("", "-wal") if (sampled.folder / f"log.sqlite{suffix}").exists()])
    size_bytes = (sampled.folder / f"log.sqlite{suffix}").stat().st_size
    reach_bytes = chosen.choice((size_bytes, size_bytes, min(size_bytes, 8 * PAGE_BYTES)))
    if chosen.random() < 0.7:
        return Damage("flip", suffix, chosen.randrange(8 * reach_bytes))
    return Damage("cut", suffix, chosen.randrange(reach_bytes))


async def broken_promises(sampled: Sample, damage: Damage, folder: Path) -> list[str]:
    """Damage a copy, open it, and return what does not hold of what is promised."""
    path = sampled.copy_to(folder)
    at_stake = rows_around(path, damage)
    damage.apply(path)
    async with opened(folder, *CONSUMERS) as log:
        found = {record.offset: record for record in await everything(log)}
        counted = sum(log.status.damaged_records.values())
        cursors = {name: await log.cursor(name) for name in CONSUMERS}
        appended = await log.append(Signal.TRACES, b"more", items=1)
        more = [record.data for record in await log.read(appended - 1)]
    lost = len(sampled.records.keys() - found.keys())
    wrong = [offset for offset, record in found.items() if sampled.records.get(offset) != record]
    problems = {
        f"{len(wrong)} records are wrong or were passed long ago": wrong,
        f"{lost} are lost and {counted} counted": lost != counted,
        f"{lost} are lost though at most {at_stake} are damaged": damage.kind == "flip" and lost > at_stake,
        f"the cursors are {cursors}": cursors != sampled.cursors,
        f"offset {appended} was given again": appended <= max(sampled.records),
        "what is appended cannot be read": more != [b"more"],
    }
    return [f"{damage}: {problem}" for problem, holds in problems.items() if holds]


def rows_around(path: Path, damage: Damage) -> int:
    """Count the records that begin in the page of a flipped bit; one may go through it."""
    frame_bytes = PAGE_BYTES + 24 if damage.suffix else PAGE_BYTES
    begin = 32 if damage.suffix else 0
    page = max(0, damage.place // 8 - begin) // frame_bytes
    with path.with_name(path.name + damage.suffix).open("rb") as file:
        file.seek(begin + page * frame_bytes + frame_bytes - PAGE_BYTES)
        head = file.read(5)
    return max(1, int.from_bytes(head[3:5], "big")) if head[:1] == bytes([_LEAF]) else 1


def flip(file: Path, bit: int) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(bit // 8)
        (byte,) = opened_file.read(1)
        opened_file.seek(bit // 8)
        opened_file.write(bytes([byte ^ 1 << bit % 8]))
