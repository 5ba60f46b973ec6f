"""Tables of the log in its SQLite file, and what is done with their rows."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from otel_wfperf.log.log import Record, Signal
from otel_wfperf.log.marks import Marks
from otel_wfperf.log.pages import PAGE_BYTES, local_bytes

# The data stand last, so that nothing else makes SQLite walk through them. The marks are kept twice, in pages of their
# own: one flipped bit must not cost the identity of the log and all cursors.
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    offset INTEGER PRIMARY KEY, signal INTEGER NOT NULL, items INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    checksum INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks_again (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL);
"""
# By their place; a new one goes to the end.
_SIGNALS: Final = (Signal.TRACES, Signal.METRICS, Signal.LOGS)
_NUMBERS: Final = {signal: number for number, signal in enumerate(_SIGNALS)}
# Header of a row: its lengths and types, offset, four integers.
_ROW_OVERHEAD_BYTES: Final = 40
# Chosen: deletes this much in some 10 ms (2 GHz, page cache), so that appends hardly wait.
_TRIM_RECORDS: Final = 2_000
_TRIM_BYTES: Final = 4 * 1024**2


class Entry(NamedTuple):
    """One row: a record as it is stored. The types are those of a whole one."""

    offset: int
    signal: int
    items: int
    received_ns: int
    checksum: int
    data: bytes

    @property
    def is_whole(self) -> bool:
        """Whether it is what was once appended."""
        try:
            return self.checksum == _checksum(*self[:4], self.data)
        # Damage may turn any value into one of another type.
        except (struct.error, TypeError):
            return False

    @property
    def record(self) -> Record:
        """What consumers get."""
        return Record(
            offset=self.offset,
            signal=_SIGNALS[self.signal],
            data=self.data,
            items=self.items,
            received_ns=self.received_ns,
        )


def entry(offset: int, signal: Signal, *, items: int, received_ns: int, data: bytes) -> Entry:
    """Make a row with its checksum."""
    number = _NUMBERS[signal]
    return Entry(offset, number, items, received_ns, _checksum(offset, number, items, received_ns, data), data)


def _checksum(offset: int, signal: int, items: int, received_ns: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(struct.pack("<qqqq", offset, signal, items, received_ns)))


