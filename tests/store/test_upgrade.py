"""Files that earlier versions wrote are brought to the newest schema with all that is in them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from otel_wfperf.store import Position, Store
from otel_wfperf.store import migrations as package

STORED = Path(__file__).parent.parent / "fixtures" / "store"
VERSIONS = sorted(path.name[1:5] for path in (Path(package.__file__).parent / "versions").glob("v*.py"))


@contextmanager
def upgraded(version: str, folder: Path) -> Iterator[Store]:
    """Open a file as a version left it."""
    path = folder / "store.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.executescript((STORED / f"{version}.sql").read_text(encoding="utf-8"))
    store = Store.open(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_keeps_everything_that_a_file_of_each_version_holds(version: str, tmp_path: Path) -> None:
    one, two = f"{1:032x}", f"{2:032x}"
    execution = {"trace_id": one, "trace_ids": [one, two], "workflow": "research", "status": "ok"}

    with upgraded(version, tmp_path) as store:
        assert store.executions() == [execution]
        assert store.execution(two) == execution
        assert [finding["fingerprint"] for finding in store.findings(trace_id=one)] == ["abc"]
        assert [agent["name"] for agent in store.agents(workflow="research")] == ["writer"]
        assert store.sketch("research", kind="workflow", name="research").count == 1
        assert store.position("analyzer") == Position(log_id="log-1", offset=7)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgraded_file_gives_its_room_back(version: str, tmp_path: Path) -> None:
    with upgraded(version, tmp_path), closing(sqlite3.connect(tmp_path / "store.sqlite")) as file:
        assert file.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_file_of_every_version_is_at_hand() -> None:
    """Whoever adds a migration stores a file of the version before, so that the upgrade is tested."""
    assert sorted(path.stem for path in STORED.glob("*.sql")) == VERSIONS
