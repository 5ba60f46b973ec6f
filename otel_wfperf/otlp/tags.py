"""What OpenTelemetry exporters write into tags where a format has no field for it, read back.

Sources: OpenTelemetry specification, common/mapping-to-non-otlp.md (scope, status, dropped counts) and
trace/sdk_exporters/jaeger.md and zipkin.md (kind, error, trace state).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_wfperf.model import Attributes, AttributeValue, SpanKind, StatusCode

KINDS: Final[Mapping[str, SpanKind]] = {
    kind.name.lower(): kind for kind in SpanKind if kind is not SpanKind.UNSPECIFIED
}
DROPPED: Final = tuple(f"otel.dropped_{what}_count" for what in ("attributes", "events", "links"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedFields:
    """Fields of a span that were found in its tags, and the tags that remain.

    Attributes:
        dropped: Attributes, events and links that the SDK dropped (count).
    """

    attributes: Attributes
    kind: SpanKind
    status: StatusCode
    status_message: str
    scope: str
    scope_version: str
    trace_state: str
    dropped: int


def take_fields(tags: Mapping[str, AttributeValue]) -> TaggedFields:
    """Split tags into fields and attributes."""
    rest = dict(tags)
    status, status_message = _take_status(rest)
    # The name of the library was the older spelling of the scope.
    library, library_version = _take_text(rest, "otel.library.name"), _take_text(rest, "otel.library.version")
    # Says which protocol brought the span to Jaeger, which nobody needs here.
    rest.pop("internal.span.format", None)
    return TaggedFields(
        kind=KINDS.get(_take_text(rest, "span.kind").lower(), SpanKind.UNSPECIFIED),
        status=status,
        status_message=status_message,
        scope=_take_text(rest, "otel.scope.name") or library,
        scope_version=_take_text(rest, "otel.scope.version") or library_version,
        trace_state=_take_text(rest, "w3c.tracestate"),
        dropped=sum(_take_count(rest, key) for key in DROPPED),
        attributes=rest,
    )


def _take_text(tags: dict[str, AttributeValue], key: str) -> str:
    value = tags.pop(key, None)
    return value if isinstance(value, str) else ""


def _take_count(tags: dict[str, AttributeValue], key: str) -> int:
    """Read a count, which is text in Zipkin."""
    value = tags.pop(key, None)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and value > 0 else 0


def _take_status(tags: dict[str, AttributeValue]) -> tuple[StatusCode, str]:
    """Prefer the explicit status; else ``error`` decides, and its text is the message unless that is "true"."""
    code, message = _take_text(tags, "otel.status_code").upper(), _take_text(tags, "otel.status_description")
    failed, error = "error" in tags, tags.pop("error", None)
    if error in (None, False, "false"):
        failed = False
    elif isinstance(error, str) and error != "true":
        message = message or error
    if code in {"OK", "ERROR"}:
        return StatusCode[code], message if code == "ERROR" else ""
    return (StatusCode.ERROR, message) if failed else (StatusCode.UNSET, "")
