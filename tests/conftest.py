"""Fixtures and markers shared by all tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Where the reference data is; see CONTRIBUTING.md."""
    return Path(os.environ.get("WFPERF_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    return shared_folder()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a peer or the reference data that is not here, and say which."""
    from tests.peers import missing_reason, peer_path

    folder = shared_folder()
    for item in items:
        for marker in item.iter_markers("peer"):
            name = str(marker.args[0])
            if peer_path(name) is None:
                item.add_marker(pytest.mark.skip(reason=f"peer {name}: {missing_reason(name)}"))
        if item.get_closest_marker("shared") and not (folder / "data").is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no reference data in {folder}; set WFPERF_SHARED"))
