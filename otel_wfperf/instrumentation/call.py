"""One operation being recorded: its span, what can be said about it, and its end."""

from __future__ import annotations

import contextvars
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_wfperf import semconv
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.facts import Facts
from otel_wfperf.instrumentation.failures import count_failure
from otel_wfperf.instrumentation.metrics import METRICS, Finished
from otel_wfperf.instrumentation.open_spans import open_span, opened
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.tracing import tracer

if TYPE_CHECKING:
    from contextvars import Token

AttributeValue: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"

_CALL_KEY: Final = otel_context.create_key("otel_wfperf.call")
# Calls of models, tools and stores are what contention slows down; a phase shares the figures of the calls in it.
_RESOURCE_KINDS: Final = frozenset({"workflow", "agent", "tool", "llm", "retrieval"})
# Metrics count these while they last.
_COUNTED_KINDS: Final = frozenset({"agent", "wait"})
# Of these, metrics need more than the name.
_DESCRIBED_KINDS: Final = frozenset({"agent", "wait", "llm"})
_NOTHING: Final[Mapping[str, Any]] = {}
_early_exits: list[type[BaseException]] = [GeneratorExit]


class Call(Facts):
    """One operation between its start and its end.

    Attributes:
        kind: workflow, phase, agent, tool, llm, retrieval, wait or context.
        name: The subject, such as the name of the agent.
        outer: The operation that this one is part of; None = none.
        workflow: Name of the enclosing workflow; None = none.
        agent: Name of the enclosing agent, or of this one; None = none.
    """

    __slots__ = (
        "_around",
        "_loop",
        "_start_ns",
        "_watched",
        "agent",
        "attributes",
        "ended",
        "name",
        "outer",
        "workflow",
    )

    def __init__(self, kind: str, name: str, *, span: Span, context: Context, outer: Call | None) -> None:
        """Wrap a started span; use :func:`start_call`."""
        self.span = span
        self._tokens = None
        self.kind = kind
        self.name = name
        self.outer = outer
        self.workflow: str | None = name if kind == "workflow" else outer.workflow if outer else None
        self.agent: str | None = name if kind == "agent" else outer.agent if outer else None
        self.attributes: Mapping[str, AttributeValue] = {}
        self._around = context
        self.ended = False
        self._start_ns = 0
        self._loop = _running_loop()
        self._watched = opened(span) if CPU.is_installed else open_span(span)

    @property
    def context(self) -> Context:
        """The context in which the operation's own work should run.

        Not kept: it leads back here, and only the garbage collector, whose runs cost the program more than all of
        this, could free such a circle.
        """
        if self.span is trace.INVALID_SPAN:
            # It could not be recorded: what the program has current stays so.
            return Context({**self._around, _CALL_KEY: self})
        return Context({**self._around, _SPAN_KEY: self.span, _CALL_KEY: self})

    def end(
        self,
        error: BaseException | None = None,
        *,
        error_type: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        end_ns: int | None = None,
    ) -> None:
        """End the operation; later calls do nothing.

        Args:
            error: What it raised; an early exit, such as a cancellation, is not an error.
            error_type: Kind of a failure that was reported without an exception.
            attributes: Last facts to record.
            end_ns: When it ended (nanoseconds since the Unix epoch); None = now.
        """
        if self.ended:
            return
        self.ended = True
        try:
            raised = None if error is None or is_early_exit(error) else error_name(error)
            self._end(raised or error_type, attributes or {}, time.time_ns() if end_ns is None else end_ns)
        except Exception:  # noqa: BLE001 - as in failures_counted, which costs a tenth of all this
            count_failure("call.end")

    def _end(self, error_type: str | None, attributes: Mapping[str, Any], end_ns: int) -> None:
        figures = self._figures()
        if self._tokens and self.kind == "llm":
            attributes = {**self.token_attributes(), **attributes}  # metrics count them
        span = self.span
        try:
            if span.is_recording():
                self._end_span(error_type, {**attributes, **figures}, end_ns)
            else:
                span.end(end_ns)
        finally:
            # Whatever a span processor of the user raises: an agent that started is counted out.
            describes = self.kind in _DESCRIBED_KINDS
            METRICS.finished(
                Finished(
                    self.kind,
                    self.name,
                    self.workflow,
                    self.agent,
                    max(0, end_ns - self._start_ns) / 1e9,
                    figures.get(semconv.CPU_TIME),
                    error_type,
                    self.attributes if describes else _NOTHING,
                    attributes if describes else _NOTHING,
                    span.get_span_context(),
                )
            )

    def _end_span(self, error_type: str | None, last: dict[str, Any], end_ns: int) -> None:
        span = self.span
        if self.kind in _RESOURCE_KINDS:
            last.update(_RESOURCES.attributes(in_loop=self._loop is not None))
        if error_type is not None:
            last[semconv.ERROR_TYPE] = error_type
            # The type alone: messages of exceptions quote prompts and arguments.
            span.set_status(Status(StatusCode.ERROR, error_type))
        end_with = getattr(span, "end_with", None)
        if end_with is not None:
            end_with(last, end_ns)
        else:
            span.set_attributes(last)
            span.end(end_ns)

    def _figures(self) -> Mapping[str, float]:
        """Return what was added up for the operation while it lasted, as attributes."""
        watched = self._watched
        if watched is None:
            return {}
        CPU.settle(watched)
        return watched.figures()


