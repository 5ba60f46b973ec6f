"""A note beside the database of how far it is: what the database lost without a trace is found missing by it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from otel_wfperf.log.marks import Marks
from otel_wfperf.private_files import keep_private

_CHECKSUM_DIGITS: Final = 8


class Witness:
    """Keeps the marks of the last commit, with newer cursors, in a small file; it is never forced to the disk.

    A write-ahead log that is cut short looks like one that ended there; so does a file cut to nothing.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._writing = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        keep_private(path)

    def write(self, marks: Marks) -> None:
        """Note what has been committed; what cannot be written is only not noticed later."""
        checksum, data = marks.encode()
        line = b"%0*x%s\n" % (_CHECKSUM_DIGITS, checksum, data)
        with self._writing, suppress(OSError):
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, line)

    def read(self) -> Marks | None:
        """Return what was noted; None when there is nothing or it is damaged."""
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            line = os.read(self._file, os.fstat(self._file).st_size).partition(b"\n")[0]
            return Marks.decode(int(line[:_CHECKSUM_DIGITS], 16), line[_CHECKSUM_DIGITS:])
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
