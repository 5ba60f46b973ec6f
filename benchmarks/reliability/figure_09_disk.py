"""Figure 9: the log keeps within its size; when the disk is full or cannot be written it refuses, and recovers."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks.reliability.arrivals import wait_until
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.figure_08_no_backend import log_bytes, silent_backend
from benchmarks.reliability.load import Sent, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar

DISK_MIB: Final = 192
CAP_BYTES: Final = 48 * 1024**2
# What the write-ahead log may take besides: it is cut back to 8 MiB, and one commit is as large.
SEGMENT_BYTES: Final = 16 * 1024**2
_RECOVERY_LIMIT_S: Final = 10.0


def measure() -> Outcome:
    """Fill the log, then its disk, then make every write fail; each time see what senders are told and when it ends."""
    with (
        tempfile.TemporaryDirectory(prefix="wfperf-") as parent,
        small_disk(Path(parent)) as folder,
        silent_backend() as backend,
    ):
        refusals: list[Sent] = []
        with running_sidecar(
            folder, {**_settings(), "exporters": [{"name": "silent", "endpoint": backend}]}
        ) as sidecar:
            refusals.append(_send(sidecar, 400_000, first=1))
            over_bytes = log_bytes(folder / "data") - CAP_BYTES
        # Without the back end its cursor is forgotten, and the log empties.
        with running_sidecar(folder, _settings()) as sidecar:
            times_s = [_takes_data_after(sidecar, 2)]
            with full_disk(folder):
                refusals.append(_send(sidecar, 20_000, first=10**6))
            times_s.append(_takes_data_after(sidecar, 3))
            with unwritable(sidecar):
                refusals.append(_send(sidecar, 20_000, first=2 * 10**6))
            times_s.append(_takes_data_after(sidecar, 4))
    statuses = [dict(sent.refused) for sent in refusals]
    told = all(status.keys() == {"UNAVAILABLE"} for status in statuses) and not sum(
        sum(sent.untimed.values()) for sent in refusals
    )
    accepted_unwritten = sum(len(sent.accepted) for sent in refusals[1:])
    return Outcome(
        got=f"log at most {over_bytes / 1024**2:.1f} MiB over its size; refusals {statuses}, "
        f"all with RetryInfo: {told}; {accepted_unwritten} spans accepted meanwhile; data taken again after "
        f"{times_s[1]:.1f} s (full tmpfs), {times_s[2]:.1f} s (no write succeeds: RLIMIT_FSIZE 0)",
        reached=over_bytes <= SEGMENT_BYTES and told and accepted_unwritten == 0 and max(times_s) < _RECOVERY_LIMIT_S,
    )


def _settings() -> dict[str, object]:
    return {"log": {"max_size": CAP_BYTES}, "drain_timeout": "1s"}


def _send(sidecar: SidecarProcess, spans: int, *, first: int) -> Sent:
    return asyncio.run(send(sidecar.grpc, workflow_batches(spans, first=first), concurrency=4))


def _takes_data_after(sidecar: SidecarProcess, round_: int) -> float:
    """Send until something is taken; return how long that took (seconds)."""
    firsts = iter(range(round_ * 10**7, (round_ + 1) * 10**7, 100))
    return wait_until(
        lambda: bool(_send(sidecar, 512, first=next(firsts)).accepted), limit_s=2 * _RECOVERY_LIMIT_S, pause_s=0.25
    )


@contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """Mount a file system of its own; needs the right to."""
    folder = parent / "disk"
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Fill the file system to its last byte."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 * 1024))
            except OSError:
                os.fsync(file.fileno())
        yield
    finally:
        filler.unlink()


@contextmanager
def unwritable(sidecar: SidecarProcess) -> Iterator[None]:
    """Make every write of the process fail, open files included.

    A read-only remount does not do that: the kernel refuses it while files are open for writing.
    """
    process = psutil.Process(sidecar.pid)
    soft, hard = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr.strip()}; run this figure as root")


FIGURE: Final = Figure(
    number=9,
    title="disk cap, full disk, disk that cannot be written",
    asked="size kept within one segment (16 MiB of write-ahead log); refused retryably, recovers by itself in < 10 s",
    measure=measure,
)
