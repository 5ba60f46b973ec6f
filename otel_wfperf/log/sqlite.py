"""A log in one SQLite file: a commit for all appends that wait, and every record checked when it is read."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from otel_wfperf.errors import ConfigError, LogFullError
from otel_wfperf.log import damage, tables
from otel_wfperf.log.database import Database, Work
from otel_wfperf.log.log import Expired, LogStatus, Record, Signal
from otel_wfperf.log.marks import Marks
from otel_wfperf.log.tables import Trimmed
from otel_wfperf.log.writer import Refusal, Writer
from otel_wfperf.private_files import keep_private

_LOGGER = logging.getLogger(__name__)
# Chosen: what may wait in memory for the writer; more means that the disk does not keep up.
_MAX_PENDING_BYTES: Final = 64 * 1024**2
# Chosen: long enough for a consumer to free some room, short against the 5 s of an exporter's first retry.
_RETRY_AFTER_S: Final = 1.0
# Chosen: room on the disk for the write-ahead log, without which not even the log's own data could be deleted: four
# times the largest commit, and what the store needs meanwhile.
_RESERVE_BYTES: Final = 64 * 1024**2
_RESERVED: Final = f"{_RESERVE_BYTES // 1024**2} MiB stay in reserve, to delete what is done with"
# Chosen: seen by whoever looks, and no line for each request.
_WARNING_S: Final = 60.0
_WHY: Final = {
    "size": "the log has reached sidecar.log.max_size",
    "pending": "the disk does not keep up",
    "disk_full": "the disk of the log has too little room",
    "disk_error": "the disk of the log fails",
    "fault": "the log failed; the sidecar's own log says why",
    "closed": "the log is closed",
}


class SqliteLog:
    """Implement :class:`~otel_wfperf.log.log.Log` on one file.

    Only one process may have a file open; a second one is refused with the key to change.
    """

    def __init__(
        self,
        path: Path,
        *,
        consumers: Iterable[str],
        max_size_bytes: int,
        max_age_s: float,
        fsync: bool = True,
        fsync_interval_s: float | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        disk_free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Open or create the file; blocks shortly, so call it before serving.

        Args:
            path: The database file; its folder must exist.
            consumers: Who must pass a record before it goes; cursors of others are forgotten.
            max_size_bytes: Data kept before appends are refused (bytes).
            max_age_s: Age at which data goes whether or not it was consumed (seconds).
            fsync: Force each commit to the disk.
            fsync_interval_s: Without that: force what was committed at least this often (seconds); None = never.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
            disk_free_bytes: Room on the disk (bytes); asked of the operating system by default.
        """
        self.max_size_bytes = max_size_bytes
        self._max_age_ns = int(max_age_s * 1e9)
        self._clock_ns = clock_ns
        self._disk_free_bytes = disk_free_bytes or (lambda: shutil.disk_usage(path.parent).free)
        self._lock = _exclusive(path)
        try:
            self._database = Database(path, consumers=tuple(consumers), fsync=fsync)
        except BaseException:
            self._lock.close()
            raise
        self._cursors: dict[str, int] = {}
        self._refused: Counter[str] = Counter()
        self._next_warning_s = 0.0
        self._closed = False
        self._appended = asyncio.Event()
        # As of the last answer, so that nothing is both here and among what is pending.
        self._marks = self._database.marks
        self._writer = Writer(
            self._database, fsync_interval_s=None if fsync else fsync_interval_s, on_commit=self._committed
        )

    @property
    def log_id(self) -> str:
        """Identity of this log; offsets of another log mean nothing here."""
        return self._marks.log_id

    @property
    def end(self) -> int:
        """Offset of the newest record that can be read; 0 when there has been none."""
        return self._marks.end

    @property
    def last_offset(self) -> int:
        """Highest offset that was ever given to a record; a consumer that is past it knows another log."""
        return self._marks.last_offset

    @property
    def size_bytes(self) -> int:
        """Size of the data that is kept (bytes)."""
        return self._marks.size_bytes

    @property
    def status(self) -> LogStatus:
        """How it is now."""
        marks = self._marks
        return LogStatus(
            records=marks.records,
            oldest_age_s=max(0, self._clock_ns() - marks.oldest_ns) / 1e9 if marks.records else 0.0,
            lag_records={name: max(0, marks.end - position) for name, position in marks.cursors.items()},
            damaged_records=dict(self._database.damaged),
            refused_appends=dict(self._refused),
        )

    async def append(self, signal: Signal, data: bytes, *, items: int) -> int:
        """Store a request and return its offset once it is durable; raise LogFullError when there is no room."""
        size_bytes = tables.size_bytes(len(data))
        reason = self._lacks_room(self._writer.pending_bytes + size_bytes)
        if reason is not None:
            raise self._refuse(reason)
        received_ns = self._clock_ns()

        def append(connection: sqlite3.Connection, marks: Marks) -> int:
            row = tables.entry(marks.last_offset + 1, signal, items=items, received_ns=received_ns, data=data)
            tables.append(connection, marks, row)
            return row.offset

        answer = await self._writer.submit(append, size_bytes=size_bytes)
        if isinstance(answer, Refusal):
            raise self._refuse(answer.reason)
        offset: int = answer
        return offset

    def _lacks_room(self, size_bytes: int) -> str | None:
        """Return why this much cannot be taken now, or None."""
        if self._closed:
            return "closed"
        if self.size_bytes + size_bytes > self.max_size_bytes:
            return "size"
        if self._writer.pending_bytes > _MAX_PENDING_BYTES:
            return "pending"
        try:
            free_bytes = self._free_bytes()
        except OSError:
            # The folder is gone or its disk fails: whoever sends should retry, not give up.
            return "disk_error"
        return None if free_bytes >= _RESERVE_BYTES + size_bytes else "disk_full"

    def _free_bytes(self) -> int:
        return self._disk_free_bytes() + self._database.reusable_bytes

    def _why(self, reason: str) -> str:
        with suppress(OSError):
            if reason == "disk_full":
                return f"{_WHY[reason]}: {self._free_bytes() / 1024**2:.0f} MiB are free; {_RESERVED}"
        return _WHY[reason]

    def _refuse(self, reason: str) -> LogFullError:
        """Count a refusal, and say so from time to time."""
        self._refused[reason] += 1
        why = self._why(reason)
        if time.monotonic() >= self._next_warning_s:
            self._next_warning_s = time.monotonic() + _WARNING_S
            _LOGGER.warning("the log refuses data: %s; further refusals are only counted for a while", why)
        return LogFullError(_RETRY_AFTER_S, why)

    async def read(self, after: int, *, limit: int = 64, max_bytes: int = 8 * 1024**2) -> tuple[Record, ...]:
        """Return the records that follow an offset, oldest first; at least one when there is any."""
        while after < self._newest:
            repairs = self._database.repairs
            try:
                found = await asyncio.to_thread(self._database.read, after, limit=limit, max_bytes=max_bytes)
            except sqlite3.Error as error:
                recovered = damage.is_damage(error) and await self._writer.mend(repairs)
            else:
                if found.damaged:
                    recovered = await self._writer.remove_damaged(found.damaged, repairs)
                elif not found.records:
                    recovered = await self._writer.look_for(after, repairs)
                if found.records:
                    return found.records
            if not recovered:
                # The disk is full or fails, and the caller comes again at once.
                await asyncio.sleep(_RETRY_AFTER_S)
                break
        return ()

    async def wait(self, after: int, *, timeout_s: float) -> bool:
        """Wait until there is a record after an offset; False when the time passed first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._newest <= after:
                    await self._appended.wait()
        return self._newest > after

    @property
    def _newest(self) -> int:
        return self._marks.newest_offset

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has committed; 0 when it never has."""
        return self._marks.cursors.get(consumer, 0)

    async def commit(self, consumer: str, offset: int) -> None:
        """Record that a consumer is done with everything up to an offset.

        A killed process remembers it; a machine that dies, what was recorded until about a second before.
        """
        if self._closed:
            raise LogFullError(_RETRY_AFTER_S, _WHY["closed"])
        self._cursors[consumer] = offset
        self._committed(self._marks)
        self._database.note(consumer, offset)

    async def trim(self) -> Expired:
        """Delete what every consumer has passed and what is too old."""
        oldest_ns = self._clock_ns() - self._max_age_ns
        lost: Counter[str] = Counter()
        more = True
        while more:
            trimmed: Trimmed = await self._do(
                lambda connection, marks: tables.trim(connection, marks, oldest_ns=oldest_ns)
            )
            lost.update(trimmed.lost)
            more = trimmed.more
        return Expired(items=lost)

    async def close(self) -> None:
        """Finish what is pending and close; appends fail from here on."""
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await asyncio.to_thread(self._database.close)
        self._lock.close()

    async def _do(self, work: Work) -> Any:
        answer = Refusal("closed") if self._closed else await self._writer.submit(work)
        if isinstance(answer, Refusal):
            raise LogFullError(_RETRY_AFTER_S, _WHY[answer.reason])
        return answer

    def _committed(self, marks: Marks) -> None:
        self._marks = marks.with_cursors(self._cursors)
        self._appended.set()
        self._appended = asyncio.Event()


def _exclusive(path: Path) -> sqlite3.Connection:
    """Hold a lock that the operating system releases when the process dies, whatever the platform."""
    folder = f"sidecar.data_dir: {str(path.parent)!r}"
    keep_private(path.with_suffix(".lock"))
    try:
        lock = sqlite3.connect(path.with_suffix(".lock"), check_same_thread=False, isolation_level=None, timeout=0.0)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            message = f"{folder}: another sidecar uses it; stop that one or choose another"
        else:
            message = f"{folder}: cannot be written ({error}); give this user the right to, or choose another folder"
        raise ConfigError(message) from error
    return lock
