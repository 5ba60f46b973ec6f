"""Traces in protobuf -> spans, from the bytes themselves: the same spans as the official decoder gives.

Compiled (see ``pyproject.toml``) this takes a third of the time; interpreted it takes longer, and is not used.
Everything is decoded before anything is handed out, so that of a request with a fault nothing is taken.

Source: opentelemetry-proto, trace_service.proto, trace.proto, common.proto and resource.proto.
"""

from collections import Counter
from typing import Final

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Span, SpanKind, StatusCode
from otel_wfperf.otlp.batch import TraceBatch
from otel_wfperf.otlp.wire import Reader

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_KINDS: Final[dict[int, SpanKind]] = {int(kind): kind for kind in SpanKind}
_CODES: Final[dict[int, StatusCode]] = {int(code): code for code in StatusCode}
_UINT32: Final = 0xFFFF_FFFF


def decode_traces(data: bytes) -> TraceBatch:
    """Decode an ExportTraceServiceRequest; raise DecodeError unless all of it can be decoded.

    Spans with unusable ids are left out and counted.
    """
    reader = _Traces(data)
    try:
        reader.request()
    except ValueError as error:
        raise DecodeError(
            f"{len(data)} bytes are not a protobuf ExportTraceServiceRequest: {error}; "
            "check that the content type (protobuf or JSON), the compression and the path fit the payload"
        ) from error
    return TraceBatch(spans=tuple(reader.spans), rejected=dict(reader.rejected))


