"""Silences: who does not want to be told of what, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from otel_wfperf.alerts.alert import Alert

# Chosen: far more than anybody writes.
_MAX_CHARACTERS: Final = 1_000
OPERATORS: Final = ("=", "!=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """A condition on one label. Source: Prometheus Alertmanager, matchers.

    Patterns instead of its regular expressions: as in the rules, and none takes for ever to compare.

    Attributes:
        label: Its name: alertname, severity, workflow or subject; one that an alert lacks is empty.
        operator: ``=`` or ``!=``.
        value: What to compare with; ``*`` stands for anything, ``?`` for one character.
    """

    label: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        """Refuse what cannot be compared with."""
        if self.operator not in OPERATORS:
            raise ValueError(f"operator: {self.operator!r}: is not one of {', '.join(OPERATORS)}")
        if len(self.label) + len(self.value) > _MAX_CHARACTERS:
            raise ValueError(f"matcher: is longer than {_MAX_CHARACTERS} characters; write a shorter one")

    def holds(self, alert: Alert) -> bool:
        """Tell whether an alert fulfils it."""
        return fnmatchcase(alert.labels.get(self.label, ""), self.value) == (self.operator == "=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody is told of alerts that fulfil all matchers between two moments (nanoseconds since the Unix epoch).

    Attributes:
        silence_id: Its name.
        comment: Why.
        created_by: Who wants it; empty = not said.
    """

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_ns: int
    ends_ns: int
    comment: str
    created_by: str = ""

    def __post_init__(self) -> None:
        """Refuse one that never applies, and one that applies to everything by mistake."""
        if not self.matchers:
            raise ValueError("matchers: is empty; name what to silence, such as alertname=execution_time")
        if self.ends_ns <= self.starts_ns:
            raise ValueError("ends_at: is not later than starts_at; choose a later moment")
        if not self.comment.strip():
            raise ValueError("comment: is empty; say why, for those who find it")

    def applies(self, alert: Alert, *, now_ns: int) -> bool:
        """Tell whether nobody is to be told of an alert now."""
        return self.starts_ns <= now_ns < self.ends_ns and all(each.holds(alert) for each in self.matchers)


def silenced_by(alert: Alert, silences: Iterable[Silence], *, now_ns: int) -> tuple[str, ...]:
    """Return the ids of the silences that apply to an alert now."""
    return tuple(each.silence_id for each in silences if each.applies(alert, now_ns=now_ns))
