"""HTTP, database, messaging and RPC spans: no work of agents, but names that say what was called.

Source: OpenTelemetry semantic conventions 1.41 (stable names) and 1.20 (names before); checked with
opentelemetry-instrumentation-{httpx,requests,fastapi,sqlite3} 0.66b1 in both spellings. Names are of low cardinality
and hold no query text: of a statement only the verb and the table are read.
"""

import re
from typing import ClassVar, Final

from otel_wfperf.conventions.attributes import text
from otel_wfperf.conventions.connections import is_part_of_call
from otel_wfperf.conventions.fields import span_fields
from otel_wfperf.conventions.peers import HTTP_METHOD, address, request_route, retry_after_s, status_code
from otel_wfperf.model import Attributes, Operation, OperationKind, Span, SpanKind

_DATABASE: Final = ("db.system.name", "db.system")
_MESSAGING: Final = "messaging.system"
_RPC: Final = ("rpc.system.name", "rpc.system")
_PARTS_OF_REQUESTS: Final = "asgi.event.type"
_KNOWN: Final = frozenset({*HTTP_METHOD, *_DATABASE, _MESSAGING, *_RPC, _PARTS_OF_REQUESTS})
_MAX_STATEMENT_CHARS: Final = 2000
_VERB: Final = re.compile(r"\s*([A-Za-z]+)")
_TABLE: Final = re.compile(
    r"\b(?:from|into|update|join|table(?:\s+if\s+(?:not\s+)?exists)?)\s+[\"`\[]?([\w.$]+)", re.IGNORECASE
)
_MAX_NAME_CHARS: Final = 200
_SERVING: Final = (SpanKind.SERVER, SpanKind.CONSUMER)


class Leaves:
    """Calls of services, as OpenTelemetry's general conventions name them."""

    name: ClassVar[str] = "leaves"

    def recognises(self, span: Span) -> bool:
        """Tell whether the span calls or serves something by a known protocol."""
        return not _KNOWN.isdisjoint(span.attributes) or is_part_of_call(span)

    def operation(self, span: Span) -> Operation:
        """Name what was called, where, and what it answered."""
        name = _name(span.attributes, span) or span.name
        route = _route(span.attributes)
        return Operation(
            **span_fields(span),
            kind=OperationKind.OTHER,
            name=name[:_MAX_NAME_CHARS],
            dialect=self.name,
            outside=True,
            peer=None if span.kind in _SERVING else str(address(span.attributes)) or None,
            route=route[:_MAX_NAME_CHARS] if route else None,
            status_code=status_code(span.attributes),
            retry_after_s=retry_after_s(span),
        )


def _name(attributes: Attributes, span: Span) -> str | None:
    # An instrumentation of a database or an RPC may add attributes of the HTTP request that it makes.
    if (system := text(attributes, *_DATABASE)) is not None:
        return _database(attributes, system)
    if (system := text(attributes, _MESSAGING)) is not None:
        return _messaging(attributes, system)
    if text(attributes, *_RPC) is not None:
        return _rpc(attributes)
    if (method := text(attributes, *HTTP_METHOD)) is not None:
        return _request(attributes, method, is_server=span.kind is SpanKind.SERVER)
    return None


def _route(attributes: Attributes) -> str | None:
    """Return what was called of a service, without its address: method and template, verb and table."""
    if text(attributes, *_DATABASE) is not None:
        return _database(attributes, "")
    if text(attributes, _MESSAGING) is not None:
        return _messaging(attributes, "")
    if text(attributes, *_RPC) is not None:
        return _rpc(attributes)
    method = text(attributes, *HTTP_METHOD)
    return None if method is None else f"{method} {request_route(attributes) or ''}".rstrip()


def _request(attributes: Attributes, method: str, *, is_server: bool) -> str | None:
    route = request_route(attributes) or ""
    if is_server:
        return f"{method} {route}" if route else None
    return f"{method} {address(attributes)}{route}".rstrip()


def _database(attributes: Attributes, system: str) -> str:
    summary = text(attributes, "db.query.summary")
    if summary is not None:
        return f"{system} {summary}".lstrip()
    statement = (text(attributes, "db.query.text", "db.statement") or "")[:_MAX_STATEMENT_CHARS]
    verb = _VERB.match(statement)
    operation = text(attributes, "db.operation.name", "db.operation") or (verb[1] if verb else None)
    table = text(attributes, "db.collection.name", "db.sql.table", "db.mongodb.collection", "db.cassandra.table")
    if table is None and operation is not None and (found := _TABLE.search(statement)):
        table = found[1]
    named = [system, operation.upper() if operation else None, table]
    if operation is None and table is None:
        named.append(text(attributes, "db.namespace", "db.name"))
    return " ".join(each for each in named if each)


def _messaging(attributes: Attributes, system: str) -> str:
    operation = text(
        attributes, "messaging.operation.name", "messaging.operation.type", "messaging.operation", "messaging.kind"
    )
    destination = text(
        attributes, "messaging.destination.template", "messaging.destination.name", "messaging.destination"
    )
    return " ".join(each for each in (system, operation, destination) if each)


def _rpc(attributes: Attributes) -> str | None:
    method, service = text(attributes, "rpc.method"), text(attributes, "rpc.service")
    if method is None or service is None or "/" in method:
        return method or service
    return f"{service}/{method}"
