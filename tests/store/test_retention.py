"""Results go when they are too old, too many or too large, a batch at a time."""

from dataclasses import replace
from pathlib import Path

from otel_wfperf.store import Limits, Store
from tests.store.test_store import analysed, execution, save, trace_ids


def stored(path: Path, executions: int, *, bytes_each: int = 10) -> Store:
    store = Store.open(f"sqlite:///{path}")
    for trace in range(1, executions + 1):
        one = replace(analysed(execution(trace)), document={"trace_id": f"{trace:032x}", "text": "x" * bytes_each})
        save(store, one, now_unix_ns=trace)
    return store


def trimmed(store: Store, limits: Limits) -> list[int]:
    """Trim until nothing is left to do; return how many went in each step."""
    return list(iter(lambda: store.trim(limits), 0))


def test_deletes_a_large_excess_in_batches(tmp_path: Path) -> None:
    store = stored(tmp_path / "store.sqlite", 1_300)

    assert trimmed(store, Limits(oldest_unix_ns=0, max_executions=100)) == [500, 500, 200]
    assert len(store.executions(limit=2_000)) == 100
    store.close()


def test_the_oldest_go_past_the_size_and_the_file_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = stored(path, 200, bytes_each=20_000)
    before = path.stat().st_size

    trimmed(store, Limits(oldest_unix_ns=0, max_executions=1_000, max_size_bytes=1_000_000))

    left = trace_ids(store)
    assert store.size_bytes <= 1_000_000
    assert 20 < len(left) < 60
    assert left == sorted(left, reverse=True)
    assert left[0] == 200
    store.close()  # the last connection writes the write-ahead log into the file
    assert path.stat().st_size < before / 2


def test_what_is_within_the_limits_stays(tmp_path: Path) -> None:
    store = stored(tmp_path / "store.sqlite", 3)

    assert trimmed(store, Limits(oldest_unix_ns=1, max_executions=3, max_size_bytes=10**9)) == []
    assert len(store.executions()) == 3
    store.close()
