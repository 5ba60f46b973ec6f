"""Callbacks of model calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from opentelemetry.trace import SpanKind

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import start_call
from otel_wfperf.instrumentation.describing import describe
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.langchain.callbacks import RunCallbacks, runnable_name, without_none
from otel_wfperf.instrumentation.integrations.langchain.messages import (
    response_attributes,
    response_id,
    response_message,
    tool_call_ids,
)
from otel_wfperf.instrumentation.integrations.langchain.runs import Run
from otel_wfperf.instrumentation.prompts import Message

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

# Chosen: the tool calls of one execution that may wait for their tool; older ones lose their turn.
_MAX_TURNS: Final = 10_000


class ModelCallbacks(RunCallbacks):
    """Records calls of chat and completion models."""

    @never_raises("langchain.on_chat_model_start")
    def on_chat_model_start(
        self,
        serialized: Mapping[str, Any] | None,
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a call of a chat model."""
        run = self.start(run_id, parent_run_id, runnable_name(serialized), metadata)
        if run is not None:
            self._start_model(run, semconv.CHAT, kwargs.get("invocation_params") or {})
            self._describe(run, messages[0] if messages else ())

    @never_raises("langchain.on_llm_start")
    def on_llm_start(
        self,
        serialized: Mapping[str, Any] | None,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start a call of a model that completes text."""
        run = self.start(run_id, parent_run_id, runnable_name(serialized), metadata)
        if run is not None:
            self._start_model(run, semconv.TEXT_COMPLETION, kwargs.get("invocation_params") or {})
            self._describe(run, None, prompts[0] if prompts else "")

    @never_raises("langchain.on_llm_new_token")
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:
        """Note when the first token came."""
        del token
        run = self.runs.find(run_id)
        if run is not None and run.first_token_ns == 0:
            run.first_token_ns = time.time_ns()

    @never_raises("langchain.on_stream_event")
    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:
        """Do the same for models that stream content blocks (langchain-core 1.7, ``stream_events`` v3)."""
        if isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            self.on_llm_new_token(None, run_id=run_id)

    @never_raises("langchain.on_llm_end")
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """End a model call; remember which tool calls it asked for."""
        run = self.runs.remove(run_id)
        if run is None or run.call is None:
            return
        attributes: dict[str, Any] = {}
        # Whatever an unusual answer does to the reading of it, the call has ended.
        with failures_counted("langchain.response"):
            self._remember_turn(run, response_message(response), fallback=str(run_id))
            if run.call.span.is_recording():
                attributes = response_attributes(response)
                conversation = run.execution.conversation
                describe(run.call.span, lambda: conversation.answer_attributes(response))
        if run.first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (run.first_token_ns - run.start_ns) / 1e9
        run.end(attributes=attributes)

    @never_raises("langchain.on_llm_error")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a model call that raised."""
        self.fail(run_id, error)

    def _remember_turn(self, run: Run, message: BaseMessage | None, *, fallback: str) -> None:
        turns = run.execution.turns
        turn = response_id(message) or fallback
        for call_id in tool_call_ids(message):
            turns[call_id] = turn
        while len(turns) > _MAX_TURNS:
            turns.pop(next(iter(turns)))

    def _start_model(self, run: Run, operation: str, params: Mapping[str, Any]) -> None:
        model = str(run.metadata.get("ls_model_name") or params.get("model") or params.get("model_name") or run.name)
        agent = run.anchor.agent if run.anchor is not None else None
        attributes = {
            semconv.OPERATION_NAME: operation,
            semconv.PROVIDER_NAME: run.metadata.get("ls_provider"),
            semconv.REQUEST_MODEL: model,
            semconv.REQUEST_TEMPERATURE: run.metadata.get("ls_temperature", params.get("temperature")),
            semconv.AGENT_NAME: agent,
        }
        run.call = start_call(
            "llm",
            model,
            span_name=f"{operation} {model}",
            attributes=without_none(attributes),
            context=run.context,
            span_kind=SpanKind.CLIENT,
            start_ns=run.start_ns,
        )

    @never_raises("langchain.prompt")
    def _describe(self, run: Run, messages: Sequence[BaseMessage] | None, prompt: str = "") -> None:
        """Describe the prompt: messages, or the text of a model that completes text."""
        call, execution = run.call, run.execution
        if call is None or not call.span.is_recording():
            return
        speaker, said = call.agent or run.node or "", None if messages is None else tuple(messages)

        def attributes() -> dict[str, Any]:
            read = [Message("human", (prompt,))] if said is None else execution.conversation.read_all(said)
            return execution.prompts.attributes(speaker, read)

        describe(call.span, attributes)
