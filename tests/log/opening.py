"""A log for the length of a test."""

import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from otel_wfperf.log import SqliteLog

DAY_NS = 86_400_000_000_000


@asynccontextmanager
async def opened(
    folder: Path,
    *consumers: str,
    max_size_bytes: int = 10**9,
    clock_ns: Callable[[], int] = lambda: DAY_NS,
    fsync_interval_s: float | None = None,
) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(
        folder / "log.sqlite",
        consumers=consumers or ("reader",),
        max_size_bytes=max_size_bytes,
        max_age_s=3600,
        fsync=False,
        fsync_interval_s=fsync_interval_s,
        clock_ns=clock_ns,
    )
    try:
        yield log
    finally:
        await log.close()


@contextmanager
def files_cannot_grow_beyond(size_bytes: int) -> Iterator[None]:
    """Make the operating system refuse writes of this process beyond a size, as it does for want of room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
