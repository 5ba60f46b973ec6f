"""LlamaIndex: workflows, agents, tools, model calls and retrievals.

Hooks, checked with llama-index-instrumentation 0.6.0 and llama-index-workflows 2.26.1:

* the root dispatcher of ``llama_index_instrumentation`` takes span and event handlers, beside those of others;
* ``TokenBucketRateLimiter.acquire`` and ``async_acquire`` in ``llama_index.core.rate_limiter``, because the wait for
  a rate limit is told by nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar

from otel_wfperf.instrumentation.call import current_operation
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.patching import Undo, replace


class LlamaIndexIntegration:
    """Record LlamaIndex workflows and agents.

    Nothing is recorded of runs that another instrumentation records; ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "llama_index"
    requires: ClassVar[Mapping[str, str]] = {
        "llama-index-workflows": ">=2.26,<3",
        "llama-index-instrumentation": ">=0.6,<1",
    }
    coverage: ClassVar[Coverage] = Coverage(
        framework="LlamaIndex",
        hook="Span and event handlers on the root dispatcher of llama-index-instrumentation.",
        tested={"llama-index-workflows": "2.26.1", "llama-index-instrumentation": "0.6.0"},
        workflows="run of a `Workflow`",
        phases="call of a step; it depends on the steps whose events it takes, and what one call set off is a group",
        agents="run of an agent; within an `AgentWorkflow` each turn of an agent",
        tools="tool call of an agent, bound to the model response that asked for it",
        llm_calls="chat and completion of a model of llama-index-core; tokens of the raw response's usage",
        waits="`num_workers` of a step, the delay of a retry policy, and the token bucket limiter of models",
        retries="each attempt of a step is a phase of its own, with its number",
        handoffs="the hand-off tool of an `AgentWorkflow`",
        missing=(
            "Dependencies on events that a step sent with `ctx.send_event`: nothing says who sent them.",
            "The wait for `num_concurrent_runs`: it ends before the run begins.",
            "The wait of `ctx.wait_for_event`: the step ends, and is called again, as another phase, with the event.",
            "Tools that are called outside of agents; record them with `tool(...)`.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "workflows.workflow": _add_handlers,
            "llama_index.core.rate_limiter": _record_rate_limits,
        }


def _add_handlers() -> Undo:
    from llama_index_instrumentation import root_dispatcher  # noqa: PLC0415 - imported already when this runs

    from otel_wfperf.instrumentation.integrations.llama.handler import (  # noqa: PLC0415 - needs llama_index
        EventHandler,
        SpanHandler,
        Spans,
    )

    spans = Spans()
    span_handler, event_handler = SpanHandler(spans), EventHandler(spans)
    root_dispatcher.add_span_handler(span_handler)
    root_dispatcher.add_event_handler(event_handler)

    def undo() -> None:
        spans.is_stopped = True
        for handlers, ours in (
            (root_dispatcher.span_handlers, span_handler),
            (root_dispatcher.event_handlers, event_handler),
        ):
            handlers[:] = [handler for handler in handlers if handler is not ours]

    return undo


def _record_rate_limits() -> Undo:
    from llama_index.core.rate_limiter import TokenBucketRateLimiter  # noqa: PLC0415 - as above

    undo = (
        replace(TokenBucketRateLimiter, "acquire", _waiting),
        replace(TokenBucketRateLimiter, "async_acquire", _waiting_async),
    )

    def undo_both() -> None:
        for each in undo:
            each()

    return undo_both


def _waiting(original: Callable[..., Any]) -> Callable[..., Any]:
    from otel_wfperf.instrumentation.api import wait  # noqa: PLC0415 - needed with the framework only

    @wraps(original)
    def acquire(self: Any, *args: Any, **kwargs: Any) -> Any:
        if current_operation() is None:
            return original(self, *args, **kwargs)
        with wait("rate limit", kind="rate_limit"):
            return original(self, *args, **kwargs)

    return acquire


def _waiting_async(original: Callable[..., Any]) -> Callable[..., Any]:
    from otel_wfperf.instrumentation.api import wait  # noqa: PLC0415 - as above

    @wraps(original)
    async def async_acquire(self: Any, *args: Any, **kwargs: Any) -> Any:
        if current_operation() is None:
            return await original(self, *args, **kwargs)
        with wait("rate limit", kind="rate_limit"):
            return await original(self, *args, **kwargs)

    return async_acquire
