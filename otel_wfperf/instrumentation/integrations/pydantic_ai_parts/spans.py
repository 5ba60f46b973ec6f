"""Switching pydantic-ai's own spans on, and adding to them what they lack. Checked with pydantic-ai-slim 2.68.0.

``InstrumentationSettings.handle_messages`` is given prompt, answer and span at the end of each model call.
``Instrumentation.wrap_run`` runs an agent, ``wrap_tool_execute`` a tool within its span.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span, Tracer
from pydantic_ai import __version__
from pydantic_ai.models.instrumented import InstrumentationSettings

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import current_operation
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.pydantic_ai_parts.messages import answer_facts, prompt_of
from otel_wfperf.instrumentation.prompts import Prompts

_FIELD: Final = "_otel_wfperf_prompts"
_prompts: Final[ContextVar[Prompts | None]] = ContextVar("otel_wfperf_pydantic_ai", default=None)


class OwnSettings(InstrumentationSettings):
    """Native spans without content, through whatever provider is the global one when a span starts.

    Its metrics are left out: they are recorded from the spans, as for every framework. Messages are not written even
    without their texts, as pydantic-ai would: that costs more than the rest of the span, and tells nothing more.
    """

    def __init__(self) -> None:
        """Switch everything off that carries content."""
        self._tracers: tuple[Any, Tracer] | None = None
        super().__init__(
            meter_provider=NoOpMeterProvider(),
            include_binary_content=False,
            include_content=False,
            include_model_request_parameters=False,
        )

    @property
    def tracer(self) -> Tracer:
        """Take the tracer of the provider that is the global one now: a program may set its own after us."""
        provider = trace.get_tracer_provider()
        known = self._tracers
        if known is None or known[0] is not provider:
            known = self._tracers = (provider, provider.get_tracer("pydantic-ai", __version__))
        return known[1]

    @tracer.setter
    def tracer(self, _: Tracer) -> None:
        """Take no fixed tracer."""

    def handle_messages(self, *args: Any, **kwargs: Any) -> None:
        """Write sizes and hashes instead of messages."""
        with failures_counted("pydantic_ai.messages"):
            describe(*args, **kwargs)

    def messages_to_otel_messages(self, *_: Any, **__: Any) -> list[Any]:
        """Write no messages at the end of a run, either."""
        return []


def describe(input_messages: Any, response: Any, span: Span, parameters: Any = None, *_: Any, **__: Any) -> None:
    """Describe a model call on its span; called as ``InstrumentationSettings.handle_messages`` is."""
    if not span.is_recording():
        return
    prompts = _prompts.get() or Prompts()
    known = getattr(span, "attributes", None) or {}
    speaker = str(known.get(semconv.AGENT_NAME) or "")
    attributes = prompts.attributes(speaker, prompt_of(input_messages, parameters))
    attributes |= answer_facts(response, prompts.reader)
    span.set_attributes(attributes)


def sharing_prompts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let the runs of one execution know each other's prompts, as long as what is around them all lasts."""

    @wraps(original)
    async def wrap_run(self: Any, ctx: Any, **kwargs: Any) -> Any:
        token = None
        with failures_counted("pydantic_ai.run"):
            if _prompts.get() is None:
                token = _prompts.set(_prompts_around())
        try:
            return await original(self, ctx, **kwargs)
        finally:
            if token is not None:
                # A stream may be closed by a task that never ran it.
                with suppress(ValueError):
                    _prompts.reset(token)

    return wrap_run


def _prompts_around() -> Prompts:
    """Find the prompts of the outermost operation, else of the current span, or begin with none."""
    outermost = current_operation()
    while outermost is not None and outermost.outer is not None:
        outermost = outermost.outer
    span = trace.get_current_span() if outermost is None else outermost.span
    prompts: Prompts | None = getattr(span, _FIELD, None)
    if prompts is None:
        prompts = Prompts()
        if span.is_recording():
            # Kept there, it goes when the span goes; opentelemetry-sdk 1.36 to 1.45 have no __slots__ there.
            setattr(span, _FIELD, prompts)
    return prompts


def describing_models(original: Callable[..., Any]) -> Callable[..., Any]:
    """Add to model calls of a user's own settings."""

    @wraps(original)
    def handle_messages(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        with failures_counted("pydantic_ai.messages"):
            describe(*args, **kwargs)
        return result

    return handle_messages


def describing_tools(original: Callable[..., Any]) -> Callable[..., Any]:
    """Add to tools: which try it is, and sizes and hashes of arguments and result."""

    @wraps(original)
    async def wrap_tool_execute(self: Any, ctx: Any, *, handler: Callable[[Any], Any], **kwargs: Any) -> Any:
        async def described(args: Any) -> Any:
            span = trace.get_current_span()
            reader = (_prompts.get() or Prompts()).reader
            with failures_counted("pydantic_ai.tool"):
                if span.is_recording():
                    attributes = reader.input_attributes(args)
                    span.set_attributes({**attributes, semconv.RETRY_ATTEMPT: int(ctx.retry) + 1})
            result = await handler(args)
            with failures_counted("pydantic_ai.tool"):
                if span.is_recording():
                    span.set_attributes(reader.output_attributes(result))
            return result

        return await original(self, ctx, handler=described, **kwargs)

    return wrap_tool_execute
