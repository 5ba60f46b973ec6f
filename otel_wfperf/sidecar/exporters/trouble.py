"""Tell the operator about a back end that takes nothing; metrics count everything, the log names what matters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters.exporter import Retry

_LOGGER = logging.getLogger(__name__)
# Chosen: often enough to be seen in the tail of a log, too seldom to fill it.
REPEAT_S = 60.0


class Trouble:
    """Writes one line when delivery begins to fail, one a minute while it lasts, and one when it is over."""

    def __init__(self, config: ExporterConfig, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Start without trouble; ``clock_s`` is monotonic (seconds)."""
        self._where = f"exporter {config.name} ({config.endpoint}, {config.protocol})"
        self._clock_s = clock_s
        self._said_s: dict[str, float] = {}
        self._since_s: float | None = None
        self._dropped_items = 0

    def retrying(self, outcome: Retry, *, waiting: int) -> None:
        """Note that the back end cannot take it now; ``waiting`` requests are in the log for it."""
        if self._since_s is None:
            self._since_s = self._clock_s()
        if self._may_say("retrying"):
            _LOGGER.warning(
                "%s: %s; the log keeps what it misses (%d requests now); wfperf doctor --config tries it",
                self._where,
                _told(outcome.reason, outcome.detail),
                waiting,
            )

    def dropped(self, reason: str, *, items: int, detail: str = "", kept: bool = False) -> None:
        """Note that data is lost for this back end, but for its dead letters."""
        self._dropped_items += items
        if self._may_say("dropped"):
            _LOGGER.error(
                "%s: %d spans, metrics or log records are lost for it (%s)%s; check endpoint, protocol and signals in "
                "sidecar.exporters",
                self._where,
                self._dropped_items,
                _told(reason, detail),
                "; they are kept as dead letters" if kept else "",
            )
            self._dropped_items = 0

    def delivered(self) -> None:
        """Note that the back end has taken something."""
        if self._since_s is not None:
            _LOGGER.info("%s: answers again after %.0f s", self._where, self._clock_s() - self._since_s)
            self._since_s = None
            self._said_s.pop("retrying", None)

    def _may_say(self, what: str) -> bool:
        now_s = self._clock_s()
        said_s = self._said_s.get(what)
        if said_s is not None and now_s - said_s < REPEAT_S:
            return False
        self._said_s[what] = now_s
        return True


def _told(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason
