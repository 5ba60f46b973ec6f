"""One operation being recorded: its span, what can be said about it, and its end."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.metrics import METRICS, Finished
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.tracing import tracer

if TYPE_CHECKING:
    from contextvars import Token

AttributeValue: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"

_CALL_KEY: Final = otel_context.create_key("otel_wfperf.call")
_RESOURCE_KINDS: Final = frozenset({"workflow", "phase", "agent"})
_TOTALS: Final = {
    "input": semconv.TOTAL_INPUT_TOKENS,
    "output": semconv.TOTAL_OUTPUT_TOKENS,
    "cache_read": semconv.TOTAL_CACHE_READ_TOKENS,
    "cache_write": semconv.TOTAL_CACHE_WRITE_TOKENS,
    "reasoning": semconv.TOTAL_REASONING_TOKENS,
}
_early_exits: list[type[BaseException]] = [GeneratorExit]


class Call:
    """One operation between its start and its end.

    Attributes:
        kind: workflow, phase, agent, tool, llm, retrieval, wait or context.
        name: The subject, such as the name of the agent.
        span: The OpenTelemetry span.
        context: The context in which the operation's own work should run.
        outer: The operation that this one is part of; None = none.
        workflow: Name of the enclosing workflow; None = none.
        agent: Name of the enclosing agent, or of this one; None = none.
    """

    __slots__ = (
        "_cpu_start_s",
        "_loop",
        "_start_ns",
        "_thread_id",
        "_tokens",
        "agent",
        "attributes",
        "context",
        "ended",
        "kind",
        "name",
        "outer",
        "span",
        "workflow",
    )

    def __init__(self, kind: str, name: str, *, span: Span, context: Context, outer: Call | None) -> None:
        """Wrap a started span; use :func:`start_call`."""
        self.kind = kind
        self.name = name
        self.span = span
        self.outer = outer
        self.workflow: str | None = name if kind == "workflow" else outer.workflow if outer else None
        self.agent: str | None = name if kind == "agent" else outer.agent if outer else None
        self.attributes: Mapping[str, AttributeValue] = {}
        self.context = otel_context.set_value(_CALL_KEY, self, trace.set_span_in_context(span, context))
        self.ended = False
        self._start_ns = 0
        self._tokens: dict[str, int] = {}
        self._loop = _running_loop()
        self._thread_id = 0
        self._cpu_start_s = 0.0
        if self._loop is None:
            # In an event loop other tasks use the same thread, and its CPU time is not this operation's.
            self._thread_id = threading.get_ident()
            self._cpu_start_s = time.thread_time()

    @never_raises("call.record_tokens")
    def record_tokens(
        self,
        *,
        input: int = 0,  # noqa: A002 - the word of the field; it is keyword-only
        output: int = 0,
        cache_read: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
    ) -> None:
        """Add the tokens of a model call that nothing else records (tokens); calls add up.

        They are written as totals of this operation: a model call that is a span of its own is never counted twice.

        Args:
            input: Prompt tokens, cached ones included.
            output: Completion tokens, reasoning included.
            cache_read: Part of ``input`` that came from the provider's cache.
            cache_write: Part of ``input`` that was written to the cache.
            reasoning: Part of ``output``.
        """
        given = {
            "input": input,
            "output": output,
            "cache_read": cache_read,
            "cache_write": cache_write,
            "reasoning": reasoning,
        }
        for part, count in given.items():
            if count:
                self._tokens[part] = self._tokens.get(part, 0) + int(count)
        self.span.set_attributes({_TOTALS[part]: count for part, count in self._tokens.items()})

    @never_raises("call.record_quality")
    def record_quality(self, ratio: float) -> None:
        """Say how good the result was (0..1); values outside are moved to the nearest bound."""
        self.span.set_attribute(semconv.QUALITY, min(1.0, max(0.0, float(ratio))))

    @never_raises("call.record_context")
    def record_context(
        self,
        *,
        size_bytes: int | None = None,
        tokens: int | None = None,
        messages: int | None = None,
        limit_tokens: int | None = None,
        reused_ratio: float | None = None,
    ) -> None:
        """Say how much context the operation was given.

        Args:
            size_bytes: Length of the state or prompt (bytes).
            tokens: The same (tokens).
            messages: Messages in it (count).
            limit_tokens: Window of the model (tokens).
            reused_ratio: Share that the previous call of the same agent sent already (0..1).
        """
        given: dict[str, float | int | None] = {
            semconv.CONTEXT_BYTES: size_bytes,
            semconv.CONTEXT_TOKENS: tokens,
            semconv.CONTEXT_MESSAGES: messages,
            semconv.CONTEXT_LIMIT: limit_tokens,
            semconv.CONTEXT_REUSED_RATIO: reused_ratio,
        }
        self.span.set_attributes({name: value for name, value in given.items() if value is not None})

    @never_raises("call.record_attempt")
    def record_attempt(self, attempt: int) -> None:
        """Say which try this is; 1 is the first."""
        self.span.set_attribute(semconv.RETRY_ATTEMPT, int(attempt))

    @never_raises("call.record_input")
    def record_input(self, value: object) -> None:
        """Record size, hash and fragment hashes of what the operation was given, never the text."""
        from otel_wfperf.instrumentation.payload import ContentReader  # noqa: PLC0415 - hashing is loaded when used

        if self.span.is_recording():
            self.span.set_attributes(ContentReader().input_attributes(value))

    @never_raises("call.record_output")
    def record_output(self, value: object) -> None:
        """Record size, hash and fragment hashes of the result, never the text."""
        from otel_wfperf.instrumentation.payload import ContentReader  # noqa: PLC0415 - as above

        if self.span.is_recording():
            self.span.set_attributes(ContentReader().output_attributes(value))

    def end(
        self,
        error: BaseException | None = None,
        *,
        error_type: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """End the operation; later calls do nothing.

        Args:
            error: What it raised; an early exit, such as a cancellation, is not an error.
            error_type: Kind of a failure that was reported without an exception.
            attributes: Last facts to record.
        """
        if self.ended:
            return
        self.ended = True
        with failures_counted("call.end"):
            raised = None if error is None or is_early_exit(error) else error_name(error)
            self._end(raised or error_type, attributes or {})

    def _end(self, error_type: str | None, attributes: Mapping[str, Any]) -> None:
        end_ns = time.time_ns()
        cpu_time_s = self._cpu_time_s()
        if self.span.is_recording():
            last = dict(attributes)
            if cpu_time_s is not None:
                last[semconv.CPU_TIME] = cpu_time_s
            if self.kind in _RESOURCE_KINDS and SAMPLER.latest is not None:
                last.update(SAMPLER.latest.attributes())
                if self._loop is None:
                    last.pop(semconv.LOOP_LAG, None)
            if error_type is not None:
                last[semconv.ERROR_TYPE] = error_type
                # The type alone: messages of exceptions quote prompts and arguments.
                self.span.set_status(Status(StatusCode.ERROR, error_type))
            self.span.set_attributes(last)
        self.span.end(end_ns)
        METRICS.finished(
            Finished(
                kind=self.kind,
                name=self.name,
                workflow=self.workflow,
                agent=self.agent,
                duration_s=max(0, end_ns - self._start_ns) / 1e9,
                cpu_time_s=cpu_time_s,
                error_type=error_type,
                start=self.attributes,
                end=attributes,
                context=self.context,
            )
        )

    def _cpu_time_s(self) -> float | None:
        if self._loop is not None or self._thread_id != threading.get_ident():
            return None
        return max(0.0, time.thread_time() - self._cpu_start_s)


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
    call = otel_context.get_value(_CALL_KEY)
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
