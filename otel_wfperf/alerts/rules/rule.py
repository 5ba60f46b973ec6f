"""What a rule is."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Protocol

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts


class Rule(Protocol):
    """Looks at the facts and says what it sees of each subject; it remembers nothing."""

    @property
    def terms(self) -> Terms:
        """Name, severity, delays."""

    @property
    def blind_ns(self) -> int:
        """How long after a start facts of before are missing: what fired is not resolved for want of them (ns)."""

    @property
    def every_ns(self) -> int:
        """How often to look (nanoseconds)."""

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """Return what is seen, whether or not it passes the threshold."""

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:
        """Return the next moment at which something passes the threshold by waiting alone; None = nothing does."""

    def described(self) -> str:
        """Say in one line when it fires."""


def matches(name: str | None, patterns: Iterable[str]) -> bool:
    """Tell whether a name fits a pattern with ``*`` and ``?``; an unknown name fits ``*`` only."""
    return any(fnmatchcase(name or "", pattern) for pattern in patterns)
