"""A log in one SQLite file: write-ahead logging, one writer thread, one commit for all appends that wait.

Source: sqlite.org/wal.html. With ``synchronous=FULL`` a commit is on the disk before it returns; with ``NORMAL`` it
survives the death of the process, but the last commits may be lost with the machine.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from otel_wfperf.errors import ConfigError, LogFullError
from otel_wfperf.log.damage import put_aside, salvage
from otel_wfperf.log.log import Expired, Record, Signal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, items INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cursors (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
"""
# Chosen: one commit of this much takes some 50 ms, and senders wait for it.
_MAX_COMMIT_BYTES = 16 * 1024**2
# Chosen: what may wait in memory for the writer; more means that the disk does not keep up.
_MAX_PENDING_BYTES = 128 * 1024**2
# Chosen: long enough for a consumer to free some room, short against the 5 s of an exporter's first retry.
_RETRY_AFTER_S = 1.0
_ROW_OVERHEAD_BYTES = 64
# Chosen: room on the disk for the write-ahead log, without which not even the log's own data could be deleted: four
# times the largest commit.
_RESERVE_BYTES = 64 * 1024**2
# Chosen: deletes this many records in a few milliseconds, so that appends need not wait.
_TRIM_RECORDS = 2_000

Work = Callable[[sqlite3.Connection], Any]


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
        clock_ns: Callable[[], int] = time.time_ns,
        disk_free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Open or create the file; blocks shortly, so call it before serving.

        Args:
            path: The database file; its folder must exist.
            consumers: Who must pass a record before it goes; cursors of others are forgotten.
            max_size_bytes: Data kept before appends are refused (bytes).
            max_age_s: Age at which data goes whether or not it was consumed (seconds).
            fsync: Force commits to the disk.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
            disk_free_bytes: Room on the disk (bytes); asked of the operating system by default.
        """
        self.max_size_bytes = max_size_bytes
        self._max_age_ns = int(max_age_s * 1e9)
        self._clock_ns = clock_ns
        self._disk_free_bytes = disk_free_bytes or (lambda: shutil.disk_usage(path.parent).free)
        self._lock = _exclusive(path)
        self._fsync = fsync
        self._connections: list[sqlite3.Connection] = []
        self.log_id, self.end, self.size_bytes = self._open(path, tuple(consumers))
        self._reading = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Work, asyncio.Future[Any], int] | None] = SimpleQueue()
        self._pending_bytes = 0
        self._closed = False
        self._appended = asyncio.Event()
        # Room within the file, which the operating system does not know of.
        self._reusable_bytes = _reusable_bytes(self._write)
        self._writer = threading.Thread(target=self._run_writer, name="wfperf-log-writer", daemon=True)
        self._writer.start()

    def _open(self, path: Path, consumers: tuple[str, ...]) -> tuple[str, int, int]:
        """Open the file; a damaged one is put aside and what can be read of it goes into a new one."""
        try:
            return self._prepare(path, consumers)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            aside = put_aside(path)
            self._prepare(path, consumers)
            salvage(aside, self._write)
            return self._prepare(path, consumers)

    def _prepare(self, path: Path, consumers: tuple[str, ...]) -> tuple[str, int, int]:
        for connection in self._connections:
            connection.close()
        self._connections = [_connect(path, fsync=self._fsync) for _ in range(2)]
        self._write, self._read = self._connections
        # A consumer could never read past a damaged record: better to know now (0.3 s for 1 GiB in the page cache).
        if self._write.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the check found damage")
        with self._write as connection:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?)", (uuid.uuid4().hex,))
            for consumer in consumers:
                connection.execute("INSERT OR IGNORE INTO cursors VALUES (?, 0)", (consumer,))
            known = ", ".join("?" * len(consumers))
            connection.execute(f"DELETE FROM cursors WHERE consumer NOT IN ({known})", consumers)  # noqa: S608 - "?" only
        (log_id,) = self._write.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
        end = self._write.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        (size,) = self._write.execute("SELECT coalesce(sum(size), 0) FROM records").fetchone()
        return str(log_id), int(end[0]) if end else 0, int(size)

    async def append(self, signal: Signal, data: bytes, *, items: int) -> int:
        """Store a request and return its offset once it is durable; raise LogFullError when there is no room."""
        size = len(data) + _ROW_OVERHEAD_BYTES
        if not self._has_room(self._pending_bytes + size):
            raise LogFullError(_RETRY_AFTER_S)
        row = (signal.value, items, self._clock_ns(), size, data)

        def insert(connection: sqlite3.Connection) -> int:
            statement = "INSERT INTO records (signal, items, received_ns, size, data) VALUES (?, ?, ?, ?, ?)"
            return int(connection.execute(statement, row).lastrowid or 0)

        offset: int = await self._submit(insert, size)
        return offset

    def _has_room(self, size_bytes: int) -> bool:
        within_limit = self.size_bytes + size_bytes <= self.max_size_bytes
        if not within_limit or self._pending_bytes > _MAX_PENDING_BYTES:
            return False
        try:
            return self._disk_free_bytes() + self._reusable_bytes >= _RESERVE_BYTES + size_bytes
        except OSError:
            # The folder is gone or its disk fails: whoever sends should retry, not give up.
            return False

    async def read(self, after: int, *, limit: int = 64, max_bytes: int = 8 * 1024**2) -> tuple[Record, ...]:
        """Return the records that follow an offset, oldest first; at least one when there is any."""
        if after >= self.end:
            return ()
        return await asyncio.to_thread(self._select, after, limit, max_bytes)

    def _select(self, after: int, limit: int, max_bytes: int) -> tuple[Record, ...]:
        statement = (
            "SELECT offset, signal, items, received_ns, data FROM records WHERE offset > ? ORDER BY offset LIMIT ?"
        )
        found: list[Record] = []
        room = max_bytes
        with self._reading, closing(self._read.execute(statement, (after, limit))) as rows:
            for offset, signal, items, received_ns, data in rows:
                room -= len(data)
                if found and room < 0:
                    break
                record = Record(offset=offset, signal=Signal(signal), data=data, items=items, received_ns=received_ns)
                found.append(record)
        return tuple(found)

    async def wait(self, after: int, *, timeout_s: float) -> bool:
        """Wait until there is a record after an offset; False when the time passed first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.end <= after:
                    await self._appended.wait()
        return self.end > after

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has committed; 0 when it never has."""

        def select(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT position FROM cursors WHERE consumer = ?", (consumer,)).fetchone()
            return int(row[0]) if row else 0

        position: int = await self._submit(select)
        return position

    async def commit(self, consumer: str, offset: int) -> None:
        """Record that a consumer is done with everything up to an offset."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (consumer, offset))

        await self._submit(update)

    async def trim(self) -> Expired:
        """Delete what every consumer has passed and what is too old."""
        oldest_ns = self._clock_ns() - self._max_age_ns
        lost: Counter[str] = Counter()
        more = True
        while more:
            trimmed: _Trimmed = await self._submit(lambda connection: _trim(connection, oldest_ns))
            self.size_bytes -= trimmed.freed_bytes
            self._reusable_bytes = trimmed.reusable_bytes
            lost.update(trimmed.lost)
            more = trimmed.more
        return Expired(items=lost)

    async def close(self) -> None:
        """Finish what is pending and close; appends fail from here on."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        for connection in (*self._connections, self._lock):
            connection.close()

    async def _submit(self, work: Work, size_bytes: int = 0) -> Any:
        if self._closed:
            raise LogFullError(_RETRY_AFTER_S)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending_bytes += size_bytes
        self._queue.put((work, future, size_bytes))
        return await future

    def _run_writer(self) -> None:
        """Take all that waits, write it in one transaction, then answer all of it."""
        open_ = True
        while open_:
            batch: list[tuple[Work, asyncio.Future[Any], int]] = []
            size = 0
            while open_ and (not batch or (not self._queue.empty() and size < _MAX_COMMIT_BYTES)):
                entry = self._queue.get()
                if entry is None:
                    open_ = False
                else:
                    batch.append(entry)
                    size += entry[2]
            if batch:
                answers = self._transact([work for work, _, _ in batch])
                sizes = [size for _, _, size in batch]
                futures = [future for _, future, _ in batch]
                # The loop may be gone when a process ends without closing the log.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._answer, futures, answers, sizes)

    def _transact(self, works: list[Work]) -> list[Any]:
        try:
            with self._write as connection:
                connection.execute("BEGIN IMMEDIATE")
                return [work(connection) for work in works]
        except Exception:  # noqa: BLE001 - without its writer the log would hang for ever
            # A full disk, mostly. All are told to retry; none has been stored.
            return [LogFullError(_RETRY_AFTER_S)] * len(works)

    def _answer(self, futures: list[asyncio.Future[Any]], answers: list[Any], sizes: list[int]) -> None:
        """Account for a commit on the loop's thread, then wake those who wait for it."""
        for future, answer, size in zip(futures, answers, sizes, strict=True):
            self._pending_bytes -= size
            if isinstance(answer, LogFullError):
                if not future.done():
                    future.set_exception(LogFullError(answer.retry_after_s))
                continue
            if size:
                self.size_bytes += size
                self._reusable_bytes = max(0, self._reusable_bytes - size)
                self.end = max(self.end, answer)
            if not future.done():
                future.set_result(answer)
        if any(sizes):
            self._appended.set()
            self._appended = asyncio.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trimmed:
    """What one step of a trim did; ``lost`` counts items by consumer."""

    freed_bytes: int
    reusable_bytes: int
    lost: dict[str, int]
    more: bool


