"""Peers from Debian packages. Where there is no apt, the same programs count when they are installed otherwise."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.peers.peer import Found, UnobtainableError, version_of
from scripts.peers.session import CommandError, Session

POLICY = Path("/usr/sbin/policy-rc.d")
APT = ("apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=120")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPeer:
    """A program of one or more Debian packages.

    Attributes:
        commands: Names it may have on PATH.
        packages: What to install.
        folders: Where it is when it is not on PATH; patterns below /, the highest number wins.
    """

    name: str
    commands: tuple[str, ...]
    packages: tuple[str, ...]
    folders: str = ""
    limit_s: float = 240

    def find(self, folder: Path) -> Found | None:  # noqa: ARG002 - each peer is asked the same way
        """Look on PATH, then in the folders."""
        on_path = [Path(path) for command in self.commands if (path := shutil.which(command))]
        elsewhere = [path / self.commands[0] for path in _newest_first(self.folders)]
        programs = (path for path in (*on_path, *elsewhere) if os.access(path, os.X_OK))
        return next((Found(version=version_of(path), path=path) for path in programs), None)

    def obtain(self, session: Session) -> Found:
        """Install the packages without starting their services."""
        packages = " ".join(self.packages)
        if shutil.which("apt-get") is None:
            raise UnobtainableError(f"no `apt-get` here; install {self.commands[0]} and put it on PATH")
        if os.geteuid() != 0:
            raise UnobtainableError(f"not root; as root: apt-get install {packages}")
        try:
            self._install(session)
        except CommandError as error:
            raise UnobtainableError(str(error)) from error
        found = self.find(session.folder)
        if found is None:
            raise UnobtainableError(f"installed {packages}, but {self.commands[0]} is not there")
        return found

    def _install(self, session: Session) -> None:
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        if "apt-get update" not in session.done:
            session.done.add("apt-get update")
            session.run(*APT, "update", environment=environment)
        with services_kept_from_starting():
            session.run(*APT, "install", "--no-install-recommends", *self.packages, environment=environment)


def _newest_first(pattern: str) -> list[Path]:
    found = Path("/").glob(pattern) if pattern else ()
    return sorted(found, key=lambda path: [int(part) for part in path.parts if part.isdigit()], reverse=True)


@contextmanager
def services_kept_from_starting(policy: Path = POLICY) -> Iterator[None]:
    """Answer 101 ("not allowed") to packages that want to start their service, and put back what was there."""
    before = (policy.read_bytes(), policy.stat().st_mode) if policy.exists() else None
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            policy.unlink()
        else:
            policy.write_bytes(before[0])
            policy.chmod(before[1])


PEERS = (
    DebianPeer(name="redis", commands=("redis-server",), packages=("redis-server",)),
    DebianPeer(
        name="postgresql",
        commands=("postgres",),
        packages=("postgresql",),
        folders="usr/lib/postgresql/*/bin",
    ),
    DebianPeer(name="prometheus", commands=("prometheus",), packages=("prometheus",)),
    DebianPeer(name="promtool", commands=("promtool",), packages=("prometheus",)),
    DebianPeer(
        name="alertmanager",
        commands=("prometheus-alertmanager", "alertmanager"),
        packages=("prometheus-alertmanager",),
    ),
    DebianPeer(name="amtool", commands=("amtool",), packages=("prometheus-alertmanager",)),
    # Without a font a page is drawn with empty boxes.
    DebianPeer(
        name="chromium",
        commands=("chromium", "chromium-browser", "google-chrome"),
        packages=("chromium", "fonts-liberation"),
    ),
)
