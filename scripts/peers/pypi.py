"""Peers that come as a wheel with a program inside, each in a virtual environment of its own."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.peers.peer import Found, UnobtainableError
from scripts.peers.session import CommandError, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPeer:
    """A program inside a wheel; `program` is its path below site-packages."""

    name: str
    version: str
    program: str
    limit_s: float

    def find(self, folder: Path) -> Found | None:
        """Look into the virtual environment of this version."""
        programs = self._environment(folder).glob(f"lib/python*/site-packages/{self.program}")
        return next((Found(version=self.version, path=path) for path in programs), None)

    def obtain(self, session: Session) -> Found:
        """Install the wheel; never build it from source."""
        environment = self._environment(session.folder)
        shutil.rmtree(environment, ignore_errors=True)
        pip = (environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        try:
            session.run(sys.executable, "-m", "venv", environment)
            session.run(*pip, "--only-binary=:all:", f"{self.name}=={self.version}")
        except CommandError as error:
            raise UnobtainableError(str(error)) from error
        found = self.find(session.folder)
        if found is None:
            raise UnobtainableError(f"{self.program} is not in the wheel")
        return found

    def _environment(self, folder: Path) -> Path:
        return folder / f"{self.name}-{self.version}"


PEERS = (WheelPeer(name="rotel", version="0.0.1a15", program="rotel/rotel-agent", limit_s=120),)
