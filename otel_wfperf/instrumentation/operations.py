"""Starting an operation of each kind with the attributes that its convention asks for; used by the integrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import AttributeValue, Call, start_call


class Place(TypedDict, total=False):
    """Where and when an operation starts.

    Attributes:
        context: Holds the parent; None or absent = the current context.
        start_ns: Nanoseconds since the Unix epoch; None or absent = now.
    """

    context: Context | None
    start_ns: int | None


def start_workflow(name: str, *, conversation: str | None = None, **place: Unpack[Place]) -> Call:
    """Start an execution of a workflow."""
    attributes = {
        semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
        semconv.WORKFLOW_NAME: name,
        semconv.CONVERSATION_ID: conversation,
    }
    return _start("workflow", name, f"invoke_workflow {name}", attributes, **place)


def start_phase(
    name: str,
    *,
    step: int | None = None,
    group: str | None = None,
    width: int | None = None,
    depends_on: Sequence[str] | None = None,
    attempt: int | None = None,
    **place: Unpack[Place],
) -> Call:
    """Start a step that the orchestrator schedules.

    Args:
        name: Name of the phase.
        step: Scheduling step; phases of one step run in parallel.
        group: Name shared by the branches that are scheduled together.
        width: Branches in that group (count).
        depends_on: Names of the phases whose results it needs; empty = none, None = not declared.
        attempt: 1 = first try.
        place: Where and when.
    """
    attributes = {
        semconv.PHASE_NAME: name,
        semconv.PHASE_STEP: step,
        semconv.PARALLEL_GROUP: group,
        semconv.PARALLEL_WIDTH: width,
        semconv.DEPENDS_ON: None if depends_on is None else tuple(depends_on),
        semconv.RETRY_ATTEMPT: attempt,
    }
    return _start("phase", name, f"phase {name}", attributes, **place)


def start_agent(
    name: str, *, model: str | None = None, conversation: str | None = None, **place: Unpack[Place]
) -> Call:
    """Start an invocation of an agent; ``model`` only where it uses a single one."""
    attributes = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
        semconv.AGENT_NAME: name,
        semconv.REQUEST_MODEL: model,
        semconv.CONVERSATION_ID: conversation,
    }
    return _start("agent", name, f"invoke_agent {name}", attributes, **place)


def start_tool(
    name: str,
    *,
    agent: str | None = None,
    call_id: str | None = None,
    turn: str | None = None,
    attempt: int | None = None,
    **place: Unpack[Place],
) -> Call:
    """Start a call of a tool.

    Args:
        name: Name of the tool.
        agent: Name of the agent that calls it.
        call_id: Identity that the model gave to the call.
        turn: Identity of the model response that asked for it.
        attempt: 1 = first try.
        place: Where and when.
    """
    attributes = {
        semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
        semconv.TOOL_NAME: name,
        semconv.AGENT_NAME: agent,
        semconv.TOOL_CALL_ID: call_id,
        semconv.TURN_ID: turn,
        semconv.RETRY_ATTEMPT: attempt,
    }
    return _start("tool", name, f"execute_tool {name}", attributes, **place)


def start_llm(
    model: str,
    *,
    operation: str = semconv.CHAT,
    provider: str | None = None,
    agent: str | None = None,
    temperature: float | None = None,
    **place: Unpack[Place],
) -> Call:
    """Start a call of a model; ``operation`` is chat, text_completion or generate_content."""
    attributes = {
        semconv.OPERATION_NAME: operation,
        semconv.PROVIDER_NAME: provider,
        semconv.REQUEST_MODEL: model,
        semconv.REQUEST_TEMPERATURE: temperature,
        semconv.AGENT_NAME: agent,
    }
    return _start("llm", model, f"{operation} {model}", attributes, span_kind=SpanKind.CLIENT, **place)


def start_retrieval(source: str, **place: Unpack[Place]) -> Call:
    """Start a search for documents in a source."""
    attributes = {semconv.OPERATION_NAME: semconv.RETRIEVAL, semconv.DATA_SOURCE_ID: source}
    return _start("retrieval", source, f"retrieval {source}", attributes, **place)


def start_wait(
    resource: str,
    *,
    kind: str,
    queue_depth: int | None = None,
    concurrency_limit: int | None = None,
    **place: Unpack[Place],
) -> Call:
    """Start a wait; ``kind`` is queue, concurrency, rate_limit, lock, retry_backoff or human."""
    attributes = {
        semconv.WAIT_KIND: kind,
        semconv.WAIT_RESOURCE: resource,
        semconv.QUEUE_DEPTH: queue_depth,
        semconv.CONCURRENCY_LIMIT: concurrency_limit,
    }
    return _start("wait", resource, f"wait {resource}", attributes, **place)


def start_context(operation: str, **place: Unpack[Place]) -> Call:
    """Start work on context or state; ``operation`` is build, trim, compact or summarise."""
    return _start("context", operation, f"context {operation}", {semconv.CONTEXT_OPERATION: operation}, **place)


def record_handoff(source: str, target: str, **place: Unpack[Place]) -> None:
    """Record that one agent passed the work on to another; it takes no time of its own."""
    attributes = {semconv.HANDOFF_FROM: source, semconv.HANDOFF_TO: target}
    call = _start("handoff", target, f"handoff {target}", attributes, **place)
    call.end(end_ns=place.get("start_ns"))


def _start(
    kind: str,
    name: str,
    span_name: str,
    attributes: Mapping[str, AttributeValue | None],
    *,
    span_kind: SpanKind = SpanKind.INTERNAL,
    **place: Unpack[Place],
) -> Call:
    known = {key: value for key, value in attributes.items() if value is not None}
    return start_call(kind, name, span_name=span_name, attributes=known, span_kind=span_kind, **place)
