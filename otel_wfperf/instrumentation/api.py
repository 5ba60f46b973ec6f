"""Recording workflows by hand: ``workflow``, ``phase``, ``agent``, ``tool``, ``llm``, ``wait``, ``context``.

Each is a decorator for functions, coroutines, generators and asynchronous generators, and a
context manager, synchronous and asynchronous. Without an OpenTelemetry provider they do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, get_args

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import (
    AttributeValue,
    Call,
    attach,
    current_operation,
    detach,
    start_call,
    unrecorded_call,
)
from otel_wfperf.instrumentation.failures import count_failure, failures_counted

if TYPE_CHECKING:
    from contextvars import Token

__all__ = [
    "Call",
    "Recording",
    "agent",
    "attach",
    "context",
    "current_operation",
    "llm",
    "phase",
    "tool",
    "wait",
    "workflow",
]

F = TypeVar("F", bound=Callable[..., Any])
WaitKind: TypeAlias = Literal["queue", "concurrency", "rate_limit", "lock", "retry_backoff", "human"]
WAIT_KINDS: Final[tuple[str, ...]] = get_args(WaitKind)
# Chosen: enough of a word to find where it was written.
_MAX_SHOWN_CHARS: Final = 60
_logger = logging.getLogger("otel_wfperf")
LlmOperation: TypeAlias = Literal["chat", "text_completion", "generate_content"]
ContextOperation: TypeAlias = Literal["build", "trim", "compact", "summarise"]


class Recording:
    """What ``phase("draft")`` returns: use it as a decorator, or in ``with`` or ``async with``."""

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        span_name: str,
        attributes: Mapping[str, AttributeValue | None],
        parent: Call | None,
        span_kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Describe operations to record; nothing starts yet."""
        self.kind = kind
        self.name = name
        self._span_name = span_name
        self._attributes = {key: value for key, value in attributes.items() if value is not None}
        self._parent = parent
        self._span_kind = span_kind
        # What `with` has entered, by identity of the call; several threads may use one object at once.
        self._entered: dict[int, tuple[Call, Token[Context] | None]] = {}

    def start(self) -> Call:
        """Start an operation without making it current; the caller calls ``end``."""
        try:
            return start_call(
                self.kind,
                self.name,
                span_name=self._span_name,
                attributes=self._attributes,
                context=self._parent.context if self._parent is not None else None,
                span_kind=self._span_kind,
            )
        except Exception:  # noqa: BLE001 - a span processor that raises must not stop the user's program
            count_failure("call.start")
            return unrecorded_call(self.kind, self.name)

    def __enter__(self) -> Call:
        call = self.start()
        token = None
        with failures_counted("call.attach"):
            token = otel_context.attach(call.context)
        self._entered[id(call)] = (call, token)
        return call

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        call, token = self._leave()
        if token is not None:
            detach(token)
        call.end(error)

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(error_type, error, trace_back)

    def __call__(self, function: F) -> F:
        """Record every call of ``function``."""
        from otel_wfperf.instrumentation.wrapping import record_calls  # noqa: PLC0415 - needs inspect, which is slow

        return record_calls(self, function)

    def _leave(self) -> tuple[Call, Token[Context] | None]:
        """Find what this `with` entered: the current operation if it is ours, else the last one entered."""
        entered = self._entered.pop(id(current_operation()), None)
        return entered if entered is not None else self._entered.popitem()[1]


def workflow(name: str, *, conversation: str | None = None, parent: Call | None = None) -> Recording:
    """Record one execution of a workflow.

    Args:
        name: Name of the workflow; of low cardinality, because metrics carry it.
        conversation: Session or thread that the execution belongs to.
        parent: Operation that this one is part of; None = the current one.
    """
    attributes = {
        semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
        semconv.WORKFLOW_NAME: name,
        semconv.CONVERSATION_ID: conversation,
    }
    return _recording("workflow", name, f"invoke_workflow {name}", attributes, parent)


def phase(
    name: str,
    *,
    depends_on: Sequence[str] | None = None,
    parallel_group: str | None = None,
    parallel_width: int | None = None,
    step: int | None = None,
    parent: Call | None = None,
) -> Recording:
    """Record a step that the orchestrator schedules.

    Args:
        name: Name of the phase; of low cardinality.
        depends_on: Names of the phases whose results it needs; an empty tuple says that it needs none.
        parallel_group: Name shared by the branches that are scheduled together.
        parallel_width: Branches in that group (count).
        step: Scheduling step; phases of one step run in parallel.
        parent: As for :func:`workflow`.
    """
    attributes: dict[str, AttributeValue | None] = {
        semconv.PHASE_NAME: name,
        semconv.DEPENDS_ON: None if depends_on is None else _names(depends_on),
        semconv.PARALLEL_GROUP: parallel_group,
        semconv.PARALLEL_WIDTH: parallel_width,
        semconv.PHASE_STEP: step,
    }
    return _recording("phase", name, f"phase {name}", attributes, parent)


