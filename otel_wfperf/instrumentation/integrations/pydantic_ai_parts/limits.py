"""Agents that wait for a slot (``max_concurrency``) outside of everything else.

pydantic-ai writes the wait as a span before that of the agent: without anything around them, each would be a trace of
its own. Checked with pydantic-ai-slim 2.68.0, where agents enter ``concurrency.get_concurrency_context``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.operations import start_workflow

_AGENT: Final = "agent:"


def joining_waits(original: Callable[..., Any]) -> Callable[..., Any]:
    """Put a workflow round a wait and the agent that waits, where nothing is."""

    @wraps(original)
    def get_concurrency_context(limiter: Any, source: str = "unnamed") -> AbstractAsyncContextManager[None]:
        inner: AbstractAsyncContextManager[None] = original(limiter, source)
        has_to_wait = source.startswith(_AGENT) and getattr(limiter, "available_count", None) == 0
        if not has_to_wait or trace.get_current_span().get_span_context().is_valid:
            return inner
        return _within_workflow(source.removeprefix(_AGENT), inner)

    return get_concurrency_context


@asynccontextmanager
async def _within_workflow(name: str, inner: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    call: Call | None = None
    token = None
    with failures_counted("pydantic_ai.wait"):
        call = start_workflow(name)
        token = otel_context.attach(call.context)
    try:
        async with inner:
            yield
    except BaseException as error:
        if call is not None:
            call.end(error)
        raise
    finally:
        if token is not None:
            detach(token)
        if call is not None:
            call.end()
