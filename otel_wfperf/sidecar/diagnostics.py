"""What the sidecar says about itself on standard error: one line an event, never one a span."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What every record has; everything else on it was given as ``extra``. Source: logging.LogRecord.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Write an event as one JSON object on one line.

    Keys: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``exception`` (with its traceback) and whatever
    the event was given as ``extra``. Source: OpenTelemetry log data model, in short names that log shippers know.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _USUAL}
        if record.exc_info:
            event["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(event, default=str, ensure_ascii=False)


def write_events(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Let the whole process write its events to one stream.

    Args:
        level: The least severe event of ours that is written: debug, info, warning or error. Libraries speak up only
            when something is wrong; their usual messages are about themselves.
        style: ``text`` for people, ``json`` for machines.
        stream: Where to; standard error by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("otel_wfperf").setLevel(level.upper())