def agent(name: str, *, model: str | None = None, parent: Call | None = None) -> Recording:
    """Record one invocation of an agent.

    Args:
        name: Name of the agent; of low cardinality.
        model: Its model, when it uses only one.
        parent: As for :func:`workflow`.
    """
    attributes = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
        semconv.AGENT_NAME: name,
        semconv.REQUEST_MODEL: model,
    }
    return _recording("agent", name, f"invoke_agent {name}", attributes, parent)


def tool(name: str, *, call_id: str | None = None, turn: str | None = None, parent: Call | None = None) -> Recording:
    """Record one call of a tool.

    Args:
        name: Name of the tool; of low cardinality.
        call_id: Identity that the model gave to the call.
        turn: Identity of the model response that asked for it; equal for calls that could run together.
        parent: As for :func:`workflow`.
    """
    attributes = {
        semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
        semconv.TOOL_NAME: name,
        semconv.TOOL_CALL_ID: call_id,
        semconv.TURN_ID: turn,
    }
    return _recording("tool", name, f"execute_tool {name}", attributes, parent)


def llm(
    model: str,
    *,
    provider: str | None = None,
    operation: LlmOperation = "chat",
    temperature: float | None = None,
    parent: Call | None = None,
) -> Recording:
    """Record one call of a model that nothing else records; say its tokens with ``record_tokens``.

    Args:
        model: Name of the model that is asked for.
        provider: Who serves it, such as ``openai``.
        operation: chat, text_completion or generate_content.
        temperature: What it is asked with.
        parent: As for :func:`workflow`.
    """
    attributes: dict[str, AttributeValue | None] = {
        semconv.OPERATION_NAME: operation,
        semconv.PROVIDER_NAME: provider,
        semconv.REQUEST_MODEL: model,
        semconv.REQUEST_TEMPERATURE: temperature,
    }
    return _recording("llm", model, f"{operation} {model}", attributes, parent, span_kind=SpanKind.CLIENT)


def wait(
    resource: str,
    *,
    kind: WaitKind = "queue",
    queue_depth: int | None = None,
    concurrency_limit: int | None = None,
    parent: Call | None = None,
) -> Recording:
    """Record time spent waiting for something that others use.

    Args:
        resource: What is waited for, such as the name of a pool; of low cardinality.
        kind: Why: queue, concurrency, rate_limit, lock, retry_backoff or human; anything else counts as queue, with a
            warning.
        queue_depth: Requests that wait already (count).
        concurrency_limit: Capacity of the resource (count).
        parent: As for :func:`workflow`.
    """
    if kind not in WAIT_KINDS:
        _warn_of_wait_kind(resource, repr(kind)[:_MAX_SHOWN_CHARS])
        # Whatever it was meant to be, it is time spent waiting in line; a value that no reader knows would be lost.
        kind = "queue"
    attributes: dict[str, AttributeValue | None] = {
        semconv.WAIT_KIND: kind,
        semconv.WAIT_RESOURCE: resource,
        semconv.QUEUE_DEPTH: queue_depth,
        semconv.CONCURRENCY_LIMIT: concurrency_limit,
    }
    return _recording("wait", resource, f"wait {resource}", attributes, parent)


def context(operation: ContextOperation, *, parent: Call | None = None) -> Recording:
    """Record work on context or state.

    Args:
        operation: build, trim, compact or summarise.
        parent: As for :func:`workflow`.
    """
    return _recording("context", operation, f"context {operation}", {semconv.CONTEXT_OPERATION: operation}, parent)


# As often as there are different mistakes: a wait may be in a loop.
@lru_cache(maxsize=100)
def _warn_of_wait_kind(resource: str, kind: str) -> None:
    known = ", ".join(WAIT_KINDS)
    _logger.warning("otel-wfperf: wait(%r): unknown kind: %s (known: %s); recorded as queue", resource, kind, known)


def _recording(
    kind: str,
    name: str,
    span_name: str,
    attributes: Mapping[str, AttributeValue | None],
    parent: Call | None,
    *,
    span_kind: SpanKind = SpanKind.INTERNAL,
) -> Recording:
    if not isinstance(name, str):
        raise TypeError(f"{kind}: the name must be a str, not {type(name).__name__}; write {kind}('a name')")
    return Recording(kind, name, span_name=span_name, attributes=attributes, parent=parent, span_kind=span_kind)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    # A single name is a sequence of letters, which is never meant.
    return (names,) if isinstance(names, str) else tuple(names)
