"""Take over a log from before records had checksums (until 0.1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from otel_wfperf.log import damage, tables
from otel_wfperf.log.log import Signal
from otel_wfperf.log.marks import Marks
from otel_wfperf.log.tables import Entry


def is_first_version(connection: sqlite3.Connection) -> bool:
    """Tell whether a file has the tables of that time."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchone()
    return found is not None


def take_over(path: Path) -> None:
    """Build the log anew with all records, cursors and the identity of the old one; no connection may be open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as source:
        (log_id,) = source.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
        end = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        first = source.execute("SELECT min(offset) FROM records").fetchone()
        cursors = dict(source.execute("SELECT consumer, position FROM cursors"))
    last_offset = end[0] if end else 0
    trimmed_offset = last_offset if first[0] is None else first[0] - 1
    marks = Marks(log_id=log_id, last_offset=last_offset, trimmed_offset=trimmed_offset, cursors=cursors)
    damage.build_from(path, marks, _entries(path))
    damage.finish(path)


def _entries(path: Path) -> Iterator[Entry]:
    with closing(sqlite3.connect(path, isolation_level=None)) as source:
        for offset, signal, items, received_ns, data in source.execute(
            "SELECT offset, signal, items, received_ns, data FROM records ORDER BY offset"
        ):
            yield tables.entry(offset, Signal(signal), items=items, received_ns=received_ns, data=data)
