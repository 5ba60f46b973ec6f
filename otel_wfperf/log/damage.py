"""What to do with a database file that is damaged: put it aside, and save what can be read."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

_LOGGER = logging.getLogger(__name__)
_COLUMNS = "offset, signal, items, received_ns, size, data"


def put_aside(path: Path) -> Path:
    """Rename a damaged database, so that it does not keep the sidecar from starting, and return its new path."""
    aside = path.with_name(f"{path.name}.damaged")
    _LOGGER.error("%s: is damaged; it is now %s and a new one takes its place", path, aside)
    for suffix in ("", "-wal", "-shm"):
        source, target = path.with_name(path.name + suffix), aside.with_name(aside.name + suffix)
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    return aside


def salvage(damaged: Path, log: sqlite3.Connection) -> int:
    """Copy the records that can be read into an empty log, in their order; return how many.

    Read from both ends up to the damage. They get new offsets, so consumers get all of them, some again.
    """
    with closing(sqlite3.connect(damaged, isolation_level=None)) as source:
        records = {row[0]: row for row in _readable(source, "ASC")}
        for row in _readable(source, "DESC"):
            if row[0] in records:
                break
            records[row[0]] = row
    rows = [records[offset][1:] for offset in sorted(records)]
    with log:
        log.execute("BEGIN IMMEDIATE")
        log.executemany(
            "INSERT INTO records (signal, items, received_ns, size, data) VALUES (?, ?, ?, ?, ?)",
            rows,
        )
    _LOGGER.error("%s: %d records could be read and are kept", damaged, len(rows))
    return len(rows)


def _readable(source: sqlite3.Connection, order: str) -> Iterator[tuple[Any, ...]]:
    try:
        yield from source.execute(f"SELECT {_COLUMNS} FROM records ORDER BY offset {order}")  # noqa: S608 - ASC, DESC
    except sqlite3.DatabaseError:
        return