class _Traces(Reader):
    """Reads one request."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.spans: list[Span] = []
        self.rejected: Counter[str] = Counter()
        self.ids: dict[bytes, str] = {}

    def request(self) -> None:
        """Read the whole request."""
        end = len(self.data)
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                self.resource_spans(self.inner_end(end))
            else:
                self.skip(tag, end, 0)

    def resource_spans(self, end: int) -> None:
        """Read the spans of one resource, which may stand behind them."""
        resource: dict[str, AttributeValue] = {}
        scopes: list[tuple[int, int]] = []
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                self.resource(resource, self.inner_end(end))
            elif tag == 18:
                inner_end = self.inner_end(end)
                scopes.append((self.at, inner_end))
                self.at = inner_end
            elif tag == 26:
                self.text(end)
            else:
                self.skip(tag, end, 1)
        for start, scope_end in scopes:
            self.at = start
            self.scope_spans(resource, scope_end)
        self.at = end

    def resource(self, resource: dict[str, AttributeValue], end: int) -> None:
        """Read a resource, or one more piece of it."""
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                self.attribute(resource, self.inner_end(end), 3)
            elif tag == 26:
                self.entity(self.inner_end(end))
            else:
                self.skip(tag, end, 2)

    def entity(self, end: int) -> None:
        """Check a reference to an entity, which is of texts."""
        while self.at < end:
            tag = self.tag(end)
            if tag in (10, 18, 26, 34):
                self.text(end)
            else:
                self.skip(tag, end, 3)

    def scope_spans(self, resource: Attributes, end: int) -> None:
        """Read the spans of one scope, which may stand behind them."""
        name, version = "", ""
        starts: list[tuple[int, int]] = []
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                name, version = self.scope(name, version, self.inner_end(end))
            elif tag == 18:
                inner_end = self.inner_end(end)
                starts.append((self.at, inner_end))
                self.at = inner_end
            elif tag == 26:
                self.text(end)
            else:
                self.skip(tag, end, 2)
        for start, span_end in starts:
            self.at = start
            self.span(resource, name, version, span_end)
        self.at = end

    def scope(self, name: str, version: str, end: int) -> tuple[str, str]:
        """Read a scope, or one more piece of it."""
        ignored: dict[str, AttributeValue] = {}
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                name = self.text(end)
            elif tag == 18:
                version = self.text(end)
            elif tag == 26:
                self.attribute(ignored, self.inner_end(end), 4)
            else:
                self.skip(tag, end, 3)
        return name, version

    def span(self, resource: Attributes, scope: str, scope_version: str, end: int) -> None:  # noqa: C901, PLR0912, PLR0915 - one branch a field
        """Read one span."""
        trace_id, span_id, parent = b"", b"", b""
        name, trace_state, message = "", "", ""
        kind, code, flags, start_ns, end_ns = 0, 0, 0, 0, 0
        dropped_attributes, dropped_events, dropped_links, all_links = 0, 0, 0, 0
        attributes: dict[str, AttributeValue] = {}
        events: list[Event] = []
        links: list[Link] = []
        while self.at < end:
            tag = self.tag(end)
            if tag == 74:
                self.attribute(attributes, self.inner_end(end), 4)
            elif tag == 10:
                trace_id = self.bytes_of(end)
            elif tag == 18:
                span_id = self.bytes_of(end)
            elif tag == 34:
                parent = self.bytes_of(end)
            elif tag == 42:
                name = self.text(end)
            elif tag == 48:
                kind = self.varint(end) & _UINT32
            elif tag == 57:
                start_ns = self.fixed64(end)
            elif tag == 65:
                end_ns = self.fixed64(end)
            elif tag == 122:
                message, code = self.status(message, code, self.inner_end(end))
            elif tag == 90:
                events.append(self.event(self.inner_end(end)))
            elif tag == 106:
                all_links += 1
                link = self.link(self.inner_end(end))
                if link is not None:
                    links.append(link)
            elif tag == 133:
                flags = self.fixed32(end)
            elif tag == 26:
                trace_state = self.text(end)
            elif tag == 80:
                dropped_attributes = self.varint(end) & _UINT32
            elif tag == 96:
                dropped_events = self.varint(end) & _UINT32
            elif tag == 112:
                dropped_links = self.varint(end) & _UINT32
            else:
                self.skip(tag, end, 3)
        reason = _unusable_id(trace_id, span_id, parent)
        if reason is not None:
            self.rejected[reason] += 1
            return
        self.spans.append(
            Span(
                trace_id=self.id_of(trace_id),
                span_id=span_id.hex(),
                parent_id=None if not parent or parent == _NO_SPAN else self.id_of(parent),
                name=name,
                kind=_KINDS.get(kind, SpanKind.UNSPECIFIED),
                start_ns=start_ns,
                end_ns=end_ns,
                attributes=attributes,
                status=_CODES.get(code, StatusCode.UNSET),
                status_message=message,
                events=tuple(events),
                links=tuple(links),
                scope=scope,
                scope_version=scope_version,
                resource=resource,
                trace_state=trace_state,
                flags=flags,
                dropped=dropped_attributes + dropped_events + dropped_links + all_links - len(links),
            )
        )

    def status(self, message: str, code: int, end: int) -> tuple[str, int]:
        """Read a status, or one more piece of it."""
        while self.at < end:
            tag = self.tag(end)
            if tag == 18:
                message = self.text(end)
            elif tag == 24:
                code = self.varint(end) & _UINT32
            else:
                self.skip(tag, end, 4)
        return message, code

    def event(self, end: int) -> Event:
        """Read one event."""
        name, time_ns = "", 0
        attributes: dict[str, AttributeValue] = {}
        while self.at < end:
            tag = self.tag(end)
            if tag == 9:
                time_ns = self.fixed64(end)
            elif tag == 18:
                name = self.text(end)
            elif tag == 26:
                self.attribute(attributes, self.inner_end(end), 5)
            else:
                self.skip(tag, end, 4)
        return Event(name=name, time_ns=time_ns, attributes=attributes)

    def link(self, end: int) -> Link | None:
        """Read one link; None when it points nowhere."""
        trace_id, span_id = b"", b""
        attributes: dict[str, AttributeValue] = {}
        while self.at < end:
            tag = self.tag(end)
            if tag == 10:
                trace_id = self.bytes_of(end)
            elif tag == 18:
                span_id = self.bytes_of(end)
            elif tag == 26:
                self.text(end)
            elif tag == 34:
                self.attribute(attributes, self.inner_end(end), 5)
            else:
                self.skip(tag, end, 4)
        if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
            return None
        return Link(trace_id=trace_id.hex(), span_id=span_id.hex(), attributes=attributes)

    def id_of(self, raw: bytes) -> str:
        """Return an id in hex; most come again."""
        known = self.ids.get(raw)
        if known is None:
            known = self.ids[raw] = raw.hex()
        return known


def _unusable_id(trace_id: bytes, span_id: bytes, parent: bytes) -> str | None:
    """Name what is wrong with the ids. Source: opentelemetry-proto trace.proto, Span.trace_id and Span.span_id."""
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "invalid_trace_id"
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return "invalid_span_id"
    if len(parent) not in (0, 8):
        return "invalid_parent_span_id"
    return None
