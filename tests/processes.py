"""Run a real process for the length of a test: temporary folder, free ports, readiness, its log when it fails."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

# Chosen: on two busy cores the slowest (Jaeger, PostgreSQL) is ready in under 10 s.
START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
_LOG_TAIL_CHARACTERS = 6000
# No proxy of the environment stands between a test and loopback.
_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A started process: its id and the file with what it prints."""

    pid: int
    log: Path


def free_ports(count: int) -> list[int]:
    """Pick distinct TCP ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def temporary_folder(owner: str | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wfperf-peer-", ignore_cleanup_errors=True) as name:
        if owner is not None:
            shutil.chown(name, owner)
        yield Path(name)


@contextmanager
def running_process(
    command: Sequence[str | Path],
    folder: Path,
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[RunningProcess]:
    """Start a process, wait until it is ready, and end it by its own id."""
    log = folder / "process.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
        )
    try:
        _wait_until(ready, process)
        yield RunningProcess(pid=process.pid, log=log)
    except BaseException as error:
        tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARACTERS:]
        error.add_note(f"--- log of {command[0]} ---\n{tail}")
        raise
    finally:
        _end(process, stop_signal)


def _wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        status = process.poll()
        assert status is None, f"the process ended with status {status} before it was ready"
        assert time.monotonic() < deadline, f"not ready after {START_LIMIT_S:.0f} s"
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
    process.send_signal(stop_signal)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def answers(url: str) -> bool:
    try:
        fetch(url)
    except (OSError, http.client.HTTPException):
        return False
    return True


def fetch(url: str) -> bytes:
    """Return the body of a 2xx answer; raise `OSError` for another status or none."""
    try:
        with _LOOPBACK.open(url, timeout=5) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        error.close()
        raise


def eventually(probe: Callable[[], Found], *, limit_s: float = 20.0) -> Found:
    """Ask again and again until the answer is true in Python's sense; fail with the last answer at the limit."""
    deadline = time.monotonic() + limit_s
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"still {answer!r} after {limit_s:.0f} s"
        time.sleep(0.02)
    return answer
