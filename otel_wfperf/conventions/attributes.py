"""Reading attributes of the type that is expected; anything else counts as absent."""

import math
from collections.abc import Mapping

from otel_wfperf.analysis.fragments import unpacked
from otel_wfperf.model import Attributes


def text(attributes: Attributes, *names: str) -> str | None:
    """Return the first of some attributes that is a string with something in it."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def count(attributes: Attributes, *names: str) -> int | None:
    """Return the first of some attributes that is a whole number of at least 0."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, bool):
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and value >= 0:
            return value
    return None


def number(attributes: Attributes, *names: str) -> float | None:
    """Return the first of some attributes that is a finite number."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            return float(value)
    return None


def texts(attributes: Attributes, name: str) -> tuple[str, ...] | None:
    """Return an attribute that is an array of strings."""
    value = attributes.get(name)
    if not isinstance(value, tuple):
        return None
    found = tuple(each for each in value if isinstance(each, str))
    return found if len(found) == len(value) else None


def fragments(attributes: Attributes, name: str) -> frozenset[int]:
    """Return an attribute that holds packed fragments; empty when it does not."""
    value = attributes.get(name)
    return unpacked(value) if isinstance(value, str) else frozenset()


def value_of(attributes: Attributes, *names: str) -> object:
    """Return the first of some attributes that holds content: text, an array or a map."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str | tuple | Mapping) and value:
            return value
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False
