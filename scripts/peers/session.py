"""One run of the script: its folder, its clock, its progress lines, and the tools it starts."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

# Chosen: a person watching a long build sees every half minute that it is alive.
HEARTBEAT_S = 30.0
# Longest reason kept of a failing tool (characters): about two lines of a terminal, enough for a module and its status.
REASON_CHARACTERS = 400


class CommandError(Exception):
    """A tool failed, was missing or ran out of time; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What obtaining a peer needs from the run it is part of.

    Attributes:
        folder: Where peers are kept.
        started_s, deadline_s: Monotonic times (seconds). Tools still running at the deadline are ended.
        peer: Name of the peer at hand, for progress lines and its log.
        done: Steps that need doing once a run only.
    """

    folder: Path
    started_s: float = field(default_factory=time.monotonic)
    deadline_s: float = float("inf")
    peer: str = ""
    done: set[str] = field(default_factory=set)

    def for_peer(self, name: str, limit_s: float) -> "Session":
        """Narrow the session to one peer and its time limit, within the limit of the whole."""
        return replace(self, peer=name, deadline_s=min(self.deadline_s, time.monotonic() + limit_s))

    @property
    def log(self) -> Path:
        """Name the file with all that the tools printed for this peer."""
        return self.folder / "logs" / f"{self.peer}.log"

    def say(self, text: str) -> None:
        """Print a progress line with the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self.started_s), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {self.peer or 'peers'}: {text}", file=sys.stderr, flush=True)

    def run(self, *command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run a tool and return what it printed; raise `CommandError` when it fails or the time is up."""
        words = [str(word) for word in command]
        self.say(" ".join(words))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a+", encoding="utf-8", errors="replace") as log:
            log.write(f"$ {' '.join(words)}\n")
            log.flush()
            begin = log.tell()
            status = self._finish(_start(words, log.fileno(), cwd, environment), words[0])
            log.seek(begin)
            printed = log.read()
        if status != 0:
            raise CommandError(last_line(printed) or f"`{words[0]}` ended with status {status}")
        return printed

    def _finish(self, process: "subprocess.Popen[bytes]", name: str) -> int:
        begin = time.monotonic()
        try:
            while True:
                left_s = self.deadline_s - time.monotonic()
                if left_s <= 0:
                    raise CommandError(f"time limit: `{name}` was ended after {time.monotonic() - begin:.0f} s")
                try:
                    return process.wait(min(HEARTBEAT_S, left_s))
                except subprocess.TimeoutExpired:
                    self.say(f"... still running after {time.monotonic() - begin:.0f} s")
        finally:
            _end(process)


def _start(
    words: list[str], output: int, cwd: Path | None, environment: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"`{words[0]}` cannot be run: {error.strerror}") from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a tool that is still running together with what it started (it leads its own process group)."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, stop)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue


def last_line(printed: str) -> str:
    """Return the last line printed, with the one it continues when it is indented (Go reports in such pairs)."""
    lines = [line for line in printed.splitlines() if line.strip()]
    reason = lines.pop().rstrip() if lines else ""
    while lines and reason[:1].isspace():
        reason = f"{lines.pop().rstrip()} {reason.strip()}"
    return re.sub(r"\s+", " ", reason).strip()[-REASON_CHARACTERS:]
