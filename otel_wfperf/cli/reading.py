"""From the inputs a user named to operations, with every problem told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_wfperf.cli.stores import PREFIX
from otel_wfperf.conventions import normalize
from otel_wfperf.errors import InputError
from otel_wfperf.model import Operation
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.report.units import count

STANDARD_INPUT: Final = "-"

# Chosen: who waits longer than this wants to know that something happens, and no more often.
PROGRESS_S: Final = 2.0
# Chosen: more files that are no traces than this say nothing new.
MAX_TOLD: Final = 3
_NO_SPANS: Final = (
    "a store keeps the results of runs, not the spans that an analysis needs; its findings are in the page and at "
    "/api/v1/findings of its sidecar, wfperf compare tells what became slower in it, and wfperf run --record FILE "
    "keeps the spans of a run"
)


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
        if name.startswith(PREFIX):
            self._fail(f"{name}: {_NO_SPANS}")
        elif name != STANDARD_INPUT and path.is_dir():
            self._add_folder(name, list(_files_below(path)))
        elif problem := self._read(name):
            self._fail(problem)

    def _add_folder(self, name: str, files: Sequence[Path]) -> None:
        """Read all that can be read; what else lies in a directory is no mistake of the user."""
        if not files:
            self._fail(f"{name}: the directory holds no files; name files or another directory")
            return
        problems = [problem for file in files if (problem := self._read(str(file)))]
        self.failed |= len(problems) == len(files)
        level = "error" if len(problems) == len(files) else "warning"
        # Saying that there is one more would take as much room as telling it.
        told = len(problems) if len(problems) == MAX_TOLD + 1 else MAX_TOLD
        for problem in problems[:told]:
            self._report(problem, level)
        if problems[told:]:
            self.errors += problems[told:]
            more = f"{len(problems) - told} more of the {len(files)} files cannot be read as traces"
            sys.stderr.write(f"{level}: {name}: {more}; JSON and HTML reports name them\n")

    def _read(self, name: str) -> str | None:
        """Read one file; return what is wrong when it cannot be used at all."""
        try:
            contents = read_spans(_bytes(name), name="standard input" if name == STANDARD_INPUT else name)
        except InputError as error:
            return str(error)
        for problem in contents.errors:
            self._report(problem, "warning")
        for reason, number in contents.rejected.items():
            self._report(f"{name}: {count(number, 'span')} left out: {reason}", "warning")
        self.operations += (operation for span in contents.spans if (operation := normalize(span)) is not None)
        self._progress()
        return None

    def _fail(self, problem: str) -> None:
        self._report(problem, "error")
        self.failed = True

    def _report(self, problem: str, level: str) -> None:
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
