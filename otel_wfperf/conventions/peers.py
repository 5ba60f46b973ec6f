"""Which service a call went to, what of it was called, and what it answered.

Source: OpenTelemetry semantic conventions 1.41 (stable names) and 1.20 (names before); checked with
opentelemetry-instrumentation-{httpx,requests,aiohttp-client,urllib3,grpc} 0.66b1 in both spellings.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from otel_wfperf.conventions.attributes import count, text, value_of
from otel_wfperf.model import Attributes, Span

HTTP_METHOD: Final = ("http.request.method", "http.method")
_DEFAULT_PORTS: Final = (80, 443)
_HTTP_STATUS: Final = ("http.response.status_code", "http.status_code")
_RPC_STATUS: Final = ("rpc.response.status_code", "rpc.grpc.status_code")
# Header names are part of attribute names; OpenTelemetry Python replaces the dash.
_RETRY_AFTER: Final = ("http.response.header.retry-after", "http.response.header.retry_after")
_RETRY_AFTER_MS: Final = ("http.response.header.retry-after-ms", "http.response.header.retry_after_ms")
# Chosen: what asks for more than a day is no answer to a retry.
_MAX_RETRY_AFTER_S: Final = 86_400.0
# Source: google.rpc.Code, with the HTTP mapping that its proto file gives; by the order of the codes.
_HTTP_OF_RPC: Final[Mapping[str, int]] = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_HTTP_DIGITS: Final = 3
_BY_NUMBER: Final = tuple(_HTTP_OF_RPC.values())


class Address(NamedTuple):
    """A host, and a port unless it is the usual one."""

    host: str
    port: int | None

    def __str__(self) -> str:
        """Write it as in a URL."""
        return self.host if self.port is None or self.port in _DEFAULT_PORTS else f"{self.host}:{self.port}"


def address(attributes: Attributes) -> Address:
    """Return where a call went; an empty host when that is not known."""
    host = text(attributes, "server.address", "net.peer.name", "http.host", "net.host.name")
    port = count(attributes, "server.port", "net.peer.port")
    if host is None:
        url = text(attributes, "url.full", "http.url") or ""
        host, port = _authority(url)
        if not host:
            host = text(attributes, "network.peer.address", "net.peer.ip", "http.remote") or ""
            port = count(attributes, "network.peer.port", "net.peer.port")
    return Address(host, port)


def request_route(attributes: Attributes) -> str | None:
    """Return the template of what was requested; None when only the path itself is known."""
    return text(attributes, "http.route", "url.template")


def status_code(attributes: Attributes) -> int | None:
    """Return the status that was answered, as HTTP spells it; the codes of gRPC are mapped."""
    status = count(attributes, *_HTTP_STATUS)
    if status is not None:
        return status
    # Of the databases, those that are spoken to over HTTP; others answer with codes of their own.
    database = text(attributes, "db.response.status_code") or ""
    if len(database) == _HTTP_DIGITS and database.isdecimal():
        return int(database)
    number = count(attributes, *_RPC_STATUS)
    name = text(attributes, *_RPC_STATUS)
    if number is None and name is not None and name.isdecimal():
        number = int(name)
    if number is not None:
        return _BY_NUMBER[number] if number < len(_BY_NUMBER) else None
    return None if name is None else _HTTP_OF_RPC.get(name.upper())


def retry_after_s(span: Span) -> float | None:
    """Return how long the service asked to wait (seconds): a number, or the time until a date."""
    attributes = span.attributes
    # Source: the milliseconds that OpenAI and Azure answer beside the standard header.
    exact_ms = _seconds(_header(attributes, *_RETRY_AFTER_MS))
    asked_s = exact_ms / 1000 if exact_ms is not None else None
    if asked_s is None and (header := _header(attributes, *_RETRY_AFTER)) is not None:
        asked_s = _seconds(header)
        if asked_s is None and span.end_ns:
            asked_s = _until(header, span.end_ns)
    return asked_s if asked_s is not None and 0 <= asked_s <= _MAX_RETRY_AFTER_S else None


def _authority(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a bracket that is not closed, a port that is no number
        return "", None
    return parts.hostname or "", port


def _header(attributes: Attributes, *names: str) -> str | None:
    """Return a captured header: an array by the conventions, one string or number by hand."""
    number = count(attributes, *names)
    if number is not None:
        return str(number)
    value = value_of(attributes, *names)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else float(header.strip())
    except ValueError:
        return None


def _until(date: str, end_ns: int) -> float | None:
    """Return the time from the answer to a date as HTTP writes it (seconds)."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(end_ns // 1_000_000_000, UTC)).total_seconds())
