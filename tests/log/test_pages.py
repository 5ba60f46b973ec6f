import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from otel_wfperf.log.pages import PAGE_BYTES, Row, rows, wal_is_damaged
from tests.log.damaging import flip

VALUES = (0, 1, -1, 127, -128, 2**15, -(2**23), 2**31, 2**40, 2**62, -(2**63), None)


def database(path: Path, *, seed: int, checkpoint: bool = True) -> sqlite3.Connection:
    """Fill a table with rows of all kinds; some are deleted again."""
    chosen = random.Random(seed)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE some (id INTEGER PRIMARY KEY, number INTEGER, data BLOB)")
    for number in range(200):
        size = chosen.choice(
            (
                0,
                10,
                PAGE_BYTES - 50,
                PAGE_BYTES - 30,
                PAGE_BYTES,
                3 * PAGE_BYTES,
                50_000,
            )
        )
        connection.execute(
            "INSERT INTO some VALUES (?, ?, ?)",
            (number + 1, chosen.choice(VALUES), chosen.randbytes(size)),
        )
        if number == 100:
            connection.execute("DELETE FROM some WHERE id < 50")
            if checkpoint:
                connection.execute("PRAGMA wal_checkpoint")
    return connection


@pytest.mark.parametrize("seed", range(3))
def test_finds_in_the_pages_what_the_table_holds(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "some.sqlite"
    with closing(database(path, seed=seed)) as connection:
        found = set(rows(path))
        expected = {Row(row[0], (None, *row[1:])) for row in connection.execute("SELECT * FROM some")}

        # What was deleted may still be found.
        assert expected <= found
        assert not wal_is_damaged(path)


def test_tells_a_damaged_write_ahead_log_from_one_that_just_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "some.sqlite"
    wal = path.with_name("some.sqlite-wal")
    with closing(database(path, seed=4, checkpoint=False)):
        copy = tmp_path / "copy.sqlite"
        for number in range(20):
            content = bytearray(wal.read_bytes())
            place = random.Random(number).randrange(32, len(content))
            copy.with_name("copy.sqlite-wal").write_bytes(content[:place])
            assert not wal_is_damaged(copy)

            copy.with_name("copy.sqlite-wal").write_bytes(content)
            flip(copy.with_name("copy.sqlite-wal"), 8 * place)
            assert wal_is_damaged(copy)


def test_a_write_ahead_log_that_is_just_begun_anew_is_not_damaged(tmp_path: Path) -> None:
    """SQLite writes the header first: a process killed then leaves one that none of the frames belongs to."""
    path = tmp_path / "some.sqlite"
    wal = path.with_name("some.sqlite-wal")
    with closing(database(path, seed=5)) as connection:
        connection.execute("PRAGMA wal_checkpoint")
        before = wal.read_bytes()
        connection.execute("INSERT INTO some VALUES (1000, 0, x'')")
        begun_anew = wal.read_bytes()[:32] + before[32:]
        assert begun_anew != before

        shutil.copy(path, tmp_path / "copy.sqlite")
        wal.with_name("copy.sqlite-wal").write_bytes(begun_anew)
        assert not wal_is_damaged(tmp_path / "copy.sqlite")


def test_has_nothing_to_say_of_files_that_are_not_there(tmp_path: Path) -> None:
    assert list(rows(tmp_path / "none.sqlite")) == []
    assert not wal_is_damaged(tmp_path / "none.sqlite")
