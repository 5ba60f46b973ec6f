"""What a notifier is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.config import NotifierConfig
from otel_wfperf.errors import WfperfError


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message.

    Attributes:
        alerts: What it is about, each firing or resolved.
        links: Pages that show more, by fingerprint.
        group: Labels that its alerts have in common.
        sent_ns: When it is sent (nanoseconds since the Unix epoch).
    """

    alerts: tuple[Alert, ...]
    links: Mapping[str, str]
    group: Mapping[str, str] = field(default_factory=dict)
    sent_ns: int

    def of(self, state: AlertState) -> tuple[Alert, ...]:
        """Return the alerts in a state."""
        return tuple(each for each in self.alerts if each.state is state)


class NotSentError(WfperfError):
    """A message was not taken.

    Attributes:
        reason: Short name to count it under, such as ``http_503``.
        is_final: True when it makes no sense to try again.
        after_s: How long to wait at least (seconds).
    """

    def __init__(self, reason: str, *, is_final: bool = False, after_s: float = 0.0) -> None:
        """Say why, and whether to try again."""
        self.reason = reason
        self.is_final = is_final
        self.after_s = after_s
        super().__init__(reason)


class Notifier(Protocol):
    """Tells somebody.

    Attributes:
        takes_all: All alerts go into one message, whatever they have in common: the other side groups them.
    """

    takes_all: ClassVar[bool]

    @property
    def config(self) -> NotifierConfig:
        """Name, least severity, rate."""

    async def send(self, notice: Notice) -> None:
        """Try once to tell; raise NotSentError when that failed."""

    async def close(self) -> None:
        """Close the connections."""