def _trim(connection: sqlite3.Connection, oldest_ns: int) -> _Trimmed:
    """Delete some of the records that are done with or too old."""
    cursors = dict(connection.execute("SELECT consumer, position FROM cursors").fetchall())
    upto = max(_expired(connection, oldest_ns), min(cursors.values(), default=0))
    chunk = connection.execute(
        "SELECT offset FROM records WHERE offset <= ? ORDER BY offset LIMIT 1 OFFSET ?", (upto, _TRIM_RECORDS)
    ).fetchone()
    upto = chunk[0] if chunk else upto
    lost: dict[str, int] = {}
    for consumer, position in cursors.items():
        (items,) = connection.execute(
            "SELECT coalesce(sum(items), 0) FROM records WHERE offset > ? AND offset <= ?", (position, upto)
        ).fetchone()
        if items:
            lost[consumer] = items
    (freed,) = connection.execute("SELECT coalesce(sum(size), 0) FROM records WHERE offset <= ?", (upto,)).fetchone()
    connection.execute("DELETE FROM records WHERE offset <= ?", (upto,))
    reusable = _reusable_bytes(connection)
    return _Trimmed(freed_bytes=freed, reusable_bytes=reusable, lost=lost, more=chunk is not None)


def _reusable_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * page_bytes)


def _expired(connection: sqlite3.Connection, oldest_ns: int) -> int:
    """Return the last offset that is too old; looks at all records only when the first one is."""
    first = connection.execute("SELECT received_ns FROM records ORDER BY offset LIMIT 1").fetchone()
    if first is None or first[0] >= oldest_ns:
        return 0
    (offset,) = connection.execute("SELECT max(offset) FROM records WHERE received_ns < ?", (oldest_ns,)).fetchone()
    return int(offset)


def _connect(path: Path, *, fsync: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        connection.close()
        raise
    connection.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
    # Overwriting what is deleted would cost as much as writing it did.
    connection.execute("PRAGMA secure_delete = OFF")
    # Chosen: without it the -wal file stays as large as it once was.
    connection.execute(f"PRAGMA journal_size_limit = {64 * 1024**2}")
    return connection


def _exclusive(path: Path) -> sqlite3.Connection:
    """Hold a lock that the operating system releases when the process dies, whatever the platform."""
    folder = f"sidecar.data_dir: {str(path.parent)!r}"
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
