"""From the inputs a user named to operations, with every problem told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_wfperf.conventions import normalize
from otel_wfperf.errors import InputError
from otel_wfperf.model import Operation
from otel_wfperf.otlp.files import read_spans

STANDARD_INPUT: Final = "-"

# Chosen: who waits longer than this wants to know that something happens, and no more often.
PROGRESS_S: Final = 2.0


@dataclass(slots=True)
class Reading:
    """What the inputs held so far.

    Attributes:
        errors: What could not be used; each is on standard error already.
        failed: Whether an input that the user named could not be used at all.
    """

    operations: list[Operation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed: bool = False
    _files: int = 0
    _reported_s: float = field(default_factory=time.monotonic)

    def add(self, name: str) -> None:
        """Read one input of the command line."""
        path = Path(name)
        if name != STANDARD_INPUT and path.is_dir():
            files = list(_files_below(path))
            if not files:
                self._fail(f"{name}: the directory holds no files; name files or another directory")
            # What else lies in a directory is no mistake of the user.
            usable = [self._read(str(file)) for file in files]
            if files and not any(usable):
                self.failed = True
            return
        if not self._read(name):
            self.failed = True

    def _read(self, name: str) -> bool:
        try:
            contents = read_spans(_bytes(name), name="standard input" if name == STANDARD_INPUT else name)
        except InputError as error:
            self._report(str(error))
            return False
        for problem in contents.errors:
            self._report(problem, level="warning")
        for reason, number in contents.rejected.items():
            self._report(f"{name}: {number} spans left out: {reason}", level="warning")
        self.operations += (operation for span in contents.spans if (operation := normalize(span)) is not None)
        self._progress()
        return True

    def _fail(self, problem: str) -> None:
        self._report(problem)
        self.failed = True

    def _report(self, problem: str, level: str = "error") -> None:
        self.errors.append(problem)
        sys.stderr.write(f"{level}: {problem}\n")

    def _progress(self) -> None:
        self._files += 1
        now_s = time.monotonic()
        if now_s - self._reported_s >= PROGRESS_S:
            self._reported_s = now_s
            sys.stderr.write(f"wfperf: {self._files} inputs read, {len(self.operations)} spans\n")


def _bytes(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}; check the path and its permissions") from error


def _files_below(folder: Path) -> Iterator[Path]:
    """List the files of a directory and those below it, by path; hidden ones are left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path