class _Resources:
    """The latest sample of the resources, spelled as attributes once for all operations that end before the next."""

    def __init__(self) -> None:
        self._sample: object = None
        self._attributes: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})

    def attributes(self, *, in_loop: bool) -> Mapping[str, Any]:
        sample = SAMPLER.latest
        if sample is not self._sample:
            found = {} if sample is None else sample.attributes()
            without = {name: value for name, value in found.items() if name != semconv.LOOP_LAG}
            self._attributes, self._sample = (without, found), sample
        return self._attributes[in_loop]


_RESOURCES: Final = _Resources()


def start_call(
    kind: str,
    name: str,
    *,
    span_name: str,
    attributes: Mapping[str, AttributeValue],
    context: Context | None = None,
    span_kind: SpanKind = SpanKind.INTERNAL,
    start_ns: int | None = None,
) -> Call:
    """Start recording an operation; it is not made current.

    Args:
        kind: See :class:`Call`.
        name: See :class:`Call`.
        span_name: Name of the span.
        attributes: Attributes that are known now: samplers and the live view see them.
        context: Holds the parent; None = the current context.
        span_kind: OpenTelemetry's kind.
        start_ns: When it began (nanoseconds since the Unix epoch); None = now.
    """
    parent = otel_context.get_current() if context is None else context
    outer = parent.get(_CALL_KEY)
    began_ns = time.time_ns() if start_ns is None else start_ns
    all_attributes = {semconv.SPAN_KIND: kind, **attributes}
    span = tracer().start_span(span_name, parent, span_kind, all_attributes, start_time=began_ns)
    call = Call(kind, name, span=span, context=parent, outer=outer if isinstance(outer, Call) else None)
    call._start_ns = began_ns  # noqa: SLF001 - the constructor of this class, in effect
    call.attributes = all_attributes
    if call._loop is not None:  # noqa: SLF001
        SAMPLER.loops.watch(call._loop)  # noqa: SLF001
    if kind in _COUNTED_KINDS:
        METRICS.started(kind, name, all_attributes)
    return call


def unrecorded_call(kind: str, name: str) -> Call:
    """Stand in for an operation that could not be recorded."""
    call = Call(kind, name, span=trace.INVALID_SPAN, context=otel_context.get_current(), outer=current_operation())
    call.ended = True
    return call


def current_operation() -> Call | None:
    """Return the innermost operation that surrounds the caller; None outside of all.

    Hand it to code that runs in another thread or was scheduled elsewhere, which then
    passes it to :func:`attach` or to ``parent=``.
    """
    call = otel_context.get_current().get(_CALL_KEY)
    return call if isinstance(call, Call) else None


@contextmanager
def attach(parent: Call | None) -> Iterator[None]:
    """Make what the block does belong to ``parent``, in whatever thread or task it runs.

    Args:
        parent: From :func:`current_operation`, or the ``as`` value of an operation; None changes nothing.
    """
    if parent is None:
        yield
        return
    token = otel_context.attach(parent.context)
    try:
        yield
    finally:
        detach(token)


def detach(token: Token[Context]) -> None:
    """Take back an ``attach`` of OpenTelemetry, silently when it was made in another context.

    A generator may be closed by a task that never ran it. The SDK's own ``detach`` logs an
    error then, although there is nothing to restore.
    """
    if isinstance(token, contextvars.Token):
        try:
            token.var.reset(token)
        except ValueError:
            return
        CPU.switched()
    else:
        otel_context.detach(token)


def is_early_exit(error: BaseException) -> bool:
    """Tell whether this ends an operation without a failure: closed, cancelled or interrupted on purpose."""
    if isinstance(error, tuple(_early_exits)):
        return True
    # Looked up, not imported: importing asyncio costs more than the rest of this package.
    for module, name in (("asyncio", "CancelledError"), ("trio", "Cancelled")):
        cancelled = getattr(sys.modules.get(module), name, None)
        if cancelled is not None and isinstance(error, cancelled):
            return True
    return False


def add_early_exit(error_type: type[BaseException]) -> None:
    """Let a framework say that one of its exceptions is control flow; does nothing the second time."""
    if error_type not in _early_exits:
        _early_exits.append(error_type)


def remove_early_exit(error_type: type[BaseException]) -> None:
    """Take back :func:`add_early_exit`."""
    if error_type in _early_exits:
        _early_exits.remove(error_type)


def error_name(error: BaseException) -> str:
    """Name an exception as ``error.type`` wants it. Source: OpenTelemetry semantic conventions, error.type."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _running_loop() -> Any:
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - documented for frameworks
