"""The outcome: `peers.json` for the tests, a table for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.peers.peer import Found

# Longest reason in the table (characters); the whole of it is in peers.json.
REASON_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of one peer: version and path, or the reason why it is missing."""

    version: str | None = None
    path: str | None = None
    reason: str | None = None


def found_record(found: Found) -> Record:
    """Record a peer that is there."""
    return Record(version=found.version, path=str(found.path))


def read_records(folder: Path) -> dict[str, Record]:
    """Read what the last run wrote; nothing when there was none."""
    try:
        entries: dict[str, dict[str, str | None]] = json.loads((folder / "peers.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: Record(**entry) for name, entry in entries.items()}


def write_records(folder: Path, records: Mapping[str, Record]) -> None:
    """Replace `peers.json` at once: tests may read it meanwhile."""
    entries = {name: asdict(record) for name, record in sorted(records.items())}
    fresh = folder / "peers.json.new"
    fresh.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    fresh.replace(folder / "peers.json")


def table(records: Mapping[str, Record]) -> str:
    """Lay out component, version, and path or the reason why it is missing."""
    rows = [("component", "version", "path, or why it is missing")]
    rows += [(name, record.version or "-", record.path or _short(record.reason)) for name, record in records.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {version:<{widths[1]}}  {rest}" for name, version, rest in rows)


def _short(reason: str | None) -> str:
    text = f"missing: {reason}"
    return text if len(text) <= REASON_CHARACTERS else f"{text[: REASON_CHARACTERS - 3]}..."
