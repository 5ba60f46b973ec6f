"""Nodes of a workflow graph: attempts, dependencies and groups on the ADK's own spans, and what has no span there.

A plain node has a span ``invoke_node``, a graph within a graph ``invoke_workflow``: they are given attributes. An agent
that is a node has the span of the agent alone: it gets a phase around it. Checked with google-adk 2.13.0, where
``NodeRunner._execute_node`` is one attempt of a node, inside its span, and ``_attempt_retry`` sleeps between two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import count_failure, never_raises
from otel_wfperf.instrumentation.integrations.google_adk_parts.executions import current_execution
from otel_wfperf.instrumentation.integrations.google_adk_parts.graphs import Trigger, scheduled_as
from otel_wfperf.instrumentation.operations import Place, start_phase, start_wait


class _Worker:
    """A node that runs another one for each item of its input.

    Attributes:
        context: The context of its span.
        node: The ADK's own object.
        width: Items (count); None = not known.
        items: Items that were started (count).
        start_ns: When it began (nanoseconds since the Unix epoch).
    """

    __slots__ = ("context", "items", "node", "start_ns", "width")

    def __init__(self, node: Any, node_input: object) -> None:
        self.context = otel_context.get_current()
        self.node = node
        self.width = len(node_input) if isinstance(node_input, list) else None
        self.items = 0
        self.start_ns = time.time_ns()


_worker: Final[ContextVar[_Worker | None]] = ContextVar("otel_wfperf_adk_worker", default=None)


def recording_attempts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``NodeRunner._execute_node``."""

    @wraps(original)
    async def execute_node(self: Any, ctx: Any, node_input: Any, *args: Any, **kwargs: Any) -> None:
        attempt = _Attempt(ctx, getattr(self, "_parent_ctx", None), node_input)
        attempt.begin()
        try:
            await original(self, ctx, node_input, *args, **kwargs)
        except BaseException as error:
            attempt.end(error)
            raise
        attempt.end()

    return execute_node


def recording_retries(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``NodeRunner._attempt_retry``."""

    @wraps(original)
    async def attempt_retry(self: Any, *args: Any, **kwargs: Any) -> bool:
        start_ns = time.time_ns()
        will_retry: bool = await original(self, *args, **kwargs)
        if will_retry:
            _record_wait(self, start_ns)
        return will_retry

    return attempt_retry


@never_raises("google_adk.retry")
def _record_wait(runner: Any, start_ns: int) -> None:
    if current_execution() is not None:
        start_wait(runner._node.name, kind="retry_backoff", start_ns=start_ns).end()  # noqa: SLF001 - no public name


class _Attempt:
    """One attempt of a node."""

    __slots__ = ("_call", "_ctx", "_input", "_parent_ctx", "_span", "_tokens")

    def __init__(self, ctx: Any, parent_ctx: Any, node_input: Any) -> None:
        self._ctx = ctx
        self._parent_ctx = parent_ctx
        self._input = node_input
        self._call: Call | None = None
        self._span: Any = None
        # What was made current, to be taken back in reverse.
        self._tokens: list[Any] = []

    @never_raises("google_adk.node")
    def begin(self) -> None:
        execution, node, parent = current_execution(), self._ctx.node, getattr(self._parent_ctx, "node", None)
        if execution is None or parent is None or not _is_step(node, parent):
            return
        trigger = _worker_trigger(parent) or scheduled_as(parent, node.name) or Trigger()
        self._span = self._step_span(node, trigger)
        if self._span.is_recording():
            self._span.set_attributes(execution.content.input_attributes(self._input))
        if _is_worker(node):
            self._tokens.append(_worker.set(_Worker(node, self._input)))

    def end(self, error: BaseException | None = None) -> None:
        for token in reversed(self._tokens):
            detach(token)
        if self._span is None:
            return
        attributes: dict[str, Any] = {}
        try:
            execution = current_execution()
            if error is None and execution is not None and self._span.is_recording():
                attributes = execution.content.output_attributes(self._ctx.output)
                self._span.set_attributes(attributes)
        except Exception:  # noqa: BLE001 - the node's own outcome is on its way; ours must not stand in it
            count_failure("google_adk.node_end")
        if self._call is not None:
            self._call.end(error)

    def _step_span(self, node: Any, trigger: Trigger) -> Any:
        """Describe the ADK's own span of the step, which is current, or start a phase where it has none."""
        attempt = self._ctx.attempt_count
        if not _is_agent(node):
            span = trace.get_current_span()
            span.set_attributes(_attributes(node.name, attempt, trigger))
            return span
        depends_on, group, width = trigger
        call = start_phase(node.name, group=group, width=width, depends_on=depends_on, attempt=attempt)
        self._call = call
        self._tokens.append(otel_context.attach(call.context))
        # Nodes that the agent starts itself take their parent from here.
        self._ctx._telemetry_context = replace(self._ctx.telemetry_context, otel_context=call.context)  # noqa: SLF001
        return call.span


def _attributes(name: str, attempt: int, trigger: Trigger) -> dict[str, Any]:
    facts = {
        semconv.PHASE_NAME: name,
        semconv.RETRY_ATTEMPT: attempt,
        semconv.DEPENDS_ON: trigger.depends_on,
        semconv.PARALLEL_GROUP: trigger.group,
        semconv.PARALLEL_WIDTH: trigger.width,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _worker_trigger(parent: Any) -> Trigger | None:
    """Tell why an item of a parallel worker starts, and record what it waited for."""
    worker = _worker.get()
    if worker is None or worker.node is not parent:
        return None
    worker.items += 1
    limit = parent.max_parallel_workers
    if limit is not None and worker.items > limit:
        place: Place = {"context": worker.context, "start_ns": worker.start_ns}
        start_wait(parent.name, kind="concurrency", concurrency_limit=limit, **place).end()
    return Trigger((), f"items of {parent.name}", worker.width)


def _is_step(node: Any, parent: Any) -> bool:
    """Tell whether an orchestrator schedules the node; agents that agents call are no steps."""
    return not (_is_agent(node) and _is_agent(parent))


def _is_agent(node: Any) -> bool:
    from google.adk.agents.base_agent import BaseAgent  # noqa: PLC0415 - imported already when nodes run

    return isinstance(node, BaseAgent)


def _is_worker(node: Any) -> bool:
    return type(node).__name__ == "_ParallelWorker"
