"""How a SQLite file of the store is opened, also on a disk without room."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DatabaseError

from otel_wfperf.errors import ConfigError
from otel_wfperf.private_files import keep_private

# Source: sqlite.org/rescode.html; what the file itself cannot be to blame for.
_DISK_CODES: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


def protect(url: URL) -> None:
    """Keep the file, if it is one, from other users."""
    path = url.database
    if path and path != ":memory:" and not path.startswith("file:"):
        keep_private(Path(path))


def configure(fsync: bool, connection: Any, _record: object) -> None:  # noqa: FBT001 - bound by partial
    """Set up a new connection; what needs a write is only asked of an empty file."""
    # The driver's own transactions leave CREATE TABLE out, and a migration that is cut short could not be repeated.
    connection.isolation_level = None
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Only an empty file takes it: before anything else is written.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 30000")


def begin(connection: Connection) -> None:
    """Begin a transaction, which the driver does not."""
    connection.exec_driver_sql("BEGIN")


def disk_problem(url: URL, error: DatabaseError) -> ConfigError | None:
    """Return what to tell the user when the disk is the reason that a file cannot be opened; None when it is not."""
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code not in _DISK_CODES or not url.database:
        return None
    path = Path(url.database)
    return ConfigError(
        f"sidecar.data_dir: {str(path.parent)!r}: {path.name} cannot be opened ({error.orig}); give this user "
        "the right to write it, make room on its disk, or choose another"
    )
