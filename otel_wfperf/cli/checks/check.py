"""The result of one check."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """``WARN``: works, but not as one would expect. ``FAIL``: something that is needed does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do.

    Attributes:
        next_step: One imperative sentence; empty when there is nothing to do.
    """

    subject: str
    health: Health
    detail: str
    next_step: str = ""
