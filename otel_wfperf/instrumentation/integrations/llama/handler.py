"""The handler of LlamaIndex's dispatcher: runs, steps, agents, tools, model calls and retrievals.

Checked with llama-index-instrumentation 0.6.0, llama-index-workflows 2.26.1, llama-index-core 0.14.25:

* ``span_enter`` and ``span_exit`` come from within the function that is traced, so what is attached in the first is
  current in that function and is detached in the second;
* model calls and retrievals tell more in events, whose ``span_id`` is the span of the method that was called.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import Any, Final
from weakref import ref

from llama_index_instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation.span_handlers import BaseSpanHandler
from workflows.errors import WorkflowCancelledByUser
from workflows.workflow import Workflow

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.llama.models import (
    message_of,
    model_of,
    response_attributes,
    tool_call_ids,
)
from otel_wfperf.instrumentation.integrations.llama.runs import RunState
from otel_wfperf.instrumentation.integrations.llama.steps import (
    Entered,
    enter_run,
    enter_step,
    is_recorded,
    result_attributes,
    step_name,
    tool_error,
)
from otel_wfperf.instrumentation.operations import start_llm, start_retrieval
from otel_wfperf.instrumentation.prompts import Message

# Chosen: spans that begin and never end; above this the oldest is ended.
_MAX_OPEN: Final = 50_000
_MAX_TURNS: Final = 10_000


class Spans:
    """The spans that were entered and not left."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_id: dict[str, Entered] = {}
        self.is_stopped = False

    def __len__(self) -> int:
        """How many are open (count)."""
        return len(self._by_id)

    def find(self, span_id: str | None) -> Entered | None:
        """Return an open span."""
        return self._by_id.get(span_id) if span_id is not None else None

    def enter(self, span_id: str, entered: Entered) -> None:
        """Remember a span; the oldest is ended when there are too many."""
        self._by_id[span_id] = entered
        if len(self._by_id) > _MAX_OPEN:
            oldest = self._by_id.pop(next(iter(self._by_id)))
            for call in (oldest.model, oldest.call):
                if call is not None:
                    call.end()

    def leave(self, span_id: str) -> Entered | None:
        """Forget a span and return it; one whose model still streams stays until the stream ends."""
        entered = self._by_id.get(span_id)
        if entered is not None and entered.model is None:
            del self._by_id[span_id]
        return entered

    def end_with(self, span_id: str, stream: object) -> None:
        """End the model call of a span that was left no later than the stream of its answer, which may never be read.

        Args:
            span_id: The span.
            stream: What the method returned.
        """

        def end(_: object) -> None:
            entered = self.end_model(span_id)
            if entered is not None and entered.model is not None:
                model, entered.model = entered.model, None
                model.end()

        entered = self.find(span_id)
        if entered is not None:
            entered.stream = ref(stream, end)

    def end_model(self, span_id: str | None) -> Entered | None:
        """Return the span whose model call ends now, and forget it if it was left already."""
        entered = self.find(span_id)
        if entered is None or entered.model is None or span_id is None:
            return None
        if entered.token is None and entered.call is None:
            self._by_id.pop(span_id, None)
        return entered


