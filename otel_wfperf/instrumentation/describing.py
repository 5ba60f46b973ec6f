"""Attributes that are found out later than they are noted, by whoever reads the span first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.trace import Span


def describe(span: Span, make: Callable[[], Mapping[str, Any]]) -> None:
    """Add attributes to a span: one of ours finds them out later, in a thread of its own; the SDK's needs them now.

    Args:
        span: It has not ended.
        make: Finds them out from what nobody changes any more.
    """
    later = getattr(span, "describe_later", None)
    if later is not None:
        later(make)
    else:
        span.set_attributes(make())
