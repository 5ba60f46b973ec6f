"""Cut spans to a size that analysis can afford.

What a sender wrote is kept and forwarded as it came; only what is analysed is cut. Lengths are counted as
OpenTelemetry's SDKs do. Source: OpenTelemetry specification, "Attribute Limits" and "Span Limits".
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from typing import Final

from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Operation, Span

#: Latest moment that is analysed (nanoseconds since the Unix epoch): the year 2262; no database holds more.
MAX_UNIX_NS: Final = 2**63 - 1
_NAMES: Final = (
    *("name", "span_name", "workflow", "agent", "handoff_from", "parallel_group"),
    *("conversation", "service", "service_version", "host", "peer", "route", "error"),
)
_names_of: Final = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLimits:
    """How large a span may be; the reasons of the defaults stand at ``sidecar.limits``.

    Attributes:
        attribute_count: Attributes of a span, an event or a link, and entries of a list or mapping (count).
        event_count: Events of a span (count).
        link_count: Links of a span (count).
        value_length: Characters or bytes of one value (count).
        value_depth: Lists and mappings within one another (count).
        name_length: Characters of a name or key (count).
    """

    attribute_count: int = 1_000
    event_count: int = 1_000
    link_count: int = 1_000
    value_length: int = 1024**2
    value_depth: int = 32
    name_length: int = 1_024

    @classmethod
    def names(cls) -> set[str]:
        """List the limits."""
        return {field.name for field in fields(cls)}

    def cut_span(self, span: Span, dropped: Counter[str]) -> Span:
        """Return the span without what is over the limits, which is counted by reason; usually the span itself."""
        if (
            len(span.name) <= self.name_length
            and len(span.events) <= self.event_count
            and len(span.links) <= self.link_count
            and self._fit(span.attributes)
            and self._fit(span.resource)
            and (not span.events or self._events_fit(span.events))
            and (not span.links or all(self._fit(link.attributes) for link in span.links))
        ):
            return span
        return replace(
            span,
            name=self._name(span.name, dropped),
            attributes=self._attributes(span.attributes, dropped),
            resource=self._attributes(span.resource, dropped),
            events=self._events(span.events, dropped),
            links=self._links(span.links, dropped),
        )

    def cut_names(self, operation: Operation, dropped: Counter[str]) -> Operation:
        """Return the operation with names of bounded length: they become rows, links and lines of a page."""
        limit = self.name_length
        for value in _names_of(operation):
            if value is not None and len(value) > limit:
                break
        else:
            return operation
        names = zip(_NAMES, _names_of(operation), strict=True)
        too_long = {field: value[:limit] for field, value in names if value is not None and len(value) > limit}
        dropped["name_length"] += len(too_long)
        return replace(operation, **too_long)

    def _fit(self, attributes: Attributes) -> bool:
        """Tell whether nothing is over a limit, at the least cost: this is asked of every span."""
        if len(attributes) > self.attribute_count:
            return False
        longest, name_length = self.value_length, self.name_length
        for key, value in attributes.items():
            if len(key) > name_length:
                return False
            # Nearly all values are text or numbers; a look at the type is the cheapest way to know.
            kind = type(value)
            if kind is str:
                if len(value) > longest:  # type: ignore[arg-type]  # it is text
                    return False
            elif kind is not int and kind is not float and kind is not bool and not self._value_fits(value, 1):
                return False
        return True

    def _events_fit(self, events: tuple[Event, ...]) -> bool:
        return all(len(event.name) <= self.name_length and self._fit(event.attributes) for event in events)

    def _value_fits(self, value: AttributeValue, depth: int) -> bool:
        if isinstance(value, str | bytes):
            return len(value) <= self.value_length
        if not isinstance(value, tuple | Mapping):
            return True
        if depth > self.value_depth or len(value) > self.attribute_count:
            return False
        if isinstance(value, tuple):
            return all(self._value_fits(item, depth + 1) for item in value)
        return all(len(key) <= self.name_length and self._value_fits(item, depth + 1) for key, item in value.items())

    def _name(self, name: str, dropped: Counter[str]) -> str:
        if len(name) <= self.name_length:
            return name
        dropped["name_length"] += 1
        return name[: self.name_length]

    def _attributes(self, attributes: Attributes, dropped: Counter[str]) -> Attributes:
        if self._fit(attributes):
            return attributes
        return self._mapping(attributes, 0, dropped)

    def _events(self, events: tuple[Event, ...], dropped: Counter[str]) -> tuple[Event, ...]:
        dropped["event_count"] += max(0, len(events) - self.event_count)
        return tuple(
            replace(event, name=self._name(event.name, dropped), attributes=self._attributes(event.attributes, dropped))
            for event in events[: self.event_count]
        )

    def _links(self, links: tuple[Link, ...], dropped: Counter[str]) -> tuple[Link, ...]:
        dropped["link_count"] += max(0, len(links) - self.link_count)
        return tuple(
            replace(link, attributes=self._attributes(link.attributes, dropped)) for link in links[: self.link_count]
        )

    def _mapping(self, values: Attributes, depth: int, dropped: Counter[str]) -> dict[str, AttributeValue]:
        dropped["attribute_count"] += max(0, len(values) - self.attribute_count)
        some = islice(values.items(), self.attribute_count)
        return {self._name(key, dropped): self._value(value, depth + 1, dropped) for key, value in some}

    def _value(self, value: AttributeValue, depth: int, dropped: Counter[str]) -> AttributeValue:
        if isinstance(value, str | bytes):
            if len(value) <= self.value_length:
                return value
            dropped["value_length"] += 1
            return value[: self.value_length]
        if not isinstance(value, tuple | Mapping):
            return value
        if depth > self.value_depth:
            dropped["value_depth"] += 1
            return None
        if isinstance(value, Mapping):
            return self._mapping(value, depth, dropped)
        dropped["attribute_count"] += max(0, len(value) - self.attribute_count)
        return tuple(self._value(item, depth + 1, dropped) for item in value[: self.attribute_count])
