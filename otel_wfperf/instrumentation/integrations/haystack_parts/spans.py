"""Spans of Haystack's tracer, with an operation beside each that means something.

Checked with haystack-ai 3.4.1. Haystack passes the parent on by hand wherever work moves to another task or thread,
so an operation belongs to the given parent, else to what is current.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final

from haystack.tracing import Span
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.haystack_parts.messages import prompt_of, replies_of, reply_attributes
from otel_wfperf.instrumentation.operations import (
    start_agent,
    start_context,
    start_llm,
    start_phase,
    start_retrieval,
    start_tool,
    start_wait,
    start_workflow,
)
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

_INPUTS: Final = frozenset(
    {"haystack.component.input", "haystack.agent.step.llm.input", "haystack.agent.step.tool.input"}
)
_OUTPUTS: Final = frozenset(
    {"haystack.component.output", "haystack.agent.step.llm.output", "haystack.agent.step.tool.output"}
)

Tags = Mapping[str, Any]


class Pipeline:
    """What the spans of one outermost run share.

    Attributes:
        content: Reads what components and tools were given and returned.
        prompts: Compares each prompt with the one before it.
        finished: Names of the components that have returned, which is what a later one may depend on.
        turns: Model response that asked for each tool call, by the call's id.
    """

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)
        self.finished: set[str] = set()
        self.turns: dict[str, str] = {}


class RecordedSpan(Span):
    """A span of the actual tracer, and what we record beside it.

    Attributes:
        actual: The tracer's own span.
        pipeline: What it shares with the others.
        agent: Name of the agent that it is part of.
        generator: What that agent asks.
        is_in_model_call: Whether it is part of a model call.
        call: Its operation; None = it has none.
        inner: The model call or retrieval that a component is; it ends first.
        component: Name of the component that it is a run of.
        context: Where its children belong.
    """

    def __init__(self, actual: Span, parent: RecordedSpan | None, context: Context) -> None:
        """Stand for the actual span."""
        self.actual = actual
        self.context = context
        self.pipeline: Pipeline = parent.pipeline if parent is not None else Pipeline()
        self.agent: str | None = parent.agent if parent is not None else None
        self.generator: Any = parent.generator if parent is not None else None
        self.is_in_model_call: bool = parent is not None and (parent.is_in_model_call or parent.model_call is not None)
        self.call: Call | None = None
        self.inner: Call | None = None
        self.component: str | None = None
        self.error_type: str | None = None
        self.is_model_known = True
        self.start_ns = time.time_ns()
        self.results: dict[str, Any] = {}

    def set_tag(self, key: str, value: Any) -> None:
        """Pass a tag on."""
        self.actual.set_tag(key, value)
        if key == "haystack.tool.error" and value is True:
            self.error_type = "tool_error"

    def set_content_tag(self, key: str, value: Any) -> None:
        """Pass content on, which the tracer may refuse to record; measure it ourselves."""
        self.actual.set_content_tag(key, value)
        if key in _INPUTS:
            self._given(value)
        elif key in _OUTPUTS:
            self._returned(value)

    def raw_span(self) -> Any:
        """Return what the tracer's own span returns."""
        return self.actual.raw_span()

    def get_correlation_data_for_logs(self) -> dict[str, Any]:
        """Return what the tracer's own span returns."""
        data: dict[str, Any] = self.actual.get_correlation_data_for_logs()
        return data

    def __getattr__(self, name: str) -> Any:
        # Integrations of Haystack know more methods of their own spans.
        return getattr(self.actual, name)

    @property
    def model_call(self) -> Call | None:
        """The model call that the span is, or that its component is."""
        return next((call for call in (self.inner, self.call) if call is not None and call.kind == "llm"), None)

    @never_raises("haystack.input")
    def _given(self, value: Any) -> None:
        model, pipeline = self.model_call, self.pipeline
        if model is not None:
            if model.span.is_recording():
                speaker = model.agent or self.component or ""
                model.span.set_attributes(pipeline.prompts.attributes(speaker, prompt_of(value)))
        elif self.call is not None and self.call.span.is_recording():
            self.call.span.set_attributes(pipeline.content.input_attributes(value))

    @never_raises("haystack.output")
    def _returned(self, value: Any) -> None:
        model = self.model_call
        if model is None:
            if self.call is not None and self.call.span.is_recording():
                self.results = self.pipeline.content.output_attributes(value)
            return
        attributes = reply_attributes(value, self.pipeline.content, start_ns=self.start_ns)
        answered = attributes.get(semconv.RESPONSE_MODEL)
        if answered is not None and not self.is_model_known:
            attributes[semconv.REQUEST_MODEL] = answered
        self.results = attributes
        turn = attributes.get(semconv.RESPONSE_ID) or f"{model.span.get_span_context().span_id:016x}"
        for reply in replies_of(value):
            for call in getattr(reply, "tool_calls", None) or ():
                if call.id:
                    self.pipeline.turns[call.id] = str(turn)

    def end(self, error: BaseException | None) -> None:
        """End what was recorded."""
        if self.inner is not None:
            self.inner.end(error, attributes=self.results)
        if self.call is not None:
            results = {} if self.inner is not None else self.results
            self.call.end(error, error_type=self.error_type, attributes=results)
        if self.component is not None and error is None:
            self.pipeline.finished.add(self.component)


