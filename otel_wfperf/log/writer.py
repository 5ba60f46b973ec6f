"""One thread that writes: all that waits goes into one commit, and then everyone gets an answer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

from otel_wfperf.log import damage
from otel_wfperf.log.database import Database, Work
from otel_wfperf.log.marks import Marks

_LOGGER = logging.getLogger(__name__)
# Chosen: one commit of this much takes some 30 ms, and senders wait for it; the write-ahead log is about as large.
_MAX_COMMIT_BYTES: Final = 8 * 1024**2
# Chosen: a rebuild that finds no room reads the whole file, which takes seconds.
_MEND_AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not stored: ``disk_full``, ``disk_error`` or ``fault``."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Job:
    answer: asyncio.Future[Any]
    work: Work | None = None
    alone: Callable[[], bool] | None = None
    size_bytes: int = 0


class Writer:
    """Writes to a database from a thread of its own, in the order of submission."""

    def __init__(
        self, database: Database, *, fsync_interval_s: float | None, on_commit: Callable[[Marks], None]
    ) -> None:
        """Start the thread.

        Args:
            database: Where to write; nobody else does.
            fsync_interval_s: How often to force commits to the disk that were not forced (seconds); None = never.
            on_commit: Called on the loop with the state after each commit, before the answers.
        """
        self._database = database
        self._interval_s = fsync_interval_s
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._sync_due_s: float | None = None
        self._sync_failed = False
        self._next_mend_s = 0.0
        self.pending_bytes = 0
        self._thread = threading.Thread(target=self._run, name="wfperf-log-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Any:
        """Have something done within a commit; return its answer, or a :class:`Refusal`, once it is durable."""
        return await self._put(_Job(self._loop.create_future(), work=work, size_bytes=size_bytes))

    async def mend(self, repairs: int) -> bool:
        """Put the file in order, unless that was done since a number of repairs; False when it is not possible now."""
        return await self._put_alone(lambda: self._mended(repairs))

    async def remove_damaged(self, offsets: Sequence[int], repairs: int) -> bool:
        """Take damaged records out; False when that is not possible now."""
        return await self._put_alone(
            lambda: self._mended(repairs, needed=lambda: not self._database.remove_damaged(offsets, repairs))
        )

    async def look_for(self, after: int, repairs: int) -> bool:
        """Put the file in order when nothing is found after an offset though there should be; False if impossible."""
        return await self._put_alone(
            lambda: self._mended(repairs, needed=lambda: not self._database.holds_what_follows(after))
        )

    async def _put_alone(self, action: Callable[[], bool]) -> bool:
        """Have something done between two commits."""
        return await self._put(_Job(self._loop.create_future(), alone=action)) is True

    async def _put(self, job: _Job) -> Any:
        self.pending_bytes += job.size_bytes
        self._queue.put(job)
        return await job.answer

    async def close(self) -> None:
        """Finish what waits and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._collect()
            if jobs:
                answers = self._do(jobs)
                if self._interval_s is not None and self._sync_due_s is None:
                    self._sync_due_s = time.monotonic() + self._interval_s
                # The loop may be gone when a process ends without closing the log.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._answer, jobs, answers, self._database.marks)
            if self._sync_due_s is not None and (not open_ or time.monotonic() >= self._sync_due_s):
                self._sync()

    def _collect(self) -> tuple[list[_Job], bool]:
        """Wait for something to do, or until the disk is due; return it and whether more may come."""
        jobs: list[_Job] = []
        size_bytes = 0
        wait_s = None if self._sync_due_s is None else max(0.0, self._sync_due_s - time.monotonic())
        with suppress(Empty):
            while size_bytes < _MAX_COMMIT_BYTES and not (jobs and jobs[-1].alone):
                job = self._queue.get(timeout=wait_s) if not jobs else self._queue.get_nowait()
                if job is None:
                    return jobs, False
                jobs.append(job)
                size_bytes += job.size_bytes
        return jobs, True

    def _do(self, jobs: Sequence[_Job]) -> Sequence[Any]:
        answers = list(self._transact([job.work for job in jobs if job.work]))
        if jobs[-1].alone:
            answers.append(jobs[-1].alone())
        return answers

    def _transact(self, works: Sequence[Work], *, again: bool = True) -> Sequence[Any]:
        if not works:
            return ()
        repairs = self._database.repairs
        try:
            return self._database.transact(works)
        except sqlite3.Error as error:
            if again and damage.is_damage(error) and self._mended(repairs):
                return self._transact(works, again=False)
            return [_refusal(error)] * len(works)
        except Exception:
            if len(works) > 1:
                # Only the one that is at fault is refused.
                return [self._transact([work])[0] for work in works]
            _LOGGER.exception("the log could not do something")
            return [Refusal("fault")]

    def _mended(self, repairs: int, *, needed: Callable[[], bool] = lambda: True) -> bool:
        """Put a damaged file in order; False when that is not possible now."""
        if time.monotonic() < self._next_mend_s:
            return False
        try:
            if needed():
                self._database.mend(repairs)
        except (sqlite3.Error, OSError) as error:
            self._next_mend_s = time.monotonic() + _MEND_AGAIN_S
            _LOGGER.error("the log is damaged and cannot be put in order now: %s", error)  # noqa: TRY400 - no fault
            return False
        return True

    def _sync(self) -> None:
        self._sync_due_s = None
        try:
            self._database.sync()
        except OSError as error:
            if not self._sync_failed:
                _LOGGER.error("the log could not be forced to the disk: %s", error)  # noqa: TRY400 - no fault of ours
            self._sync_failed = True
        else:
            self._sync_failed = False

    def _answer(self, jobs: Sequence[_Job], answers: Sequence[Any], marks: Marks) -> None:
        """On the loop's thread: account for a commit, then wake those who wait for it."""
        self.pending_bytes -= sum(job.size_bytes for job in jobs)
        self._on_commit(marks)
        for job, answer in zip(jobs, answers, strict=True):
            if not job.answer.done():
                job.answer.set_result(answer)


def _refusal(error: Exception) -> Refusal:
    return Refusal("disk_full" if isinstance(error, sqlite3.Error) and damage.is_full(error) else "disk_error")
