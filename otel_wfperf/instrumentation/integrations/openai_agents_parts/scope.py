"""Making our operations current where the SDK makes its spans current.

A trace processor is told of spans, but is not the place to attach a context: only some spans become current, and a
span may end in another task than the one that it started in. ``agents.tracing.scope.Scope`` is where every span and
trace becomes current and ceases to be (openai-agents 0.24.0), so what the user's tools, hooks and guardrails open in
between nests below.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.openai_agents_parts.processor import WorkflowProcessor
from otel_wfperf.instrumentation.patching import Undo


class _Attached(NamedTuple):
    """A context that we attached, with what the SDK attached at the same time."""

    sdk_token: Any
    token: Any
    resumed_trace_id: str | None
    outer: _Attached | None


# Kept where the contexts themselves are kept, so that nothing stays when a task is abandoned.
_attached: Final[ContextVar[_Attached | None]] = ContextVar("otel_wfperf_openai_agents", default=None)


def attach_with_spans(processor: WorkflowProcessor) -> Undo:
    """Attach the context of an operation while the SDK has its span, or its trace, as the current one."""
    from agents.tracing.scope import Scope  # noqa: PLC0415 - imported already when this runs

    def context_of_span(span: Any) -> tuple[Context | None, str | None]:
        node = None if span is None else processor.node_of(span)
        return (None if node is None or node.call is None else node.call.context), None

    def context_of_trace(trace: Any) -> tuple[Context | None, str | None]:
        if trace is None or trace.trace_id == "no-op":
            return None, None
        execution = processor.executions.find(trace.trace_id)
        resumed = execution is None and type(trace).__name__ == "ReattachedTrace"
        if resumed:
            # A run that was interrupted goes on: the SDK announces neither its start nor its end.
            execution = processor.start(trace.trace_id, str(trace.name), getattr(trace, "group_id", None))
        context = None if execution is None or execution.call is None else execution.call.context
        return context, trace.trace_id if resumed else None

    undo = (
        _replace(Scope, "set_current_span", _attaching(context_of_span)),
        _replace(Scope, "reset_current_span", _detaching(processor)),
        _replace(Scope, "set_current_trace", _attaching(context_of_trace)),
        _replace(Scope, "reset_current_trace", _detaching(processor)),
    )

    def undo_all() -> None:
        for each in undo:
            each()

    return undo_all


def _attaching(context_of: Callable[[Any], tuple[Context | None, str | None]]) -> Callable[..., Any]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def set_current(cls: Any, subject: Any) -> Any:
            sdk_token = original(cls, subject)
            with failures_counted("openai_agents.attach"):
                context, resumed = context_of(subject)
                if context is not None:
                    _attached.set(_Attached(sdk_token, otel_context.attach(context), resumed, _attached.get()))
            return sdk_token

        return set_current

    return make


def _detaching(processor: WorkflowProcessor) -> Callable[..., Any]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def reset_current(cls: Any, token: Any) -> Any:
            with failures_counted("openai_agents.detach"):
                _leave(token, processor)
            return original(cls, token)

        return reset_current

    return make


def _leave(sdk_token: Any, processor: WorkflowProcessor) -> None:
    entry = _attached.get()
    while entry is not None and entry.sdk_token is not sdk_token:
        entry = entry.outer
    if entry is None:  # not ours, or attached in another context
        return
    detach(entry.token)
    _attached.set(entry.outer)
    if entry.resumed_trace_id is not None:
        processor.end(entry.resumed_trace_id)


def _replace(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Undo:
    """Replace a class method, and take back exactly that."""
    original = vars(owner)[name]
    replacement = classmethod(make(original.__func__))
    setattr(owner, name, replacement)

    def undo() -> None:
        if vars(owner).get(name) is replacement:
            setattr(owner, name, original)

    return undo
