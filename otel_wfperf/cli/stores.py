"""Opening a store that the user names, without creating one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_wfperf.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from otel_wfperf.store import Store

PREFIX: Final = "store:"
_FILE: Final = "store.sqlite"


def store_url(name: str, path: Path) -> str:
    """Return the URL of a store in a file or in the data folder of a sidecar; raise InputError when there is none."""
    path = path / _FILE if path.is_dir() else path
    if not path.is_file():
        # Opening it would create it.
        raise InputError(f"{name}: there is no store at {path}; name the file or the data folder of the sidecar")
    return f"sqlite:///{path.absolute()}"


def open_store(name: str, url: str, *, feature: str) -> Store:
    """Open a store; raise InputError when that is not possible, MissingExtraError without the sidecar's packages.

    Args:
        name: What the user typed.
        url: Of SQLAlchemy.
        feature: What needs it.
    """
    try:
        from otel_wfperf.store import Store  # noqa: PLC0415 - comes with the sidecar extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, "sidecar") from error
    try:
        return Store.open(url)
    except Exception as error:
        text = getattr(error, "orig", None) or error
        raise InputError(f"{name}: cannot be opened as a store: {text}") from error
