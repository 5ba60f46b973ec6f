"""Work that an agent hands to threads of its own, such as writing memories down.

Agno waits for it before the run ends, but its threads know nothing of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.integrations.agno_parts.state import current_run


class WithinRuns(ThreadPoolExecutor):
    """An executor whose threads work in the OpenTelemetry context of whoever hands something in during a run.

    No other context variables: Agno keeps there what a run is allowed to do.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do what the base class does."""
        if current_run() is None:
            return super().submit(function, *args, **kwargs)
        return super().submit(_within, otel_context.get_current(), function, *args, **kwargs)


def keeping_context(original: property) -> property:
    """Make what replaces the property ``background_executor``; the object that it returns stays the same."""

    def background_executor(self: Any) -> Any:
        executor = original.__get__(self)
        if type(executor) is ThreadPoolExecutor and current_run() is not None:
            executor.__class__ = WithinRuns
        return executor

    return property(background_executor, doc=original.__doc__)


def _within(context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = otel_context.attach(context)
    try:
        return function(*args, **kwargs)
    finally:
        detach(token)
