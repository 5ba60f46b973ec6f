"""Logs to damage: their files as a killed process leaves them, and what is in which byte of them."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from otel_wfperf.log import Record, Signal
from tests.log.opening import opened

SUFFIXES = ("", "-wal")


@dataclass(frozen=True, slots=True)
class Sample:
    """A log with its records, in a folder that is copied before it is damaged.

    Attributes:
        records: What consumers have not passed, by offset.
        passed: Offset that all have passed.
    """

    folder: Path
    records: dict[int, Record]
    passed: int

    def copy(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder)
        return folder / "log.sqlite"


async def sample(folder: Path, *, seed: int = 1, count: int = 150, closed: bool = False) -> Sample:
    """Fill a log with records of all sizes, delete some, fill again; take its files while it is open, or closed."""
    chosen = random.Random(seed)
    copy = folder / "sample"
    async with opened(folder, "fast", "slow") as log:
        for number in range(2 * count):
            if number == count:
                await log.commit("fast", count - 10)
                await log.commit("slow", count - 20)
                await log.trim()
            size = chosen.choice((30, 300, 3_000, 20_000))
            await log.append(chosen.choice(list(Signal)), chosen.randbytes(size), items=number)
        records = {record.offset: record for record in await log.read(0, limit=10_000, max_bytes=10**9)}
        if not closed:
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("sample", "*.lock", "*-shm"))
    if closed:
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("sample", "*.lock"))
    return Sample(copy, records, count - 20)


def flip(file: Path, bit: int) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(bit // 8)
        (byte,) = opened_file.read(1)
        opened_file.seek(bit // 8)
        opened_file.write(bytes([byte ^ 1 << bit % 8]))