_current: ContextVar[RecordedSpan | None] = ContextVar("otel_wfperf_haystack_span", default=None)


def current_span() -> RecordedSpan | None:
    """Return the innermost span of ours that surrounds the caller."""
    return _current.get()


def is_part_of_a_run(parent: object) -> bool:
    """Tell whether a new span with this parent belongs to a run that we record."""
    return isinstance(parent, RecordedSpan) or _current.get() is not None


class Traced(AbstractContextManager[Span]):
    """What ``tracer.trace`` returns: opens the actual tracer's span and our operation.

    Attributes:
        subject: The component, agent or tool call that the span is about, where the caller told.
    """

    def __init__(
        self, trace: Callable[..., AbstractContextManager[Span]], name: str, tags: Tags | None, parent: Any
    ) -> None:
        """Prepare; nothing starts before the block is entered."""
        self.subject: Any = None
        self._name = name
        self._tags: Tags = tags or {}
        self._parent = parent if isinstance(parent, RecordedSpan) else _current.get()
        actual_parent = parent.actual if isinstance(parent, RecordedSpan) else parent
        self._actual = trace(name, tags=tags, parent_span=actual_parent)
        self._span: RecordedSpan | None = None
        self._tokens: tuple[Token[RecordedSpan | None], Token[Context]] | None = None

    def __enter__(self) -> Span:
        """Start both."""
        actual = self._actual.__enter__()
        with failures_counted("haystack.span_enter"):
            parent = self._parent
            context = otel_context.get_current() if parent is None or _is_inside(parent) else parent.context
            span = RecordedSpan(actual, parent, context)
            start(span, self._name, self._tags, self.subject)
            self._span = span
            # The block of an asynchronous run is that of a generator: between two of its items, other code runs.
            is_generator = self._tags.get("haystack.pipeline.execution_mode") == "async"
            if not is_generator:
                self._tokens = _current.set(span), otel_context.attach(span.context)
            return span
        return actual

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> bool | None:
        """End both."""
        if self._tokens is not None:
            with failures_counted("haystack.span_exit"):
                current, attached = self._tokens
                detach(attached)
                with suppress(ValueError):  # Left in another context than entered, where there is nothing to restore.
                    _current.reset(current)
        if self._span is not None:
            with failures_counted("haystack.span_exit"):
                self._span.end(error)
        return self._actual.__exit__(error_type, error, trace_back)


def start(span: RecordedSpan, name: str, tags: Tags, subject: Any) -> None:
    """Start the operation that a span of this name means, if it means one."""
    starter = _STARTERS.get(name)
    if starter is None:
        return
    starter(span, tags, subject)
    for call in (span.call, span.inner):
        if call is not None:
            span.context = call.context


