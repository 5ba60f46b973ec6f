"""What a peer is, and where it is kept."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts.peers.session import Session


class UnobtainableError(Exception):
    """A peer cannot be had; the message says why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A peer that is there."""

    version: str
    path: Path


class Peer(Protocol):
    """One real component."""

    @property
    def name(self) -> str:
        """Name it by what the tests call it."""

    @property
    def limit_s(self) -> float:
        """Bound the time for obtaining it (seconds), all its versions together."""

    def find(self, folder: Path) -> Found | None:
        """Look for it without obtaining anything."""

    def obtain(self, session: Session) -> Found:
        """Obtain it, or raise `UnobtainableError`."""


def peers_folder() -> Path:
    """Name the folder, outside the repository, where peers are kept from run to run."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "otel-wfperf" / "peers"


def version_of(program: Path) -> str:
    """Ask a program for its version; "?" when it does not say."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    number = re.search(r"\d+\.\d+[\w.+~-]*", answer.stdout + answer.stderr)
    return number.group() if number else "?"
