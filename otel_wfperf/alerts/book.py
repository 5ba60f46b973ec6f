"""All alerts, by their fingerprint: what is pending, what fires, what was resolved lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from otel_wfperf.alerts.alert import Alert, AlertState, Reading, advance, fingerprint
from otel_wfperf.alerts.facts import Facts
from otel_wfperf.alerts.rules.rule import Rule

# Chosen: more than anybody handles; a rule that finds more is wrong.
MAX_ALERTS: Final = 1_000
# Chosen: a person who comes after a meal sees what was.
_MAX_RESOLVED: Final = 100


class AlertBook:
    """Applies what rules see to the alerts. There is no clock inside: the caller says what time it is.

    Attributes:
        refused: Causes for which there was no room (count).
    """

    def __init__(self, restored: Iterable[Alert] = (), *, now_ns: int = 0) -> None:
        """Go on with the alerts of an earlier run.

        Args:
            restored: Pending and firing ones; resolved ones are shown.
            now_ns: The present (nanoseconds since the Unix epoch).
        """
        self.refused = 0
        self._alerts: dict[str, Alert] = {}
        self._resolved: OrderedDict[str, Alert] = OrderedDict()
        self._restored: set[str] = set()
        self._started_ns = now_ns
        for alert in restored:
            self._put(_not_later(alert, now_ns))
        self._restored = set(self._alerts)

    def all(self) -> tuple[Alert, ...]:
        """Return the alerts: first those that fire, then pending ones, then those resolved, newest first in each."""
        open_alerts = sorted(self._alerts.values(), key=lambda each: (each.state.value, -each.since_ns))
        return (*open_alerts, *reversed(self._resolved.values()))

    def firing(self) -> tuple[Alert, ...]:
        """Return the alerts that fire."""
        return tuple(each for each in self._alerts.values() if each.state is AlertState.FIRING)

    def apply(self, rule: Rule, facts: Facts, *, now_ns: int) -> tuple[Alert, ...]:
        """Let a rule look; return the alerts that began to fire or were resolved."""
        readings: dict[str, Reading] = {}
        for reading in rule.readings(facts, now_ns=now_ns):
            readings.setdefault(fingerprint(rule.terms.name, reading), reading)
        mine = [key for key, alert in self._alerts.items() if alert.terms.name == rule.terms.name]
        is_blind = now_ns - self._started_ns < rule.blind_ns
        changed = []
        for key in dict.fromkeys([*mine, *readings]):
            before, now_seen = self._alerts.get(key), readings.get(key)
            if now_seen is None and is_blind and key in self._restored:
                continue
            self._restored.discard(key)
            after = self._after(before, now_seen, rule, now_ns)
            self._alerts.pop(key, None)
            if after is not None:
                self._put(after)
                if after.state is not AlertState.PENDING and (before is None or before.state is not after.state):
                    changed.append(after)
        return tuple(changed)

    def ended(self, trace_id: str) -> None:
        """Note that an execution is over: what it was about need not be waited for after a restart."""
        self._restored = {key for key in self._restored if self._alerts[key].reading.trace_id != trace_id}

    def drop_rules_except(self, names: Iterable[str], *, now_ns: int) -> tuple[Alert, ...]:
        """Resolve the alerts of rules that are configured no more; return those that fired."""
        known, changed = set(names), []
        for key, alert in list(self._alerts.items()):
            if alert.terms.name not in known:
                del self._alerts[key]
                self._restored.discard(key)
                if alert.state is AlertState.FIRING:
                    changed.append(replace(alert, state=AlertState.RESOLVED, resolved_ns=now_ns))
                    self._put(changed[-1])
        return tuple(changed)

    def _after(self, before: Alert | None, reading: Reading | None, rule: Rule, now_ns: int) -> Alert | None:
        after = advance(before, reading, rule.terms, now_ns=now_ns)
        if before is None and after is not None and len(self._alerts) >= MAX_ALERTS:
            self.refused += 1
            return None
        return after

    def _put(self, alert: Alert) -> None:
        key = alert.fingerprint
        if alert.state is not AlertState.RESOLVED:
            self._alerts[key] = alert
            self._resolved.pop(key, None)
            return
        self._resolved[key] = alert
        self._resolved.move_to_end(key)
        while len(self._resolved) > _MAX_RESOLVED:
            self._resolved.popitem(last=False)


def _not_later(alert: Alert, now_ns: int) -> Alert:
    """Move moments that the clock has not reached to now: it was set back while nobody looked."""
    if max(alert.since_ns, alert.held_ns) <= now_ns:
        return alert
    return replace(alert, since_ns=min(alert.since_ns, now_ns), held_ns=min(alert.held_ns, now_ns))
