"""The SQLite file of the log: one connection to write, one to read, and its repair.

Source: sqlite.org/wal.html. With ``synchronous=FULL`` a commit is on the disk before it returns; with ``NORMAL`` it
survives the death of the process, but the last commits may be lost with the machine.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_wfperf.errors import ConfigError
from otel_wfperf.log import damage, tables
from otel_wfperf.log.first_version import is_first_version, take_over
from otel_wfperf.log.log import Record
from otel_wfperf.log.marks import Marks
from otel_wfperf.log.pages import PAGE_BYTES, wal_is_damaged
from otel_wfperf.log.witness import Witness
from otel_wfperf.private_files import keep_private

_LOGGER = logging.getLogger(__name__)
# Chosen: SQLite's own 4 MB; the pages go to the file while few of them wait.
_CHECKPOINT_PAGES: Final = 4 * 1024**2 // PAGE_BYTES
# Chosen: what the write-ahead log is cut back to after a large commit (bytes).
_WAL_BYTES: Final = 8 * 1024**2

Work = Callable[[sqlite3.Connection, Marks], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What follows an offset.

    Attributes:
        records: The whole ones, oldest first.
        damaged: Offsets of the others.
    """

    records: tuple[Record, ...]
    damaged: tuple[int, ...]


class Database:
    """One open log file. Everything but :meth:`read` and :meth:`note` is called by one thread.

    Attributes:
        marks: The state as of the last commit; replaced, never changed.
        damaged: Records found damaged since the start, by reason (count).
        reusable_bytes: Room within the file, which the operating system does not know of (bytes).
    """

    def __init__(self, path: Path, *, consumers: Sequence[str], fsync: bool) -> None:
        """Open or create; a damaged file is replaced by one of all that is whole in it.

        Raises:
            ConfigError: The folder cannot be used.
        """
        self._path = path
        self._fsync = fsync
        self._reading = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._repairs = 0
        self._noted: dict[str, int] = {}
        self.damaged: Counter[str] = Counter()
        self.reusable_bytes = 0
        keep_private(path)
        try:
            self._witness = Witness(path.with_suffix(".marks"))
            try:
                self._open(consumers)
            except BaseException:
                self.close()
                raise
        except (sqlite3.Error, OSError) as error:
            room = ", or make room there" if isinstance(error, sqlite3.Error) and damage.is_full(error) else ""
            message = f"cannot be opened ({error}); give this user the right to write it{room}, or choose another"
            raise ConfigError(f"sidecar.data_dir: {str(path.parent)!r}: {path.name} {message}") from error

    def _open(self, consumers: Sequence[str]) -> None:
        damage.finish(self._path)
        if wal_is_damaged(self._path):
            self._rebuild(self._witness.read())
        try:
            self._connect()
        except sqlite3.Error as error:
            if not damage.is_damage_at_start(error, self._path):
                raise
            self._rebuild(self._witness.read())
            self._connect()
        self.transact([lambda _, marks: marks.keep_cursors(consumers)])

    def _connect(self) -> None:
        """Open both connections; raise sqlite3.DatabaseError when the file is not in order."""
        self._write = self._connection()
        if is_first_version(self._write):
            self._disconnect()
            take_over(self._path)
            self._write = self._connection()
        self._read = self._connection()
        self._check()
        self._write.executescript(tables.SCHEMA)
        marks, marks_are_damaged = tables.read_marks(self._write)
        unmarked = marks is None and self._write.execute("SELECT 1 FROM entries LIMIT 1").fetchone()
        if marks_are_damaged or unmarked:
            raise sqlite3.DatabaseError("the marks are damaged")
        self.marks = marks or Marks()
        seen = self._witness.read()
        if seen is not None and (marks is None or seen.log_id == marks.log_id):
            self._believe(seen)

    def _believe(self, seen: Marks) -> None:
        """Take what only the witness knows: cursors, which it has first, and commits that are gone without a trace.

        A process that was killed while it forced a commit to the disk leaves a file with newer records and a witness
        with newer cursors.
        """
        cursors = {name: max(offset, self.marks.cursors.get(name, 0)) for name, offset in seen.cursors.items()}
        if seen.knows_more_records_than(self.marks):
            self.marks = seen
            self.transact([tables.recount])
            self._count("missing", seen.records - self.marks.records)
        self.marks = self.marks.with_cursors(cursors)

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30.0)
        self._connections.append(connection)
        # Damage may turn data into text that is none.
        connection.text_factory = bytes
        for setting in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            f"synchronous = {'FULL' if self._fsync else 'NORMAL'}",
            # Overwriting what is deleted would cost as much as writing it did.
            "secure_delete = OFF",
            # A commit that fails leaves nothing of itself in the write-ahead log.
            "cache_spill = OFF",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_BYTES}",
        ):
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _check(self) -> None:
        """Raise sqlite3.DatabaseError when trees and lists of pages are not in order (0.3 s for 1 GiB in memory)."""
        if self._write.execute("PRAGMA quick_check(1)").fetchone() != (b"ok",):
            raise sqlite3.DatabaseError("the check found damage")

    def transact(self, works: Sequence[Work]) -> list[Any]:
        """Do all of this in one commit, or nothing; return the answers.

        Raises:
            sqlite3.Error: Nothing was stored.
        """
        marks = self.marks.with_cursors(self._noted)
        with self._write as connection:
            connection.execute("BEGIN IMMEDIATE")
            answers = [work(connection, marks) for work in works]
            if marks != self.marks or not marks.last_offset:
                tables.write_marks(connection, marks)
        if marks != self.marks:
            self._witness.write(marks.with_cursors(self._noted))
            self.marks = marks
        (free_pages,) = self._write.execute("PRAGMA freelist_count").fetchone()
        self.reusable_bytes = free_pages * PAGE_BYTES
        return answers

    def note(self, consumer: str, offset: int) -> None:
        """Remember how far a consumer is; from any thread.

        It is in the witness at once, where it survives the death of the process, and in the next commit.
        """
        self._noted[consumer] = offset
        self._witness.write(self.marks.with_cursors(self._noted))

    def read(self, after: int, *, limit: int, max_bytes: int) -> Found:
        """Return the records after an offset; from any thread.

        Raises:
            sqlite3.Error: They cannot be read, because the file is damaged or its disk fails.
        """
        with self._reading:
            entries = list(tables.read(self._read, after, limit=limit, max_bytes=max_bytes))
        whole = [entry for entry in entries if entry.is_whole]
        return Found(
            records=tuple(entry.record for entry in whole),
            damaged=tuple(entry.offset for entry in entries if not entry.is_whole),
        )

    @property
    def repairs(self) -> int:
        """How often the file was put in order while it was open (count)."""
        return self._repairs

    def remove_damaged(self, offsets: Sequence[int], repairs: int) -> bool:
        """Take out records that were found damaged; False when the damage goes beyond their data.

        Raises:
            sqlite3.Error: There is no room for it, for example; nothing has changed.
        """
        if repairs == self._repairs:
            try:
                self._check()
            except sqlite3.DatabaseError:
                return False
            (count,) = self.transact([lambda connection, marks: tables.remove(connection, marks, offsets)])
            self._count("checksum", count)
        return True

    def holds_what_follows(self, after: int) -> bool:
        """Tell whether there is a record after an offset, if the marks say so."""
        query = "SELECT 1 FROM entries WHERE offset > ? LIMIT 1"
        return self.marks.newest_offset <= after or self._write.execute(query, (after,)).fetchone() is not None

    def mend(self, repairs: int) -> None:
        """Replace the file by one of all that is whole in it, unless that was done since a number of repairs.

        Raises:
            sqlite3.Error: There is no room for it, for example; the damaged file stays in place.
        """
        if repairs != self._repairs:
            return
        with self._reading:
            self._rebuild(self.marks.with_cursors(self._noted))
            self._connect()
            self._repairs += 1

    def _rebuild(self, marks: Marks | None) -> None:
        lost = damage.build(self._path, marks)
        self._disconnect()
        damage.finish(self._path)
        self._count("unknown" if lost is None else "unreadable", 1 if lost is None else lost)

    def _count(self, reason: str, records: int) -> None:
        if records > 0:
            self.damaged[reason] += records
            _LOGGER.error("%s: %d damaged records are left out (%s)", self._path, records, reason)

    def sync(self) -> None:
        """Force what has been committed to the disk."""
        # Opening it does not disturb SQLite's locks, which are on the other two files.
        with self._path.with_name(f"{self._path.name}-wal").open("r+b") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close; a read that is under way ends first."""
        with self._reading:
            if self._connections and self._noted:
                with suppress(sqlite3.Error):
                    self.transact([])
            self._disconnect()
            self._witness.close()

    def _disconnect(self) -> None:
        while self._connections:
            # A damaged file may fail even here; what it holds is in the file and its write-ahead log.
            with suppress(sqlite3.Error):
                self._connections.pop().close()
