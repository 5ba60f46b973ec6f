"""The runtime of AutoGen Core: messages, the agents that handle them, and what a first message sets off."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import Call, current_operation, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import (
    Run,
    Ticket,
    begin_run,
    current_run,
    current_ticket,
    follow,
    may_record,
    record_wait,
    within,
)
from otel_wfperf.instrumentation.operations import start_agent, start_workflow

_TICKET: Final = "_otel_wfperf_ticket"
_AGENT_CHAT: Final = "autogen_agentchat."


def with_ticket(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``get_telemetry_envelope_metadata``, which is called once for each message that is sent."""

    @wraps(original)
    def get_telemetry_envelope_metadata(*args: Any, **kwargs: Any) -> Any:
        metadata = original(*args, **kwargs)
        run = current_run()
        if run is not None:
            with failures_counted("autogen.ticket"):
                setattr(metadata, _TICKET, Ticket(run))
        return metadata

    return get_telemetry_envelope_metadata


def handling(original: Callable[..., Any], context_of: Callable[[Ticket], Context]) -> Callable[..., Any]:
    """Wrap ``_process_send``, ``_process_publish`` or ``_process_response``: handle a message where it belongs."""

    @wraps(original)
    async def process(runtime: Any, message_envelope: Any, *args: Any, **kwargs: Any) -> Any:
        ticket = getattr(message_envelope.metadata, _TICKET, None)
        if ticket is None:
            return await original(runtime, message_envelope, *args, **kwargs)
        token = otel_context.attach(context_of(ticket))
        try:
            return await original(runtime, message_envelope, *args, **kwargs)
        finally:
            detach(token)
            ticket.settle()

    return process


def starting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``send_message`` or ``publish_message``: the first message from outside begins a run."""

    @wraps(original)
    async def send(runtime: Any, *args: Any, **kwargs: Any) -> Any:
        context, run = _begin(args, kwargs)
        if context is None:
            return await original(runtime, *args, **kwargs)
        token = otel_context.attach(context)
        try:
            if run is None:
                return await original(runtime, *args, **kwargs)
            with run.busy():
                try:
                    return await original(runtime, *args, **kwargs)
                except BaseException as error:
                    run.call.end(error)
                    raise
        finally:
            detach(token)

    return send


def _begin(args: tuple[Any, ...], kwargs: Any) -> tuple[Context | None, Run | None]:
    with failures_counted("autogen.send"):
        if current_run() is not None:
            return None, None
        message = args[0] if args else kwargs.get("message")
        if type(message).__module__.startswith(_AGENT_CHAT):  # a team is set up or reset
            return None, None
        around = current_operation()
        if around is not None:
            return (within(Run(around)) if may_record() else None), None
        target = args[1] if len(args) > 1 else kwargs.get("recipient") or kwargs.get("topic_id")
        # Of the agent alone, the workflow would be called what its first agent is called.
        name = f"{getattr(target, 'type', target)}.{type(message).__name__}"
        run = begin_run(lambda: start_workflow(name))
        return (None if run is None else run.context), run
    return None, None


def recorded_agent(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``BaseAgent.on_message``: handling a message is a turn of an agent, but for those that carry a team."""

    @wraps(original)
    async def on_message(agent: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin_turn(agent, message)
        if call is None:
            return await original(agent, message, *args, **kwargs)
        token = otel_context.attach(call.context)
        try:
            result = await original(agent, message, *args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        finally:
            detach(token)
        _end_turn(call, result)
        return result

    return on_message


@never_raises("autogen.on_message")
def _begin_turn(agent: Any, message: Any) -> Call | None:
    run = current_run()
    if run is None or any(each.__module__.startswith(_AGENT_CHAT) for each in type(agent).__mro__):
        return None
    handlers = getattr(agent, "_handlers", None)
    if handlers is not None and type(message) not in handlers:
        return None
    name, ticket = agent.id.type, current_ticket()
    if ticket is not None:
        record_wait(name, ticket)
    call = start_agent(name)
    if ticket is not None:
        follow(call, ticket)
    if call.span.is_recording():
        call.span.set_attributes(run.prompts.reader.input_attributes(message))
    return call


def _end_turn(call: Call, result: Any) -> None:
    run = current_run()
    attributes = None
    if result is not None and run is not None and call.span.is_recording():
        attributes = run.prompts.reader.output_attributes(result)
    call.end(attributes=attributes)
