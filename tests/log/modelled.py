"""A log beside a model of it: whatever is done to both, they hold the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Signal, SqliteLog
from tests.log.opening import DAY_NS

T = TypeVar("T")

_MAX_AGE_S = 100
_MAX_SIZE_BYTES = 100_000
_CONSUMERS = ("fast", "slow")
# In memory where there is such a place: a thousand logs are opened.
_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class LogMachine(RuleBasedStateMachine):
    """Appends, reads, commits, trims, restarts and kills in any order; ``lists`` counts the lists of actions."""

    lists: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        LogMachine.lists += 1
        self._loop = asyncio.Runner()
        self._folders = Path(tempfile.mkdtemp(prefix="wfperf-log-", dir=_FOLDER))
        self._folder = self._folders / "0"
        self._folder.mkdir()
        self._now_ns = DAY_NS
        self._offset = 0
        # What is kept: data, items, time of receipt, by offset.
        self._kept: dict[int, tuple[bytes, int, int]] = {}
        self._cursors = dict.fromkeys(_CONSUMERS, 0)
        self._log = self._run(self._open())

    async def _open(self) -> SqliteLog:
        return SqliteLog(
            self._folder / "log.sqlite",
            consumers=_CONSUMERS,
            max_size_bytes=_MAX_SIZE_BYTES,
            max_age_s=_MAX_AGE_S,
            fsync=False,
            clock_ns=lambda: self._now_ns,
        )

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    @rule(sizes=st.lists(st.sampled_from((0, 1, 200, 4_000, 9_000, 40_000)), min_size=1, max_size=5))
    def append(self, sizes: list[int]) -> None:
        async def append_all() -> list[int | BaseException]:
            appends = [
                self._log.append(Signal.TRACES, bytes([number + 1]) * size, items=size)
                for number, size in enumerate(sizes)
            ]
            return await asyncio.gather(*appends, return_exceptions=True)

        before_bytes = self._log.size_bytes
        for number, (size, answer) in enumerate(zip(sizes, self._run(append_all()), strict=True)):
            if isinstance(answer, LogFullError):
                assert before_bytes + sum(sizes) + 9_000 * len(sizes) > _MAX_SIZE_BYTES, answer
                continue
            self._offset += 1
            assert answer == self._offset
            self._kept[self._offset] = (bytes([number + 1]) * size, size, self._now_ns)

    @rule(consumer=st.sampled_from(_CONSUMERS), steps=st.integers(0, 5))
    def commit(self, consumer: str, steps: int) -> None:
        position = min(self._offset, self._cursors[consumer] + steps)
        self._cursors[consumer] = position
        self._run(self._log.commit(consumer, position))

    @rule()
    def trim(self) -> None:
        passed = min(self._cursors.values())
        lost = dict.fromkeys(_CONSUMERS, 0)
        for offset, (_, items, received_ns) in sorted(self._kept.items()):
            if offset > passed and received_ns >= self._now_ns - _MAX_AGE_S * 10**9:
                break
            del self._kept[offset]
            for consumer, position in self._cursors.items():
                lost[consumer] += items if position < offset else 0
        expired = self._run(self._log.trim()).items
        assert {consumer: expired.get(consumer, 0) for consumer in _CONSUMERS} == lost

    @rule(seconds=st.integers(-20, 200))
    def time_passes(self, seconds: int) -> None:
        self._now_ns += seconds * 10**9

    @rule()
    def restart(self) -> None:
        self._run(self._log.close())
        self._log = self._run(self._open())

    @rule()
    def kill(self) -> None:
        """Go on with the files as they are, which is what a killed process leaves."""
        folder = self._folder.with_name(str(int(self._folder.name) + 1))
        shutil.copytree(self._folder, folder, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
        self._run(self._log.close())
        shutil.rmtree(self._folder)
        self._folder = folder
        self._log = self._run(self._open())

    @rule(
        after=st.integers(0, 3),
        limit=st.integers(1, 4),
        max_bytes=st.sampled_from((1, 5_000, 10**6)),
    )
    def read_some(self, after: int, limit: int, max_bytes: int) -> None:
        found = self._run(self._log.read(after, limit=limit, max_bytes=max_bytes))
        offsets = [offset for offset in sorted(self._kept) if offset > after][: len(found)]
        assert [record.offset for record in found] == offsets
        assert len(found) <= limit
        assert sum(len(record.data) for record in found[:-1]) <= max_bytes

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        found = self._run(self._log.read(0, limit=10_000, max_bytes=10**9))
        assert {each.offset: (each.data, each.items, each.received_ns) for each in found} == self._kept
        assert [record.offset for record in found] == sorted(self._kept)

    @invariant()
    def knows_how_it_is(self) -> None:
        status = self._log.status
        assert status.records == len(self._kept)
        assert status.damaged_records == {}
        assert self._log.last_offset == self._offset
        assert self._log.size_bytes <= _MAX_SIZE_BYTES
        assert (self._log.size_bytes == 0) == (not self._kept)
        newest = max(self._kept, default=0)
        all_passed = min(self._cursors.values()) >= self._offset
        assert self._log.end == (newest or (self._offset if all_passed else 0))
        assert {name: self._run(self._log.cursor(name)) for name in _CONSUMERS} == self._cursors

    def teardown(self) -> None:
        self._run(self._log.close())
        self._loop.close()
        shutil.rmtree(self._folders)
