"""Typed access to JSON that follows no schema: Jaeger's and Zipkin's. Each refusal names the field."""

import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from otel_wfperf.model import AttributeValue
from otel_wfperf.otlp.batch import InvalidFieldError

Object: TypeAlias = Mapping[str, Any]

NS_PER_US: Final = 1_000
# Half of what fixed64 holds, so that a start and a duration can be added.
MAX_NS: Final = 2**63 - 1
MAX_INT64: Final = 2**63 - 1
HEX: Final = re.compile(r"[0-9a-fA-F]+")
CAMEL_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def as_object(value: object) -> Object:
    """Return the value when it is an object."""
    if isinstance(value, dict):
        return value
    raise refusal("span", value, "an object is needed")


def text(source: Object, key: str) -> str:
    """Read a string; "" when the key is absent."""
    value = source.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return encodable(value)
    raise refusal(key, value, "a string is needed")


def objects(source: Object, key: str) -> list[Object]:
    """Read a list of objects; empty when the key is absent."""
    value = source.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise refusal(key, value, "a list of objects is needed")


def mapping(source: Object, key: str) -> Object:
    """Read an object; empty when the key is absent."""
    value = source.get(key)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise refusal(key, value, "an object is needed")


def identifier(source: Object, key: str, *, digits: int) -> str:
    """Read a hex id, padded on the left to ``digits``: both systems leave leading zeros out."""
    value = source.get(key)
    if isinstance(value, str) and len(value) <= digits and HEX.fullmatch(value):
        padded = value.lower().zfill(digits)
        if padded.strip("0"):
            return padded
    raise refusal(key, value, f"an id of up to {digits} hex digits, not all zero, is needed")


def microseconds(source: Object, key: str) -> int | None:
    """Read a time or duration in microseconds and return nanoseconds; None when the key is absent."""
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_NS // NS_PER_US:
        return value * NS_PER_US if isinstance(value, int) else round(value * NS_PER_US)
    raise refusal(key, value, "microseconds are needed")


def attribute_value(value: object) -> AttributeValue:
    """Turn any JSON value into an attribute value; what OTLP has no number or shape for becomes text."""
    if isinstance(value, str):
        return encodable(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -MAX_INT64 <= value <= MAX_INT64 else str(value)
    try:
        return json.dumps(value)
    except RecursionError as error:
        raise refusal("value", value, "it is nested too deeply") from error


def encodable(value: str) -> str:
    r"""Replace halves of surrogate pairs, which JSON can spell (``\ud800``) and UTF-8 cannot."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def refusal(key: str, value: object, need: str) -> InvalidFieldError:
    """Build the error for a field; its reason is the key in snake case."""
    reason = f"invalid_{CAMEL_HUMP.sub('_', key).lower()}"
    return InvalidFieldError(reason, f"{key}: {reprlib.repr(value)} is wrong: {need}")
