"""Delete old results a little at a time, and give their room back to the disk, without stopping anybody.

Source: sqlite.org/pragma.html#pragma_auto_vacuum. With ``auto_vacuum = INCREMENTAL`` freed pages go back to the
operating system in steps; a full VACUUM would hold up writers for as long as it copies the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select

from otel_wfperf.store.tables import EXECUTIONS, SKETCHES

# Chosen: takes some tens of milliseconds, so that what is analysed meanwhile hardly waits.
_BATCH_EXECUTIONS: Final = 500
# Chosen: 8 MiB of the usual pages of 4 KiB, given back in a few milliseconds.
_BATCH_PAGES: Final = 2_000
_INCREMENTAL: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may stay in the store.

    Attributes:
        oldest_unix_ns: What was stored earlier goes (nanoseconds since the Unix epoch).
        max_executions: The oldest past so many go (count).
        max_size_bytes: Past it the oldest go (bytes); counts only where the database is a file of ours. None: no limit.
    """

    oldest_unix_ns: int
    max_executions: int
    max_size_bytes: int | None = None


def prune(connection: Connection, limits: Limits) -> int:
    """Delete one batch of the oldest that must go; return how many executions that were, 0 when none is left."""
    kept = connection.execute(select(func.count()).select_from(EXECUTIONS)).scalar_one()
    excess = max(0, kept - limits.max_executions)
    if limits.max_size_bytes is not None and kept:
        size = used_bytes(connection)
        excess = max(excess, ceil(kept * max(0, size - limits.max_size_bytes) / size) if size else 0)
    oldest = select(EXECUTIONS.c.trace_id).order_by(EXECUTIONS.c.stored_unix_ns)
    going = select(oldest.limit(min(excess, _BATCH_EXECUTIONS)).subquery().c.trace_id)
    too_old = select(
        oldest.where(EXECUTIONS.c.stored_unix_ns < limits.oldest_unix_ns).limit(_BATCH_EXECUTIONS).subquery().c.trace_id
    )
    deleted = connection.execute(
        delete(EXECUTIONS).where(EXECUTIONS.c.trace_id.in_(going) | EXECUTIONS.c.trace_id.in_(too_old))
    ).rowcount
    connection.execute(delete(SKETCHES).where(SKETCHES.c.stored_unix_ns < limits.oldest_unix_ns))
    return deleted


def used_bytes(connection: Connection) -> int:
    """Return how much of the file holds data (bytes); 0 for a database that is no file of ours."""
    if connection.dialect.name != "sqlite":
        return 0
    pages, free, size = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def give_back(engine: Engine) -> None:
    """Return some of the freed pages to the operating system."""
    if engine.dialect.name != "sqlite":
        return
    # A full or busy disk: the next batch tries again.
    with suppress(sqlite3.OperationalError), closing(engine.raw_connection()) as connection:
        # Each step of this statement frees one page, and only a script is stepped to its end.
        script: Any = connection.cursor()
        script.executescript(f"PRAGMA incremental_vacuum({_BATCH_PAGES})")


def make_reclaimable(engine: Engine) -> None:
    """Let an older file give its freed pages back, too; copies the file once, at the start."""
    if engine.dialect.name != "sqlite":
        return
    # A copy needs as much room again; without it the file stays as it is, and the next start tries again.
    with suppress(sqlite3.OperationalError), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA auto_vacuum")
        if cursor.fetchone() != (_INCREMENTAL,):
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
            cursor.execute("VACUUM")


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
