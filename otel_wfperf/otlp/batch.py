"""What a decoder gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import Span


class InvalidFieldError(DecodeError):
    """A field holds what it cannot hold; in a file only the span around it is lost.

    Attributes:
        reason: Short name to count the span under, such as ``invalid_kind``.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Remember the reason beside the message."""
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBatch:
    """The spans of one request or document.

    Attributes:
        spans: The usable ones, in the order in which they came.
        rejected: Spans left out, by reason (count).
    """

    spans: tuple[Span, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)
