import sqlite3
from contextlib import closing
from pathlib import Path

from otel_wfperf.log import Signal
from tests.log.opening import opened

FIRST_VERSION = """
PRAGMA journal_mode = WAL;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, items INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE cursors (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('log_id', 'identity');
INSERT INTO cursors VALUES ('reader', 1), ('gone', 0);
INSERT INTO records VALUES
    (1, 'traces', 1, 11, 67, x'6f6e65'), (2, 'metrics', 2, 12, 67, x'74776f'), (3, 'logs', 3, 13, 69, x'7468726565');
DELETE FROM records WHERE offset = 1;
"""


async def test_a_log_from_before_checksums_is_taken_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection:
        connection.executescript(FIRST_VERSION)

    async with opened(tmp_path) as log:
        records = await log.read(0)

        assert [(each.offset, each.signal, each.items, each.received_ns, each.data) for each in records] == [
            (2, Signal.METRICS, 2, 12, b"two"),
            (3, Signal.LOGS, 3, 13, b"three"),
        ]
        assert (log.log_id, log.end, await log.cursor("reader")) == ("identity", 3, 1)
        assert log.status.damaged_records == {}
        assert await log.append(Signal.TRACES, b"four", items=4) == 4
