"""What the log knows of itself: who it is, how far it goes, how far its consumers are."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Self


@dataclass(slots=True, kw_only=True)
class Marks:
    """State of a log as of one commit.

    Attributes:
        log_id: Identity; offsets of another log mean nothing here.
        last_offset: Highest offset ever given to a record; 0 when there has been none.
        trimmed_offset: Everything up to here was deleted because it was passed or too old.
        newest_offset: Offset of the newest record that is kept; 0 when there is none.
        records: Records that are kept (count).
        size_bytes: What they take in the file (bytes).
        oldest_ns: When the oldest of them was received (nanoseconds since the Unix epoch); 0 when there is none.
        cursors: How far each consumer is (offset).
    """

    log_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    last_offset: int = 0
    trimmed_offset: int = 0
    newest_offset: int = 0
    records: int = 0
    size_bytes: int = 0
    oldest_ns: int = 0
    cursors: dict[str, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Offset that a consumer reaches: of the newest record, or of the last one when all have passed it."""
        all_passed = all(position >= self.last_offset for position in self.cursors.values())
        return self.last_offset if not self.newest_offset and all_passed else self.newest_offset

    def is_newer_than(self, other: Marks) -> bool:
        """Tell whether another one of the same log is from an earlier commit."""
        return self.log_id == other.log_id and self._progress > other._progress

    def knows_more_records_than(self, other: Marks) -> bool:
        """Tell whether records were appended or trimmed since another one, whichever log that is of."""
        return self._progress[:2] > other._progress[:2]

    @property
    def _progress(self) -> tuple[int, int, int]:
        return self.last_offset, self.trimmed_offset, sum(self.cursors.values())

    def with_cursors(self, cursors: Mapping[str, int]) -> Marks:
        """Return another one, to be changed, in which these consumers are further."""
        return replace(self, cursors={**self.cursors, **cursors})

    def keep_cursors(self, consumers: Iterable[str]) -> None:
        """Forget the cursors of others; new consumers start at the beginning."""
        self.cursors = {consumer: self.cursors.get(consumer, 0) for consumer in consumers}

    def encode(self) -> tuple[int, bytes]:
        """Return checksum and bytes."""
        data = json.dumps(asdict(self), separators=(",", ":")).encode()
        return zlib.crc32(data), data

    @classmethod
    def decode(cls, checksum: object, data: object) -> Self | None:
        """Return what the bytes say; None when they are damaged."""
        if not isinstance(data, bytes) or zlib.crc32(data) != checksum:
            return None
        return cls(**json.loads(data))
