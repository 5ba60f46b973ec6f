"""Spans of our own operations, for a fifth of what the SDK's cost.

A span of the SDK with ten attributes takes 20 µs (opentelemetry-sdk 1.44): it locks for every attribute, checks each
value, and is copied at its end. A :class:`LeanSpan` keeps a plain dict. It is used only where that cannot be noticed:
spans of this package, on the provider that this package set up, while nothing but our own queue listens to it, with
the usual sampler and limits. In any other case the SDK's own tracer makes the span.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_wfperf.instrumentation.failures import count_failure

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.util.types import Attributes, AttributeValue

# Source: OpenTelemetry specification, default limits; other ones are left to the SDK's spans.
_MAX_ITEMS: Final = 128
# What needs no check and no conversion; whatever else is left to the SDK's own checks.
_PLAIN: Final = frozenset({str, bool, int, float})
_UNSET: Final = Status(StatusCode.UNSET)
# Source: W3C Trace Context level 2, the random-trace-id flag.
_RANDOM: Final = 2


class _Locks:
    """Held for a moment by all spans together; reentrant: a signal handler may end a span, too.

    Attributes:
        ending: Of several threads that end a span only one does.
        settling: What is described later is described once.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child: a thread that held a lock does not exist there."""
        self.ending = threading.RLock()
        self.settling = threading.RLock()


_LOCKS: Final = _Locks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LOCKS.renew)


class LeanSpan(Span, ReadableSpan):
    """A span that is recorded; behaves as the SDK's.

    What is a property there is a field here, with its default on the class: both are read for every span.
    """

    name = ""
    context: SpanContext = INVALID_SPAN_CONTEXT
    parent: SpanContext | None = None
    kind = SpanKind.INTERNAL
    status = _UNSET
    end_time: int | None = None
    start_time: int | None = None
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    instrumentation_info = None
    dropped_attributes = 0
    _later: list[Callable[[], Mapping[str, Any]]] | None = None

    def __init__(self, name: str, *, context: SpanContext, parent: SpanContext | None, tracer: LeanTracer) -> None:
        """Use :class:`LeanTracer`, which fills in the rest."""
        self.name = name
        self.context = context
        self.parent = parent
        self.recorded: dict[str, Any] = {}
        self._tracer = tracer

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes, not to be changed."""
        self.settle()
        return MappingProxyType(self.recorded)

    @property
    def resource(self) -> Resource:
        """What the process is."""
        return self._tracer.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """The scope of this package."""
        return self._tracer.scope

    @property
    def is_simple(self) -> bool:
        """Whether there are attributes only: no events, no links, and nothing was left out."""
        return not (self.events or self.links or self.dropped_attributes)

    def get_span_context(self) -> SpanContext:
        """Return what is passed on to children and other processes."""
        return self.context

    def is_recording(self) -> bool:
        """Tell whether the span has not ended."""
        return self.end_time is None

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes; those that were set before are replaced."""
        if self.end_time is not None:
            return
        # Whoever else sets some may choose names that OpenTelemetry does not know.
        is_named = all(attributes) and set(map(type, attributes)) <= {str}
        if is_named:
            self._put(clean(attributes))
        else:
            checked = BoundedAttributes(attributes=attributes)
            self.dropped_attributes += checked.dropped
            self._put(checked)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute."""
        self.set_attributes({key: value})

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event; None = now."""
        if self.end_time is None:
            event = Event(name, BoundedAttributes(_MAX_ITEMS, attributes), timestamp)
            self._list("events").append(event)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to a span that is not the parent."""
        if self.end_time is None and (context.is_valid or attributes or context.trace_state):
            self._list("links").append(Link(context, BoundedAttributes(_MAX_ITEMS, attributes)))

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if self.end_time is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say whether it failed; OK is final, and UNSET changes nothing."""
        given = status if isinstance(status, Status) else Status(status, description)
        is_final = self.status.status_code is StatusCode.OK
        if self.end_time is None and not is_final and given.status_code is not StatusCode.UNSET:
            self.status = given

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
    ) -> None:
        """Add an event that describes an exception; only the user's code calls this."""
        kind = type(exception)
        described: dict[str, AttributeValue] = {
            "exception.type": kind.__qualname__
            if kind.__module__ in ("builtins", None)
            else f"{kind.__module__}.{kind.__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    def describe_later(self, describe: Callable[[], Mapping[str, Any]]) -> None:
        """Take attributes that are found out when somebody reads them, such as the thread that sends the span.

        Args:
            describe: Reads only what nobody changes any more.
        """
        later = self._later
        if later is None:
            self._later = [describe]
        else:
            later.append(describe)

    def settle(self) -> None:
        """Find out what was left for later."""
        if self._later is None:
            return
        with _LOCKS.settling:
            later, self._later = self._later, None
            for describe in later or ():
                try:
                    self._put(clean(describe()))
                except Exception:  # noqa: BLE001 - one description less
                    count_failure("span.describe")

    def end(self, end_time: int | None = None) -> None:
        """End the span and hand it to the queue; later calls do nothing."""
        now_ns = time_ns() if end_time is None else end_time
        with _LOCKS.ending:
            if self.end_time is not None:
                return
            self.end_time = now_ns
        self._tracer.processor.on_end(self)

    def end_with(self, attributes: Mapping[str, Any], end_time: int) -> None:
        """Set the last attributes and end the span: both are one step for those who know them together."""
        if self.end_time is None:
            self._put(clean(attributes))
        self.end(end_time)

    def _put(self, attributes: Mapping[str, Any]) -> None:
        mine = self.recorded
        if not mine.keys().isdisjoint(attributes):
            # What is set again counts as new.
            for key in attributes:
                mine.pop(key, None)
        mine.update(attributes)
        while len(mine) > _MAX_ITEMS:
            del mine[next(iter(mine))]
            self.dropped_attributes += 1

    def _list(self, name: str) -> Any:
        return self.__dict__.setdefault(name, BoundedList(_MAX_ITEMS))


def clean(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep what OpenTelemetry can carry; the SDK's own checks decide about unusual values and log what they refuse."""
    if _PLAIN.issuperset(map(type, attributes.values())):
        return attributes
    checked: dict[str, Any] = {}
    for key, value in attributes.items():
        if type(value) in _PLAIN or (type(value) is tuple and set(map(type, value)) == {str}):
            checked[key] = value
        else:
            checked.update(BoundedAttributes(attributes={key: value}))
    return checked


# ReadableSpan prints these.
for _name in ("name", "context", "kind", "parent", "start_time", "end_time", "status", "attributes", "events", "links"):
    setattr(LeanSpan, f"_{_name}", property(attrgetter(_name)))


class LeanTracer(Tracer):
    """Makes lean spans where it can, and leaves the rest to the SDK's tracer.

    Attributes:
        scope: This package, as their origin.
        processor: Our queue, or what stands before it.
    """

    def __init__(self, provider: TracerProvider, scope: InstrumentationScope) -> None:
        """Use :func:`lean_tracer`."""
        self.scope = scope
        self._sdk: Any = provider.get_tracer(scope.name, scope.version)
        self._processors: Any = provider._active_span_processor  # noqa: SLF001 - checked by lean_tracer
        self._alone: tuple[SpanProcessor, ...] = self._processors._span_processors  # noqa: SLF001
        self.processor = self._alone[0]
        self._on_start: Callable[[Any, Context | None], None] = self.processor.on_start
        self._new_span_id, self._new_trace_id = (
            provider.id_generator.generate_span_id,
            provider.id_generator.generate_trace_id,
        )
        is_random = getattr(provider.id_generator, "is_trace_id_random", bool)()
        self._root_flags = TraceFlags(TraceFlags.SAMPLED | (_RANDOM if is_random else 0))

    @property
    def resource(self) -> Resource:
        """What the process is; the SDK changes it in a forked child."""
        return self._sdk.resource  # type: ignore[no-any-return]  # the SDK's tracer has no public type with it

    def start_span(  # noqa: PLR0917 - OpenTelemetry's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002
    ) -> Span:
        """Start a span; see ``opentelemetry.trace.Tracer``."""
        above = None if context is None else context.get(_SPAN_KEY)
        is_ours = type(above) is LeanSpan
        parent: SpanContext | None = (
            above.context if is_ours else trace.get_current_span(context).get_span_context()  # type: ignore[attr-defined]
        )
        if links or self._processors._span_processors is not self._alone or not (is_ours or _is_sampled(parent)):  # noqa: SLF001
            return self._sdk.start_span(  # type: ignore[no-any-return]
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )
        if not (is_ours or (parent is not None and parent.is_valid)):
            parent = None
        span = LeanSpan(name, context=self._context_below(parent), parent=parent, tracer=self)
        if kind is not SpanKind.INTERNAL:
            span.kind = kind
        if attributes:
            span.set_attributes(attributes)
        span.start_time = time_ns() if start_time is None else start_time
        self._on_start(span, context)
        return span

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """As the SDK does; not used by this package."""
        return self._sdk.start_as_current_span(*args, **kwargs)

    def _context_below(self, parent: SpanContext | None) -> SpanContext:
        if parent is None:
            return SpanContext(self._new_trace_id(), self._new_span_id(), is_remote=False, trace_flags=self._root_flags)
        trace_id, _, _, flags, state, *_ = parent
        return SpanContext(trace_id, self._new_span_id(), is_remote=False, trace_flags=flags, trace_state=state)


def lean_tracer(provider: TracerProvider, name: str, version: str) -> Tracer:
    """Return the cheapest tracer that records as the SDK's would.

    Args:
        provider: The provider that this package set up, with its only processor added.
        name: Name of the instrumentation scope.
        version: Its version.
    """
    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    if len(processors) != 1 or provider.sampler is not DEFAULT_ON or _has_limits() or _measures_itself():
        return provider.get_tracer(name, version)
    return LeanTracer(provider, InstrumentationScope(name, version))


def _is_sampled(parent: SpanContext | None) -> bool:
    """Decide as the default sampler does: what is below a span that was left out is left out, too."""
    return parent is None or not parent.is_valid or parent.trace_flags.sampled


def _has_limits() -> bool:
    """Tell whether the user limits attributes, events or links (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and its like)."""
    return any(name.startswith("OTEL_") and name.endswith("_LIMIT") for name in os.environ)


def _measures_itself() -> bool:
    return os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "").strip().lower() == "true"
