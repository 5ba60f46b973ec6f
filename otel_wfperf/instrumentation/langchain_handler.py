"""The callback handler that turns LangChain runs into operations.

LangChain calls it in the thread or task that runs the runnable (``run_inline``), and knows
nothing of it otherwise: each method swallows and counts its own failures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import start_call
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.langchain_messages import (
    Message,
    Prompt,
    response_attributes,
    response_id,
    response_message,
    tool_call_ids,
)
from otel_wfperf.instrumentation.langchain_runs import Run, Runs

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

# Chosen: the tool calls of one execution that may wait for their tool; older ones lose their turn.
_MAX_TURNS: Final = 10_000
# Key of the same name in opentelemetry.context; other instrumentations set it around their own calls.
_SUPPRESSED: Final = "suppress_instrumentation"


class WorkflowHandler(BaseCallbackHandler):
    """Records workflows, phases, agents, tools, model calls and retrievals.

    Attributes:
        runs: The open runs.
    """

    run_inline = True
    # The one flag that makes LangChain re-raise what a handler raises stays off.
    raise_error = False

    def __init__(self, is_recorded_elsewhere: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            is_recorded_elsewhere: Tells whether another instrumentation records LangChain already.
        """
        self.runs = Runs()
        self._is_recorded_elsewhere = is_recorded_elsewhere
        self._active = True

    def stop(self) -> None:
        """Record no further run; those that are open still end."""
        self._active = False

    @property
    def ignore_custom_event(self) -> bool:
        """Tell LangChain not to call for events that are not read here."""
        return True

    @property
    def ignore_retry(self) -> bool:
        """As above."""
        return True

    @never_raises("langchain.attach")
    def attach(self, config: Mapping[str, Any]) -> None:
        """Make a run current in the context in which LangChain will call its function."""
        run = self.runs.find(getattr(config.get("callbacks"), "parent_run_id", None))
        if run is not None and run.call is not None:
            # Never detached: LangChain made this context for one call and throws it away.
            otel_context.attach(run.context)

    @never_raises("langchain.on_chain_start")
    def on_chain_start(
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        run_type: str | None = None,
        **_: Any,
    ) -> None:
        """Start what the run is: a workflow, an agent, a phase, or nothing of its own."""
        run = self._start(run_id, parent_run_id, name or _serialized_name(serialized), metadata)
        if run is not None:
            self.runs.start_chain(run, tags or (), run_type, inputs)

    @never_raises("langchain.on_chain_end")
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """End a chain."""
        run = self.runs.remove(run_id)
        if run is None or run.call is None:
            return
        if run.inner is not None:
            run.inner.end()
        run.call.end(attributes=_result(run, outputs))

    @never_raises("langchain.on_chain_error")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a chain that raised."""
        self._fail(run_id, error)

    @never_raises("langchain.on_tool_start")
    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        tool_call_id: str | None = None,
        **_: Any,
    ) -> None:
        """Start a tool."""
        run = self._start(run_id, parent_run_id, _serialized_name(serialized), metadata)
        if run is None:
            return
        attributes = {
            semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
            semconv.TOOL_NAME: run.name,
            semconv.AGENT_NAME: run.anchor.agent if run.anchor is not None else None,
            semconv.TOOL_CALL_ID: tool_call_id,
            semconv.TURN_ID: run.execution.turns.pop(tool_call_id, None) if tool_call_id else None,
        }
        if run.is_recording:
            attributes.update(run.execution.content.input_attributes(input_str if inputs is None else inputs))
        run.call = run.begin("tool", run.name, f"execute_tool {run.name}", _known(attributes))

    @never_raises("langchain.on_tool_end")
    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """End a tool."""
        run = self.runs.remove(run_id)
        if run is None or run.call is None:
            return
        # ToolNode and handle_tool_error turn exceptions into messages for the model.
        failed = getattr(output, "status", None) == "error"
        result = _result(run, getattr(output, "content", output))
        run.call.end(error_type="tool_error" if failed else None, attributes=result)

    @never_raises("langchain.on_tool_error")
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a tool that raised."""
        self._fail(run_id, error)

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
        run = self._start(run_id, parent_run_id, _serialized_name(serialized), metadata)
        if run is not None:
            prompt = Prompt(map(Message.of, messages[0] if messages else ()))
            self._start_model(run, semconv.CHAT, prompt, kwargs.get("invocation_params") or {})

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
        run = self._start(run_id, parent_run_id, _serialized_name(serialized), metadata)
        if run is not None:
            prompt = Prompt([Message("human", (prompts[0] if prompts else "",))])
            self._start_model(run, semconv.TEXT_COMPLETION, prompt, kwargs.get("invocation_params") or {})

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
        message = response_message(response)
        turn = response_id(message) or str(run_id)
        turns = run.execution.turns
        for call_id in tool_call_ids(message):
            turns[call_id] = turn
        while len(turns) > _MAX_TURNS:
            turns.pop(next(iter(turns)))
        recording = run.call.span.is_recording()
        attributes = response_attributes(response, run.execution.content) if recording else {}
        if run.first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (run.first_token_ns - run.start_ns) / 1e9
        run.call.end(attributes=attributes)

    @never_raises("langchain.on_llm_error")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a model call that raised."""
        self._fail(run_id, error)

    @never_raises("langchain.on_retriever_start")
    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Start a retrieval."""
        run = self._start(run_id, parent_run_id, name or _serialized_name(serialized), metadata)
        if run is None:
            return
        attributes = {
            semconv.OPERATION_NAME: semconv.RETRIEVAL,
            semconv.DATA_SOURCE_ID: run.name,
            **run.execution.content.input_attributes(query),
        }
        run.call = run.begin("retrieval", run.name, f"retrieval {run.name}", attributes)

    @never_raises("langchain.on_retriever_end")
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        """End a retrieval."""
        run = self.runs.remove(run_id)
        if run is not None and run.call is not None:
            run.call.end(attributes=_result(run, documents))

    @never_raises("langchain.on_retriever_error")
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a retrieval that raised."""
        self._fail(run_id, error)

    def _start(
        self, run_id: UUID, parent_run_id: UUID | None, name: str, metadata: Mapping[str, Any] | None
    ) -> Run | None:
        parent = self.runs.find(parent_run_id)
        if parent is None and (
            not self._active or otel_context.get_value(_SUPPRESSED) or self._is_recorded_elsewhere()
        ):
            return None
        return self.runs.add(Run(run_id, name, metadata or {}, parent))

    def _start_model(self, run: Run, operation: str, prompt: Prompt, params: Mapping[str, Any]) -> None:
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
            attributes=_known(attributes),
            context=run.context,
            span_kind=SpanKind.CLIENT,
            start_ns=run.start_ns,
        )
        speaker = agent or run.node or ""
        previous = run.execution.prompts.get(speaker)
        run.execution.prompts[speaker] = prompt.signature
        if run.call.span.is_recording():
            run.call.span.set_attributes(prompt.attributes(previous, run.execution.content))

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        run = self.runs.remove(run_id)
        if run is not None and run.call is not None:
            if run.inner is not None:
                run.inner.end(error)
            run.call.end(error)


def _result(run: Run, value: object) -> dict[str, Any]:
    """Describe what a run returned, if its operation is recorded."""
    if run.call is None or not run.call.span.is_recording():
        return {}
    return run.execution.content.output_attributes(value)


def _serialized_name(serialized: Mapping[str, Any] | None) -> str:
    """Name a runnable that was not given a name, as LangChain's own tracers do."""
    if not serialized:
        return "unknown"
    path = serialized.get("id") or ["unknown"]
    return str(serialized.get("name") or path[-1])


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
