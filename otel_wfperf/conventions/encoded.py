"""Attributes whose values are JSON text: emitters encode what OpenTelemetry has no type for, or everything."""

import json
from collections.abc import Mapping

from otel_wfperf.conventions.attributes import count, text
from otel_wfperf.conventions.messages import MAX_PARSED_CHARS, parsed
from otel_wfperf.model import Attributes


def json_map(attributes: Attributes, *names: str) -> Attributes:
    """Return the first of some attributes that is a JSON object; an empty map when none is."""
    for name in names:
        value = parsed(attributes.get(name))
        if isinstance(value, Mapping):
            return value
    return {}


def encoded_text(attributes: Attributes, *names: str) -> str | None:
    """Return the first of some attributes that is a string, with or without the quotes of JSON round it."""
    for name in names:
        value = text(attributes, name)
        if value is not None and value[0] == '"':
            decoded = _decoded(value)
            value = decoded if isinstance(decoded, str) else value
        if value:
            return value
    return None


def encoded_count(attributes: Attributes, *names: str) -> int | None:
    """Return the first of some attributes that is a whole number of at least 0, as a number or as its digits."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 16:
            return int(value)
    return count(attributes, *names)


def _decoded(value: str) -> object:
    if len(value) > MAX_PARSED_CHARS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
