"""Bring alerts to one notifier: what it has not heard of yet, at its rate, until it takes it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.alerts.wording import sentence
from otel_wfperf.sidecar.alerting.notifiers import Notice, Notifier, NotSentError

_LOGGER = logging.getLogger(__name__)
# Chosen: who is told hears within a minute of the end of an outage, and is not asked more often than twice a minute.
_FIRST_DELAY_S: Final = 1.0
_MAX_DELAY_S: Final = 60.0
_JITTER: Final = 0.5
# Chosen: some 50 kB of JSON.
_MAX_ALERTS: Final = 100


class Counts(Protocol):
    """Where deliveries are counted."""

    def notified(self, notifier: str, result: str) -> None:
        """Count a message: ``sent``, or why it was not taken."""

    def notification_suppressed(self, notifier: str, reason: str, alerts: int) -> None:
        """Count alerts that a notifier was not told of, or not at once, by reason."""


class Delivery:
    """Keeps for one notifier what it was told and what it is to be told; only the latest state of an alert waits.

    Attributes:
        told: When it was last told that an alert fires (nanoseconds since the Unix epoch), by fingerprint.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        counts: Counts,
        group_by: Collection[str],
        link: Callable[[Alert], str | None],
        clock_ns: Callable[[], int],
        random: Callable[[], float],
        told: Mapping[str, int] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is sent before :meth:`run`.

        Args:
            notifier: Whom to tell.
            counts: Where it is counted.
            group_by: Labels that alerts of one message have in common.
            link: Page that shows more of an alert.
            clock_ns: Nanoseconds since the Unix epoch, without jumps.
            random: Random numbers from 0 to 1, for the jitter.
            told: What was told before a restart.
            changed: Called when ``told`` has changed.
        """
        self._notifier = notifier
        self._config = notifier.config
        self._counts = counts
        self._group_by = () if notifier.takes_all else tuple(group_by)
        self._link = link
        self._clock_ns = clock_ns
        self._random = random
        self._changed = changed
        self.told = dict(told or {})
        self._waiting: dict[str, Alert] = {}
        self._deferred: set[str] = set()
        self._wake = asyncio.Event()
        self._sent_s: deque[float] = deque()
        self._failures = 0
        self._faulty = False

    @property
    def name(self) -> str:
        """Name of the notifier."""
        return self._config.name

    def update(self, alerts: Iterable[Alert], silenced: Collection[str], *, now_ns: int) -> None:
        """Compare the alerts with what was told, and note what there is to tell.

        Args:
            alerts: All of them.
            silenced: Fingerprints of those that nobody is told of now; the end of what was told is told all the same.
            now_ns: The present (nanoseconds since the Unix epoch).
        """
        known = {alert.fingerprint: alert for alert in alerts if self._concerns(alert)}
        for key, alert in known.items():
            if alert.state is AlertState.RESOLVED:
                if key in self.told or key in self._waiting:
                    self._put(key, alert)
            elif key in silenced:
                self._withdraw(key, "silenced")
            elif now_ns - self.told.get(key, -self._repeat_ns) >= self._repeat_ns:
                self._put(key, alert)
            elif self._waiting.get(key, alert).state is AlertState.RESOLVED:
                self._withdraw(key, "superseded")
        for key in [key for key in {*self.told, *self._waiting} if key not in known]:
            self._waiting.pop(key, None)
            if self.told.pop(key, None) is not None:
                self._changed()
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._until_allowed()
                await self._send_some()

    async def flush(self) -> None:
        """Try once more to send what waits, at the end."""
        while self._waiting and not self._failures:
            await self._send_some()

    async def close(self) -> None:
        """Close the notifier."""
        await self._notifier.close()

    @property
    def _repeat_ns(self) -> int:
        return int(self._config.repeat_s * 1e9)

    def _concerns(self, alert: Alert) -> bool:
        return alert.state is not AlertState.PENDING and alert.terms.severity.rank <= self._config.min_severity.rank

    def _put(self, key: str, alert: Alert) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.state is not alert.state:
            self._counts.notification_suppressed(self.name, "superseded", 1)
        self._waiting[key] = alert

    def _withdraw(self, key: str, reason: str) -> None:
        if self._waiting.pop(key, None) is not None:
            self._counts.notification_suppressed(self.name, reason, 1)

    async def _until_allowed(self) -> None:
        """Wait until another message fits the rate."""
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time()
            while self._sent_s and now_s - self._sent_s[0] >= self._config.per_s:
                self._sent_s.popleft()
            if len(self._sent_s) < self._config.max_messages:
                self._deferred.clear()
                return
            self._defer()
            await asyncio.sleep(self._sent_s[0] + self._config.per_s - now_s)

    def _defer(self) -> None:
        """Count, once, what has to wait."""
        new = self._waiting.keys() - self._deferred
        self._deferred |= new
        if new:
            self._counts.notification_suppressed(self.name, "rate_limited", len(new))

    async def _send_some(self) -> None:
        """Send the alerts that have been waiting for longest, with those of their group."""
        batch = self._next()
        if not batch:
            return
        self._sent_s.append(asyncio.get_running_loop().time())
        try:
            await self._notifier.send(self._notice(batch))
        except NotSentError as error:
            await self._failed(error, batch)
        except Exception:
            if not self._faulty:
                _LOGGER.exception("notifier %s failed; further failures are only counted", self.name)
            self._faulty = True
            await self._failed(NotSentError("fault"), batch)
        else:
            self._delivered(batch)

    def _next(self) -> dict[str, Alert]:
        first = next(iter(self._waiting.values()), None)
        if first is None:
            return {}
        group = self._group(first)
        same = [(key, alert) for key, alert in self._waiting.items() if self._group(alert) == group]
        return dict(same[:_MAX_ALERTS])

    def _group(self, alert: Alert) -> dict[str, str]:
        labels = alert.labels
        return {label: labels[label] for label in self._group_by if label in labels}

    def _notice(self, batch: Mapping[str, Alert]) -> Notice:
        links = {key: link for key, alert in batch.items() if (link := self._link(alert)) is not None}
        group = self._group(next(iter(batch.values())))
        return Notice(alerts=tuple(batch.values()), links=links, group=group, sent_ns=self._clock_ns())

    def _delivered(self, batch: Mapping[str, Alert]) -> None:
        self._counts.notified(self.name, "sent")
        if self._failures:
            _LOGGER.info("notifier %s: takes messages again", self.name)
        self._failures = 0
        self._settle(batch)

    async def _failed(self, error: NotSentError, batch: Mapping[str, Alert]) -> None:
        self._counts.notified(self.name, error.reason)
        if error.is_final:
            for alert in batch.values():
                _LOGGER.error("notifier %s refused a message (%s): %s", self.name, error.reason, sentence(alert, None))
            self._settle(batch)
            return
        if not self._failures:
            _LOGGER.warning(
                "notifier %s: %s; it is tried again, and hears the latest state; wfperf alerts test %s tries it",
                self.name,
                error.reason,
                self.name,
            )
        delay_s = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._failures, 10))
        self._failures += 1
        await asyncio.sleep(max(error.after_s, delay_s * (1 + _JITTER * (2 * self._random() - 1))))

    def _settle(self, batch: Mapping[str, Alert]) -> None:
        """Note what was told; an alert that has changed meanwhile goes on waiting."""
        for key, alert in batch.items():
            if self._waiting.get(key) is alert or self._is_no_news(self._waiting.get(key), alert):
                self._waiting.pop(key, None)
            if alert.state is AlertState.FIRING:
                self.told[key] = self._clock_ns()
            else:
                self.told.pop(key, None)
        self._changed()

    @staticmethod
    def _is_no_news(waiting: Alert | None, told: Alert) -> bool:
        return waiting is not None and waiting.state is told.state