class SpanHandler(BaseSpanHandler[Any]):
    """Turns the dispatcher's spans into operations."""

    def __init__(self, spans: Spans) -> None:
        """Write down open spans in ``spans``."""
        super().__init__()
        self._spans = spans

    _spans: Any = None

    @classmethod
    def class_name(cls) -> str:
        """Name the handler."""
        return "WfperfSpanHandler"

    def new_span(self, *_: Any, **__: Any) -> None:
        """Make no span of LlamaIndex's own."""

    def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
        """Keep none."""

    def prepare_to_drop_span(self, *_: Any, **__: Any) -> None:
        """Keep none."""

    @never_raises("llama_index.span_enter")
    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Start what the span is: a run, a step, or a method that may call a model."""
        spans: Spans = self._spans
        if spans.is_stopped:
            return
        parent = spans.find(parent_id)
        if isinstance(instance, Workflow) and "init_state" in bound_args.arguments:
            spans.enter(id_, enter_run(instance))
            return
        entered = Entered(parent.run if parent is not None else None)
        if entered.run is not None and not entered.run.is_recording:
            return
        is_step = instance is None and "llamaindex.step.input_event" in (tags or {})
        if is_step and parent is not None and parent.call is not None and parent.step is None:
            enter_step(entered, parent, step_name(id_), bound_args.arguments)
        if entered.call is not None or entered.step is not None or instance is not None:
            spans.enter(id_, entered)

    @never_raises("llama_index.span_exit")
    def span_exit(self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **_: Any) -> None:
        """End what the span is."""
        del bound_args, instance
        entered = self._spans.leave(id_)
        if entered is None:
            return
        entered.leave()
        if entered.model is not None and (inspect.isgenerator(result) or inspect.isasyncgen(result)):
            self._spans.end_with(id_, result)
        if entered.step is not None and entered.run is not None:
            entered.run.returned(*entered.step, result)
        if entered.call is not None:
            entered.call.end(error_type=tool_error(result), attributes=result_attributes(entered, result))

    @never_raises("llama_index.span_drop")
    def span_drop(self, id_: str, bound_args: Any, instance: Any = None, err: Any = None, **_: Any) -> None:
        """End what raised."""
        del bound_args, instance
        entered = self._spans.leave(id_)
        if entered is None:
            return
        entered.leave()
        if entered.model is not None:
            self._spans.end_model(id_)
            entered.model.end(err)
        if entered.step is not None and entered.run is not None:
            entered.run.failed(entered.step[0], entered.events)
        if entered.call is not None:
            entered.call.end(None if isinstance(err, WorkflowCancelledByUser) else err)


class EventHandler(BaseEventHandler):
    """Turns the dispatcher's events about models and retrievals into operations."""

    _spans: Any = None

    def __init__(self, spans: Spans) -> None:
        """Look up open spans in ``spans``."""
        super().__init__()
        self._spans = spans

    @classmethod
    def class_name(cls) -> str:
        """Name the handler."""
        return "WfperfEventHandler"

    @never_raises("llama_index.event")
    def handle(self, event: Any, **_: Any) -> None:
        """Start or end a model call or a retrieval."""
        if self._spans.is_stopped:
            return
        match event.class_name():
            case "LLMChatStartEvent":
                self._start_model(event, semconv.CHAT, [message_of(each) for each in event.messages])
            case "LLMCompletionStartEvent":
                self._start_model(event, semconv.TEXT_COMPLETION, [Message("user", (event.prompt,))])
            case "LLMChatInProgressEvent" | "LLMCompletionInProgressEvent":
                entered = self._spans.find(event.span_id)
                if entered is not None and not entered.first_token_ns:
                    entered.first_token_ns = time.time_ns()
            case "LLMChatEndEvent" | "LLMCompletionEndEvent":
                self._end_model(event.span_id, event.response)
            case "RetrievalStartEvent":
                self._start_retrieval(event)
            case "ExceptionEvent":
                entered = self._spans.end_model(event.span_id)
                if entered is not None and entered.model is not None:
                    model, entered.model = entered.model, None
                    model.end(event.exception)

    def _start_model(self, event: Any, operation: str, messages: list[Message]) -> None:
        entered: Entered | None = self._spans.find(event.span_id)
        # Methods of models call each other: only the outermost one is the call.
        if entered is None or entered.model is not None:
            return
        model, provider = model_of(event.model_dict)
        run = entered.run = entered.run or RunState(is_recording=is_recorded())
        if not run.is_recording:
            return
        call = start_llm(
            model,
            operation=operation,
            provider=provider,
            agent=run.agent,
            temperature=event.model_dict.get("temperature"),
        )
        entered.model, entered.model_start_ns = call, time.time_ns()
        entered.attach(call)
        if call.span.is_recording():
            call.span.set_attributes(run.prompts.attributes(run.agent or call.agent or "", messages))

    def _end_model(self, span_id: str | None, response: Any) -> None:
        entered: Entered | None = self._spans.end_model(span_id)
        if entered is None or entered.model is None or entered.run is None:
            return
        call, entered.model = entered.model, None
        attributes: dict[str, Any] = {}
        if response is not None:
            attributes = response_attributes(response, entered.run.content)
            turn = str(attributes.get(semconv.RESPONSE_ID) or span_id)
            for call_id in tool_call_ids(response):
                entered.run.turns[call_id] = turn
            while len(entered.run.turns) > _MAX_TURNS:
                entered.run.turns.pop(next(iter(entered.run.turns)))
        if entered.first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (entered.first_token_ns - entered.model_start_ns) / 1e9
        call.end(attributes=attributes)

    def _start_retrieval(self, event: Any) -> None:
        entered: Entered | None = self._spans.find(event.span_id)
        if entered is not None and entered.call is None and (entered.run is not None or is_recorded()):
            source = str(event.span_id).partition(".")[0]
            entered.call = start_retrieval(source)
            entered.attach(entered.call)
