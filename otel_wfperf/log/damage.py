"""What to do with a database file that is damaged: put it aside, and build a new one of all that is whole."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from otel_wfperf.log import tables
from otel_wfperf.log.marks import Marks
from otel_wfperf.log.pages import PAGE_BYTES, rows
from otel_wfperf.log.tables import Entry
from otel_wfperf.private_files import keep_private

_LOGGER = logging.getLogger(__name__)
# Source: sqlite.org/rescode.html. A unique offset that is taken is one that damage made.
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT})
# What the file itself cannot be to blame for.
_SURROUNDINGS_CODES = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    }
)

_MARKS_COLUMNS = 3


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error of a file that was in order once says that it no longer is."""
    return _code(error) in _DAMAGE_CODES


def is_damage_at_start(error: sqlite3.Error, path: Path) -> bool:
    """Tell the same for a file that has just been opened: it may say anything of its tables and its version."""
    if _code(error) == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return _code(error) not in _SURROUNDINGS_CODES


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether an error says that there is no room."""
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    # Extended codes keep the primary one in their lowest byte; errors of the Python module itself have none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def put_aside(path: Path) -> Path:
    """Rename a damaged database, so that it does not keep the sidecar from starting, and return its new path."""
    aside = path.with_name(f"{path.name}.damaged")
    _LOGGER.error("%s: is damaged; it is now %s and a new one takes its place", path, aside)
    # The database last: while it is there, another try finds what is left to do.
    for suffix in ("-wal", "-shm", ""):
        source, target = path.with_name(path.name + suffix), aside.with_name(aside.name + suffix)
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    return aside


def build(path: Path, marks: Marks | None = None) -> int | None:
    """Build a new log of all whole records of a damaged one; :func:`finish` puts it in its place.

    Offsets, identity and cursors stay, unless the marks are damaged; then consumers get everything that is kept.

    Args:
        path: The damaged file.
        marks: What is known of it from elsewhere.

    Returns:
        How many records were lost; None when the marks, which know how many there were, are lost too.
    """
    known = tables.newest_marks(
        [(row.rowid, *row.values[1:]) for row in rows(path) if len(row.values) == _MARKS_COLUMNS]
    )
    if known is None or (marks is not None and marks.is_newer_than(known)):
        known = marks
    upto = known.trimmed_offset if known else 0
    kept = build_from(path, known or Marks(), _whole_entries(path, upto))
    lost = max(0, known.records - kept) if known else None
    _LOGGER.error("%s: %d records are kept, %s are lost", path, kept, "an unknown number" if lost is None else lost)
    return lost


def build_from(path: Path, marks: Marks, entries: Iterable[Entry]) -> int:
    """Build a log of these records and return how many there are.

    The old file stays until the new one is whole on the disk: whatever ends this, another start goes on from there.
    """
    building = path.with_name(f"{path.name}.building")
    building.unlink(missing_ok=True)
    marks = marks.with_cursors({})
    keep_private(building)
    with closing(sqlite3.connect(building, isolation_level=None)) as connection:
        for setting in (f"page_size = {PAGE_BYTES}", "journal_mode = OFF", "synchronous = OFF"):
            connection.execute(f"PRAGMA {setting}")
        connection.executescript(tables.SCHEMA)
        connection.execute("BEGIN")
        connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?)", entries)
        tables.recount(connection, marks)
        tables.write_marks(connection, marks)
        connection.execute("COMMIT")
    with building.open("r+b") as file:
        os.fsync(file.fileno())
    building.replace(_built(path))
    return marks.records


def finish(path: Path) -> None:
    """Put a file that was built whole in its place, if there is one."""
    if _built(path).exists():
        put_aside(path)
        _built(path).replace(path)


def _built(path: Path) -> Path:
    return path.with_name(f"{path.name}.built")


def _whole_entries(path: Path, after: int) -> Iterator[Entry]:
    for row in rows(path):
        if len(row.values) != len(Entry._fields) or row.rowid <= after:
            continue
        # A table does not repeat its rowid in the columns.
        entry = Entry(row.rowid, *row.values[1:])  # type: ignore[arg-type]  # is_whole looks at the types
        if entry.is_whole:
            yield entry
