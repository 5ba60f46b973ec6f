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
    def get_concurrency_context(*args: Any, **kwargs: Any) -> AbstractAsyncContextManager[None]:
        inner: AbstractAsyncContextManager[None] = original(*args, **kwargs)
        with failures_counted("pydantic_ai.limit"):
            agent = _waiting_agent(*args, **kwargs)
            if agent is not None and not trace.get_current_span().get_span_context().is_valid:
                return _within_workflow(agent, inner)
        return inner

    return get_concurrency_context


def _waiting_agent(limiter: Any, source: str = "", *_: Any, **__: Any) -> str | None:
    """Name the agent that is about to wait; None = it is a model, or there is room."""
    is_agent = source.startswith(_AGENT) and getattr(limiter, "available_count", None) == 0
    return source.removeprefix(_AGENT) if is_agent else None


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