def size_bytes(data_bytes: int) -> int:
    """Return what a record takes in the file, unused space of its pages included (bytes)."""
    payload = data_bytes + _ROW_OVERHEAD_BYTES
    local = local_bytes(payload)
    rows_a_page = (PAGE_BYTES - 8) // (local + 16)
    overflow_pages = -(-(payload - local) // (PAGE_BYTES - 4))
    return PAGE_BYTES // max(1, rows_a_page) + overflow_pages * PAGE_BYTES


def append(connection: sqlite3.Connection, marks: Marks, row: Entry) -> None:
    """Add a row with the next offset."""
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
    if not marks.records:
        marks.oldest_ns = row.received_ns
    marks.last_offset = marks.newest_offset = row.offset
    marks.records += 1
    marks.size_bytes += size_bytes(len(row.data))


def read(connection: sqlite3.Connection, after: int, *, limit: int, max_bytes: int) -> Iterator[Entry]:
    """Yield the rows after an offset; at least one when there is any."""
    room = max_bytes
    for number, row in enumerate(
        connection.execute("SELECT * FROM entries WHERE offset > ? ORDER BY offset LIMIT ?", (after, limit))
    ):
        found = Entry(*row)
        room -= len(found.data or b"")
        if number and room < 0:
            return
        yield found


@dataclass(slots=True)
class Trimmed:
    """What one step of a trim did; ``lost`` counts items by consumer that had not passed them."""

    lost: Counter[str] = field(default_factory=Counter)
    more: bool = False


def trim(connection: sqlite3.Connection, marks: Marks, *, oldest_ns: int) -> Trimmed:
    """Delete some of the rows that every consumer has passed or that are too old."""
    passed = min(marks.cursors.values(), default=0)
    columns = "offset, cast(received_ns AS INTEGER), cast(items AS INTEGER), length(data)"
    rows = connection.execute(f"SELECT {columns} FROM entries ORDER BY offset LIMIT ?", (_TRIM_RECORDS,))  # noqa: S608
    trimmed = Trimmed()
    count, freed_bytes, upto = 0, 0, marks.trimmed_offset
    for offset, received_ns, items, length in rows.fetchall():
        if offset > passed and (received_ns or 0) >= oldest_ns:
            break
        if freed_bytes >= _TRIM_BYTES:
            trimmed.more = True
            break
        upto = offset
        count += 1
        freed_bytes += size_bytes(length or 0)
        trimmed.lost.update({name: items or 0 for name, position in marks.cursors.items() if position < offset})
    trimmed.more = trimmed.more or count == _TRIM_RECORDS
    if count:
        connection.execute("DELETE FROM entries WHERE offset <= ?", (upto,))
        marks.trimmed_offset = upto
        _removed(connection, marks, count, freed_bytes)
    return trimmed


def remove(connection: sqlite3.Connection, marks: Marks, offsets: Iterable[int]) -> int:
    """Delete the rows with these offsets and return how many there were."""
    count, freed_bytes = 0, 0
    for offset in offsets:
        row = connection.execute("SELECT length(data) FROM entries WHERE offset = ?", (offset,)).fetchone()
        if row is not None:
            connection.execute("DELETE FROM entries WHERE offset = ?", (offset,))
            count += 1
            freed_bytes += size_bytes(row[0] or 0)
    _removed(connection, marks, count, freed_bytes)
    return count


def _removed(connection: sqlite3.Connection, marks: Marks, count: int, freed_bytes: int) -> None:
    marks.records = max(0, marks.records - count)
    marks.size_bytes = max(0, marks.size_bytes - freed_bytes) if marks.records else 0
    first = connection.execute("SELECT cast(received_ns AS INTEGER) FROM entries ORDER BY offset LIMIT 1").fetchone()
    marks.oldest_ns = (first[0] or 0) if first else 0
    (newest,) = connection.execute("SELECT max(offset) FROM entries").fetchone()
    marks.newest_offset = newest or 0


def recount(connection: sqlite3.Connection, marks: Marks) -> None:
    """Set the marks by what is in the table, and delete there what they say is trimmed."""
    connection.execute("DELETE FROM entries WHERE offset <= ?", (marks.trimmed_offset,))
    marks.records = marks.size_bytes = 0
    for offset, length in connection.execute("SELECT offset, length(data) FROM entries"):
        marks.records += 1
        marks.size_bytes += size_bytes(length or 0)
        marks.last_offset = max(marks.last_offset, offset)
    _removed(connection, marks, 0, 0)


def write_marks(connection: sqlite3.Connection, marks: Marks) -> None:
    """Store the marks, twice."""
    row = marks.encode()
    connection.execute("INSERT OR REPLACE INTO marks VALUES (1, ?, ?)", row)
    connection.execute("INSERT OR REPLACE INTO marks_again VALUES (1, ?, ?)", row)


def read_marks(connection: sqlite3.Connection) -> tuple[Marks | None, bool]:
    """Return the marks, None when there are none, and whether some of them are damaged."""
    rows = [*connection.execute("SELECT * FROM marks"), *connection.execute("SELECT * FROM marks_again")]
    sound = newest_marks(rows)
    if sound is None:
        return None, bool(rows)
    return sound, sum(Marks.decode(*row[1:]) == sound for row in rows) < 2


def newest_marks(rows: Iterable[Sequence[Any]]) -> Marks | None:
    """Return the newest of the whole ones."""
    newest: Marks | None = None
    for row in rows:
        marks = Marks.decode(*row[1:])
        if marks is not None and (newest is None or marks.is_newer_than(newest)):
            newest = marks
    return newest
