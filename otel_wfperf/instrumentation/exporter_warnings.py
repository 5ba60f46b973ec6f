"""What the SDK's exporters say when nobody takes what they send: of ours, one line; of the program's own, all of it.

The loggers of the exporters are shared by all exporters of the process. Which one speaks is told by who sends in the
same thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

_logger = logging.getLogger("otel_wfperf")
_PREFIX: Final = "opentelemetry.exporter.otlp"
# Source: what gRPC, urllib3 and requests say of a connection that cannot be made (exporters 1.36 to 1.45).
_UNREACHABLE: Final = ("unavailable", "deadline_exceeded", "max retries", "connection", "timed out")
# Where one of our exporters sends to, while it does; None = it is not ours that sends.
_sends_to: ContextVar[str | None] = ContextVar("otel_wfperf_sends_to", default=None)
_is_silent: ContextVar[bool] = ContextVar("otel_wfperf_sends_silently", default=False)
E = TypeVar("E")


class OneLine(logging.Filter):
    """Says once that nobody answers, in words of our own, and passes one other warning; of ours only."""

    def __init__(self) -> None:
        """Have said nothing yet."""
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is passed on."""
        url = _sends_to.get()
        if url is None or record.levelno < logging.WARNING:
            return True
        text = record.getMessage().lower()
        if any(each in text for each in _UNREACHABLE):
            if "unreachable" not in self._said:
                _logger.warning("otel-wfperf: nothing answers on %s; not recorded until something does", _host(url))
            self._said.add("unreachable")
            return False
        was_said = bool(self._said) or _is_silent.get()
        self._said.add("other")
        return not was_said


ONE_LINE: Final = OneLine()


def of_ours(exporter: E, url: str, *, is_silent: bool = False) -> E:
    """Make an exporter one of ours, which says at most one line.

    Args:
        exporter: One of the SDK, just made.
        url: Where it sends to.
        is_silent: Say no more than that nobody answers: a receiver may well not take what it sends.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(_PREFIX):
            logging.getLogger(name).addFilter(ONE_LINE)
    changed: Any = exporter
    export = changed.export

    @wraps(export)
    def export_as_ours(*args: Any, **kwargs: Any) -> Any:
        with _sending(url, is_silent=is_silent):
            return export(*args, **kwargs)

    changed.export = export_as_ours
    return exporter


def _host(url: str) -> str:
    """Leave out what may be secret: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@contextmanager
def _sending(url: str, *, is_silent: bool) -> Iterator[None]:
    tokens = _sends_to.set(url), _is_silent.set(is_silent)
    try:
        yield
    finally:
        _sends_to.reset(tokens[0])
        _is_silent.reset(tokens[1])
