"""Files of one database for its owner only: they may hold what users typed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_SUFFIXES: Final = ("", "-wal", "-shm")


def keep_private(database: Path) -> None:
    """Create a database file with mode 0600, and take from others what is there already.

    SQLite gives the write-ahead log and the index of it the mode of the database. What cannot be created or belongs to
    another user is left to whoever opens it next, which says why.
    """
    with suppress(OSError):
        # Never opened when it exists: to close it would drop the locks that this process has on it.
        os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for suffix in _SUFFIXES:
        with suppress(OSError):
            path = database.with_name(f"{database.name}{suffix}")
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