def _start_pipeline(span: RecordedSpan, tags: Tags, _subject: Any) -> None:
    metadata = tags.get("haystack.pipeline.metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    span.call = start_workflow(str(name or _enclosing_component() or "pipeline"), context=span.context)


def _start_agent(span: RecordedSpan, _tags: Tags, agent: Any) -> None:
    span.agent = _enclosing_component() or "Agent"
    span.generator = getattr(agent, "chat_generator", None)
    span.call = start_agent(span.agent, context=span.context)


def _start_step(span: RecordedSpan, _tags: Tags, _subject: Any) -> None:
    span.call = _start_model(span, span.generator, type(span.generator).__name__)


def _start_generator(span: RecordedSpan, tags: Tags, _subject: Any) -> None:
    if span.is_in_model_call:
        # One of several generators that a FallbackChatGenerator tries: it returns the reply, and is the call.
        return
    span.call = _start_model(span, None, str(tags.get("haystack.component.type")))


def _start_tool(span: RecordedSpan, tags: Tags, tool_call: Any) -> None:
    call_id = getattr(tool_call, "id", None)
    turn = span.pipeline.turns.pop(call_id, None) if call_id else None
    name = str(tags.get("haystack.tool.name"))
    span.call = start_tool(name, agent=span.agent, call_id=call_id, turn=turn, context=span.context)


def _start_hook(span: RecordedSpan, tags: Tags, _subject: Any) -> None:
    if ".compaction." in str(tags.get("haystack.agent.hook.type")):
        span.call = start_context("compact", context=span.context)


def _start_confirmation(span: RecordedSpan, tags: Tags, _subject: Any) -> None:
    span.call = start_wait(str(tags.get("haystack.tool.name")), kind="human", context=span.context)


def _start_component(span: RecordedSpan, tags: Tags, instance: Any) -> None:
    name, kind = str(tags.get("haystack.component.name")), str(tags.get("haystack.component.type", ""))
    span.component = name
    # What has not run yet is not waited for: it is behind in a loop, or another branch.
    needed = sorted(_senders(tags.get("haystack.component.input_spec")) & span.pipeline.finished)
    span.call = start_phase(name, depends_on=needed, context=span.context)
    if "Retriever" in kind:
        span.inner = start_retrieval(name, context=span.call.context)
    elif kind.endswith("Generator") and "replies" in (tags.get("haystack.component.output_spec") or ()):
        span.context = span.call.context
        span.inner = _start_model(span, instance, kind)


def _start_model(span: RecordedSpan, generator: Any, kind: str) -> Call:
    model = getattr(generator, "model", None)
    span.is_model_known = isinstance(model, str) and bool(model)
    provider = kind.partition("Chat")[0].removesuffix("Generator").lower() or None
    name = str(model) if span.is_model_known else kind
    return start_llm(name, provider=provider, agent=span.agent, context=span.context)


def _enclosing_component() -> str | None:
    """Name the component whose run the caller is in."""
    outer = _current.get()
    return outer.component if outer is not None else None


def _senders(spec: object) -> set[str]:
    sockets: Sequence[Any] = list(spec.values()) if isinstance(spec, Mapping) else []
    return {str(each) for socket in sockets if isinstance(socket, Mapping) for each in socket.get("senders") or ()}


def _is_inside(parent: RecordedSpan) -> bool:
    """Tell whether the caller runs in the parent's own code, where the user's own spans are current."""
    return _current.get() is parent


_STARTERS: Final[Mapping[str, Callable[[RecordedSpan, Tags, Any], None]]] = {
    "haystack.pipeline.run": _start_pipeline,
    "haystack.component.run": _start_component,
    "haystack.agent.run": _start_agent,
    "haystack.agent.step.llm": _start_step,
    "haystack.agent.step.tool": _start_tool,
    "haystack.chat_generator.run": _start_generator,
    "haystack.agent.hook": _start_hook,
    "haystack.agent.hook.human_in_the_loop.strategy": _start_confirmation,
}
