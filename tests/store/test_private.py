from pathlib import Path

from otel_wfperf.store import Store


def test_the_files_are_for_their_owner_only_whatever_the_folder_allows(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        store.close()

    assert modes["store.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}
