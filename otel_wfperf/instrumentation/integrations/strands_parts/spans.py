"""What Strands' own spans lack: prompt sizes, attempts, finish reasons, sizes and hashes of what tools were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

from opentelemetry import trace

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.strands_parts.executions import (
    Within,
    execution_around,
    is_left_to_others,
    place_of,
    put,
)
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of

# On Strands' tracer: the provider that was global when it was last looked at.
_FOUND: Final = "_otel_wfperf_found"
# What Strands itself writes on a span that was cancelled.
_CANCELLED: Final = "strands.cancellation.type"


def noting_provider(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap the constructor: remember the provider that it found."""

    @wraps(original)
    def init(tracer: Any, *args: Any, **kwargs: Any) -> None:
        original(tracer, *args, **kwargs)
        with failures_counted("strands.provider"):
            setattr(tracer, _FOUND, tracer.tracer_provider)

    return init


def following_provider(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``_start_span``: write to the provider that is global now.

    Strands keeps the one that was global when its tracer was made, which is ours if the user sets theirs later. One
    that the user gave to the tracer stays.
    """

    @wraps(original)
    def start_span(tracer: Any, *args: Any, **kwargs: Any) -> Any:
        _follow(tracer, trace.get_tracer_provider())
        return original(tracer, *args, **kwargs)

    return start_span


def starting_agents(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``start_agent_span``."""

    @wraps(original)
    def start_agent_span(tracer: Any, messages: Any, agent_name: str, *args: Any, **kwargs: Any) -> Any:
        around = trace.get_current_span()
        span = original(tracer, messages, agent_name, *args, **kwargs)
        _place_agent(span, around, agent_name)
        return span

    return start_agent_span


def starting_runs(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``start_multiagent_span``."""

    @wraps(original)
    def start_multiagent_span(tracer: Any, *args: Any, **kwargs: Any) -> Any:
        around = trace.get_current_span()
        span = original(tracer, *args, **kwargs)
        _place_agent(span, around, "")
        return span

    return start_multiagent_span


def starting_cycles(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``start_event_loop_cycle_span``."""

    @wraps(original)
    def start_cycle(
        tracer: Any, invocation_state: Any, messages: Any, parent_span: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        span = original(tracer, invocation_state, messages, parent_span, *args, **kwargs)
        _place_below(span, parent_span)
        return span

    return start_cycle


def starting_model_calls(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``start_model_invoke_span``."""

    @wraps(original)
    def start_model_call(tracer: Any, messages: Any, parent_span: Any = None, *args: Any, **kwargs: Any) -> Any:
        span = original(tracer, messages, parent_span, *args, **kwargs)
        _describe_request(span, messages, parent_span, kwargs.get("system_prompt"))
        return span

    return start_model_call


def ending_model_calls(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``end_model_invoke_span``."""

    @wraps(original)
    def end_model_call(tracer: Any, span: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        # usage, metrics, stop_reason
        reason = args[2] if len(args) > 2 else kwargs.get("stop_reason")
        _describe_answer(span, message, None if reason is None else str(reason))
        original(tracer, span, message, *args, **kwargs)

    return end_model_call


def starting_tools(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``start_tool_call_span``."""

    @wraps(original)
    def start_tool(tracer: Any, tool: Any, parent_span: Any = None, *args: Any, **kwargs: Any) -> Any:
        span = original(tracer, tool, parent_span, *args, **kwargs)
        _describe_tool(span, tool, parent_span)
        return span

    return start_tool


def ending_tools(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``end_tool_call_span``."""

    @wraps(original)
    def end_tool(tracer: Any, span: Any, tool_result: Any, *args: Any, **kwargs: Any) -> None:
        _describe_result(span, tool_result)
        original(tracer, span, tool_result, *args, **kwargs)

    return end_tool


def ending_agents(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``end_agent_span``."""

    @wraps(original)
    def end_agent(tracer: Any, span: Any, *args: Any, **kwargs: Any) -> None:
        original(tracer, span, *args, **kwargs)
        _forget_open(span)

    return end_agent


def cancelling_agents(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``end_span_with_cancellation``.

    Strands ends neither the cycle nor the model call of an agent that is cancelled or whose stream is closed.
    """

    @wraps(original)
    def end_cancelled(tracer: Any, span: Any, cancellation: BaseException, *args: Any, **kwargs: Any) -> None:
        _end_open(span, cancellation)
        original(tracer, span, cancellation, *args, **kwargs)
        _forget_open(span)

    return end_cancelled


@never_raises("strands.provider")
def _follow(tracer: Any, provider: Any) -> None:
    found = getattr(tracer, _FOUND, None)
    if provider is not found and tracer.tracer_provider is found:
        tracer.tracer = provider.get_tracer(tracer.service_name)
        tracer.tracer_provider = provider
        setattr(tracer, _FOUND, provider)


@never_raises("strands.agent")
def _place_agent(span: Any, around: Any, agent: str) -> None:
    if span.is_recording() and not is_left_to_others():
        put(span, Within(execution_around(around), agent))


@never_raises("strands.place")
def _place_below(span: Any, parent: Any) -> Within | None:
    above = place_of(parent)
    if above is None or not span.is_recording():
        return None
    within = above.below(span)
    put(span, within)
    return within


@never_raises("strands.request")
def _describe_request(span: Any, messages: Any, parent: Any, instructions: Any) -> None:
    within = _place_below(span, parent)
    cycle = place_of(parent)
    if within is None or cycle is None:
        return
    cycle.model_calls += 1
    attributes = within.execution.prompts.attributes(within.agent, _prompt(messages, instructions))
    attributes[semconv.RETRY_ATTEMPT] = cycle.model_calls
    if within.agent:
        attributes[semconv.AGENT_NAME] = within.agent
    span.set_attributes(attributes)


@never_raises("strands.answer")
def _describe_answer(span: Any, message: Any, stop_reason: str | None) -> None:
    within = place_of(span)
    if within is not None and span.is_recording():
        answer = _message(message)
        span.set_attributes(answer_attributes(answer, within.execution.content, finish_reason=stop_reason))


@never_raises("strands.tool")
def _describe_tool(span: Any, tool: Mapping[str, Any], parent: Any) -> None:
    within = _place_below(span, parent)
    if within is not None:
        attributes = within.execution.content.input_attributes(tool.get("input"))
        if within.agent:
            attributes[semconv.AGENT_NAME] = within.agent
        span.set_attributes(attributes)


@never_raises("strands.result")
def _describe_result(span: Any, result: Mapping[str, Any] | None) -> None:
    within = place_of(span)
    if within is not None and result is not None and span.is_recording():
        span.set_attributes(within.execution.content.output_attributes(result.get("content")))


@never_raises("strands.cancelled")
def _end_open(agent_span: Any, cancellation: BaseException) -> None:
    within = place_of(agent_span)
    for span in reversed(within.open if within is not None else ()):
        if span.is_recording():
            span.set_attribute(_CANCELLED, type(cancellation).__name__)
            span.end()


def _forget_open(agent_span: Any) -> None:
    """Leave no circle of references for the garbage collector."""
    within = place_of(agent_span)
    if within is not None:
        within.open.clear()


def _prompt(messages: Iterable[Mapping[str, Any]], instructions: Any) -> Iterator[Message]:
    if instructions:
        yield Message("system", tuple(texts_of(instructions)))
    yield from map(_message, messages)


def _message(message: Mapping[str, Any]) -> Message:
    texts: list[str] = []
    tools: list[str] = []
    for block in message.get("content") or ():
        if (said := block.get("text")) is not None:
            texts.append(said)
        elif (use := block.get("toolUse")) is not None:
            tools.append(str(use.get("name")))
            texts += texts_of(use.get("input"))
        elif (result := block.get("toolResult")) is not None:
            texts += texts_of(result.get("content"))
    return Message(str(message.get("role")), tuple(texts), tuple(tools))
