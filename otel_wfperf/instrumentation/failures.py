"""Our own failures: swallowed, counted, and logged once each.

The user's program must run the same with and without us, so nothing here raises.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("otel_wfperf")
_counts: Counter[str] = Counter()


def count_failure(where: str) -> None:
    """Count the exception being handled; log it the first time that this place fails.

    Args:
        where: Name of the place, such as ``langgraph.on_chain_start``.
    """
    _counts[where] += 1
    if _counts[where] == 1:
        _logger.warning(
            "otel-wfperf: %s failed; the program goes on unmeasured there, and further failures of it are only counted"
            "%s",
            where,
            _described(sys.exception()),
        )


def _described(error: BaseException | None) -> str:
    """Say what went wrong and where, without the message: it may quote what a prompt says."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    places = (f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"; {type(error).__qualname__} at{''.join(places)}"


def failure_counts() -> Mapping[str, int]:
    """List how often each place failed since the process started (count)."""
    return dict(_counts)


@contextmanager
def failures_counted(where: str) -> Iterator[None]:
    """Swallow and count what a block raises."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever goes wrong in here is ours, never the user's
        count_failure(where)


def never_raises(where: str) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
    """Make a function return None where it would have raised."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - as above
                count_failure(where)
                return None

        return guarded

    return decorate
