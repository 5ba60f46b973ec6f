"""Waits within model calls, and the context of code that runs in another thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.call import current_operation, detach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.operations import start_wait

# Chosen: below this, nothing was waited for.
_MIN_WAIT_NS: Final = 1_000_000


def throttling(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record the wait for a rate limit."""

    @wraps(original)
    def throttle(self: Any) -> Any:
        start_ns = time.time_ns()
        result = original(self)
        _record("rate limit", "rate_limit", start_ns)
        return result

    return throttle


def retrying(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record the wait before another attempt."""

    @wraps(original)
    def call(self: Any, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        failed_ns = 0

        @wraps(fn)
        def attempt(*args: Any, **kwargs: Any) -> Any:
            nonlocal failed_ns
            if failed_ns:
                _record("model", "retry_backoff", failed_ns)
            try:
                return fn(*args, **kwargs)
            except BaseException:
                failed_ns = time.time_ns()
                raise

        return original(self, attempt, *args, **kwargs)

    return call


def keeping_context(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let code that runs with a time limit belong to the step that runs it: the limit takes a thread."""

    @wraps(original)
    def timeout(timeout_seconds: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        limited = original(timeout_seconds)

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                context = otel_context.get_current()

                @wraps(function)
                def in_thread(*args: Any, **kwargs: Any) -> Any:
                    token = otel_context.attach(context)
                    try:
                        return function(*args, **kwargs)
                    finally:
                        detach(token)

                return limited(in_thread)(*args, **kwargs)

            return call

        return decorator

    return timeout


def _record(resource: str, kind: str, start_ns: int) -> None:
    end_ns = time.time_ns()
    if end_ns - start_ns < _MIN_WAIT_NS or current_operation() is None:
        return
    with failures_counted("smolagents.wait"):
        start_wait(resource, kind=kind, start_ns=start_ns).end(end_ns=end_ns)
