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
from typing import Any, Final
from weakref import WeakSet

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.openai_agents_parts.processor import WorkflowProcessor
from otel_wfperf.instrumentation.patching import Undo, replace


class _Attached:
    """A context that we attached, with what the SDK attached at the same time.

    Attributes:
        sdk_token: What the SDK takes its own back with.
        token: What we take ours back with.
        resumed_trace_id: The trace that ends with it; None = the SDK tells when it ends.
        outer: What we attached before; None = nothing.
    """

    __slots__ = ("__weakref__", "outer", "resumed_trace_id", "sdk_token", "token")

    def __init__(self, sdk_token: Any, token: Any, resumed_trace_id: str | None, outer: _Attached | None) -> None:
        self.sdk_token = sdk_token
        self.token = token
        self.resumed_trace_id = resumed_trace_id
        self.outer = outer


# Kept where the contexts themselves are kept, so that nothing stays when a task is abandoned.
_attached: Final[ContextVar[_Attached | None]] = ContextVar("otel_wfperf_openai_agents", default=None)


class _Attachments:
    """Attaches with the SDK, and detaches with it, until all that was attached has been left."""

    def __init__(self, processor: WorkflowProcessor) -> None:
        self._processor = processor
        self._undo_entering: list[Undo] = []
        self._undo_leaving: list[Undo] = []
        self._is_removed = False
        # What is still attached somewhere, in whatever task.
        self._open: WeakSet[_Attached] = WeakSet()

    def install(self, scope: type) -> None:
        """Follow what the SDK has as its current span and trace."""
        self._undo_leaving = [
            replace(scope, "reset_current_span", self._leaving),
            replace(scope, "reset_current_trace", self._leaving),
        ]
        self._undo_entering = [
            replace(scope, "set_current_span", self._entering(self._context_of_span)),
            replace(scope, "set_current_trace", self._entering(self._context_of_trace)),
        ]

    def remove(self) -> None:
        """Attach no more; what is attached now is still detached at its end, lest it stay current for ever."""
        self._is_removed = True
        _undo_all(self._undo_entering)
        self._remove_if_left()

    def _remove_if_left(self) -> None:
        if self._is_removed and not self._open:
            _undo_all(self._undo_leaving)

    def _context_of_span(self, span: Any) -> tuple[Context | None, str | None]:
        node = None if span is None else self._processor.node_of(span)
        return (None if node is None or node.call is None else node.call.context), None

    def _context_of_trace(self, trace: Any) -> tuple[Context | None, str | None]:
        if trace is None or trace.trace_id == "no-op":
            return None, None
        execution = self._processor.executions.find(trace.trace_id)
        resumed = execution is None and type(trace).__name__ == "ReattachedTrace"
        if resumed:
            # A run that was interrupted goes on: the SDK announces neither its start nor its end.
            execution = self._processor.start(trace.trace_id, str(trace.name), getattr(trace, "group_id", None))
        context = None if execution is None or execution.call is None else execution.call.context
        return context, trace.trace_id if resumed else None

    def _entering(self, context_of: Callable[[Any], tuple[Context | None, str | None]]) -> Callable[..., Any]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def set_current(cls: Any, subject: Any) -> Any:
                sdk_token = original(cls, subject)
                with failures_counted("openai_agents.attach"):
                    context, resumed = context_of(subject)
                    if context is not None:
                        entry = _Attached(sdk_token, otel_context.attach(context), resumed, _attached.get())
                        _attached.set(entry)
                        self._open.add(entry)
                return sdk_token

            return set_current

        return make

    def _leaving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def reset_current(cls: Any, token: Any) -> Any:
            with failures_counted("openai_agents.detach"):
                self._leave(token)
            return original(cls, token)

        return reset_current

    def _leave(self, sdk_token: Any) -> None:
        entry = _attached.get()
        while entry is not None and entry.sdk_token is not sdk_token:
            entry = entry.outer
        if entry is None:  # not ours, or attached in another context
            return
        detach(entry.token)
        _attached.set(entry.outer)
        self._open.discard(entry)
        if entry.resumed_trace_id is not None:
            self._processor.end(entry.resumed_trace_id)
        self._remove_if_left()


def attach_with_spans(processor: WorkflowProcessor) -> Undo:
    """Attach the context of an operation while the SDK has its span, or its trace, as the current one."""
    from agents.tracing.scope import Scope  # noqa: PLC0415 - imported already when this runs

    attachments = _Attachments(processor)
    attachments.install(Scope)
    return attachments.remove


def _undo_all(undo: list[Undo]) -> None:
    while undo:
        undo.pop()()
