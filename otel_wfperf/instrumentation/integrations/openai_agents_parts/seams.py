"""What the SDK's spans do not tell, noted at the place where the SDK knows it (openai-agents 0.24.0).

Most of these places are private to the SDK: each is taken on its own, and where one is gone, only that fact is missing.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.openai_agents_parts.models import ModelCall, StreamedCall, answered
from otel_wfperf.instrumentation.integrations.openai_agents_parts.processor import WorkflowProcessor
from otel_wfperf.instrumentation.integrations.openai_agents_parts.runs import Node, describe
from otel_wfperf.instrumentation.operations import start_wait
from otel_wfperf.instrumentation.patching import Undo, replace

_BATCH_BEGAN: Final = "_otel_wfperf_began_ns"


class Seams:
    """The places, and what is noted there."""

    def __init__(self, processor: WorkflowProcessor) -> None:
        """Take no place yet."""
        self._processor = processor

    def take(self) -> list[Undo]:
        """Take all places."""
        undo: list[Undo] = []
        for seam in (
            self._errors,
            self._tool_calls,
            self._approvals,
            self._tool_timeouts,
            self._models,
            self._first_tokens,
            self._retries,
            self._limits,
            self._unspanned_calls,
            self._unspanned_streams,
        ):
            with failures_counted(f"openai_agents.seam{seam.__name__}"):
                undo.append(seam())
        return undo

    def _current(self) -> Node | None:
        from agents.tracing.scope import Scope  # noqa: PLC0415 - imported already when this runs

        span = Scope.get_current_span()
        return None if span is None else self._processor.node_of(span)

    def _errors(self) -> Undo:
        """``SpanImpl.set_error`` is called while the exception is handled, which the span keeps only as text."""
        from agents.tracing.spans import SpanImpl  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def set_error(span: Any, *args: Any, **kwargs: Any) -> None:
                original(span, *args, **kwargs)
                with failures_counted("openai_agents.set_error"):
                    node = self._processor.node_of(span)
                    if node is not None:
                        node.raised.note()

            return set_error

        return replace(SpanImpl, "set_error", make)

    def _tool_calls(self) -> Undo:
        """``ToolContext.from_agent_context`` is given the id of the call, once the span of the tool is current."""
        from agents.tool_context import ToolContext  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def from_agent_context(cls: Any, *args: Any, **kwargs: Any) -> Any:
                made = original(cls, *args, **kwargs)
                with failures_counted("openai_agents.tool_call"):
                    node = self._current()
                    if node is not None and node.type == "function":
                        describe(node, {semconv.TOOL_CALL_ID: made.tool_call_id})
                return made

            return from_agent_context

        return replace(ToolContext, "from_agent_context", make)

    def _approvals(self) -> Undo:
        """``_maybe_execute_tool_approval`` returns what a person has to decide, within the span of a tool."""
        from agents.run_internal import tool_execution  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            async def ask(*args: Any, **kwargs: Any) -> Any:
                result = await original(*args, **kwargs)
                with failures_counted("openai_agents.approval"):
                    node = self._current()
                    is_open = getattr(getattr(result, "run_item", None), "type", None) == "tool_approval_item"
                    if node is not None and node.type == "function":
                        node.is_put_off = is_open
                return result

            return ask

        owner = tool_execution._FunctionToolBatchExecutor  # noqa: SLF001 - see above
        return replace(owner, "_maybe_execute_tool_approval", _if_asynchronous(make))

    def _tool_timeouts(self) -> Undo:
        """``ToolTimeoutError`` is made when a tool takes too long, although most often nobody raises it."""
        from agents.exceptions import ToolTimeoutError  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def init(error: Any, *args: Any, **kwargs: Any) -> None:
                original(error, *args, **kwargs)
                with failures_counted("openai_agents.tool_timeout"):
                    node = self._current()
                    if node is not None and node.type == "function":
                        node.raised.note()

            return init

        return replace(ToolTimeoutError, "__init__", make)

    def _models(self) -> Undo:
        """``get_model`` chooses the model of a turn, which the span of a response does not name."""
        from agents.run_internal import run_loop  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def get_model(*args: Any, **kwargs: Any) -> Any:
                model = original(*args, **kwargs)
                with failures_counted("openai_agents.model"):
                    node = self._current()
                    if node is not None:
                        node.model = _named(model)
                return model

            return get_model

        return replace(run_loop, "get_model", make)

    def _first_tokens(self) -> Undo:
        """``RawResponsesStreamEvent`` is made of each piece of a streamed answer as it comes."""
        from agents.run_internal import run_loop  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original, updated=())
            def event(*args: Any, **kwargs: Any) -> Any:
                with failures_counted("openai_agents.first_token"):
                    kind = getattr(kwargs.get("data"), "type", "")
                    if kind.endswith(".delta"):
                        self._note_token()
                return original(*args, **kwargs)

            return event

        return replace(run_loop, "RawResponsesStreamEvent", make)

    def _note_token(self) -> None:
        node = self._current()
        # Under a time limit the model runs in a task of its own, and the turn is current here.
        call = node if node is None or node.type in ("generation", "response") else node.llm
        if call is not None and call.first_token_ns == 0:
            call.first_token_ns = time.time_ns()

    def _retries(self) -> Undo:
        """``_sleep_for_retry`` is the pause before another attempt of a model call."""
        from agents.run_internal import model_retry  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            async def sleep_for_retry(*args: Any, **kwargs: Any) -> Any:
                wait = None
                with failures_counted("openai_agents.retry"):
                    if self._current() is not None:
                        wait = start_wait("model retry", kind="retry_backoff")
                try:
                    return await original(*args, **kwargs)
                finally:
                    if wait is not None:
                        wait.end()

            return sleep_for_retry

        return replace(model_retry, "_sleep_for_retry", _if_asynchronous(make))

    def _unspanned_calls(self) -> Undo:
        """``get_response_with_retry`` makes all attempts of a model call, whatever class the model is of."""
        from agents.run_internal import run_loop  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            async def get_response_with_retry(*args: Any, **kwargs: Any) -> Any:
                if "get_response" in kwargs:
                    kwargs["get_response"] = partial(answered, self._model_call, kwargs["get_response"])
                return await original(*args, **kwargs)

            return get_response_with_retry

        return replace(run_loop, "get_response_with_retry", _if_asynchronous(make))

    def _unspanned_streams(self) -> Undo:
        """``stream_response_with_retry`` does the same for streams, which are made when it is iterated over."""
        from agents.run_internal import run_loop  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def stream_response_with_retry(*args: Any, **kwargs: Any) -> Any:
                if "get_stream" in kwargs:
                    kwargs["get_stream"] = partial(self._streamed, kwargs["get_stream"])
                return original(*args, **kwargs)

            return stream_response_with_retry

        return replace(run_loop, "stream_response_with_retry", make)

    def _streamed(self, get_stream: Callable[[], Any]) -> Any:
        call = self._model_call()
        if call is None:
            return get_stream()
        try:
            stream = get_stream()
        except BaseException as error:
            call.end(error)
            raise
        return StreamedCall(stream, call)

    def _model_call(self) -> ModelCall | None:
        with failures_counted("openai_agents.model_call"):
            node = self._current()
            return None if node is None else ModelCall(node)
        return None

    def _limits(self) -> Undo:
        """Under ``max_function_tool_concurrency``, a tool of a batch is only started when a slot is free."""
        from agents.run_internal import tool_execution  # noqa: PLC0415 - as above

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def create_tool_task(batch: Any, tool_run: Any, order: Any, *args: Any, **kwargs: Any) -> Any:
                with failures_counted("openai_agents.limit"):
                    self._note_wait(batch, order)
                return original(batch, tool_run, order, *args, **kwargs)

            return create_tool_task

        return replace(tool_execution._FunctionToolBatchExecutor, "_create_tool_task", make)  # noqa: SLF001 - see above

    def _note_wait(self, batch: Any, order: int) -> None:
        began_ns = vars(batch).setdefault(_BATCH_BEGAN, time.time_ns())
        limit = batch.max_function_tool_concurrency
        if limit is not None and order >= limit and self._current() is not None:
            depth = order - limit + 1
            wait = start_wait(
                "function tools", kind="concurrency", queue_depth=depth, concurrency_limit=limit, start_ns=began_ns
            )
            wait.end()


def _if_asynchronous(make: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a function that another version of the SDK does not await."""

    def checked(original: Callable[..., Any]) -> Any:
        if not inspect.iscoroutinefunction(original):
            raise TypeError(f"{original.__qualname__} is no coroutine function; use openai-agents 0.24")
        return make(original)

    return checked


def _named(model: Any) -> tuple[str, str | None]:
    """Name a model and its provider."""
    name = getattr(model, "model", None)
    written = name if isinstance(name, str) and name else type(model).__name__
    module = type(model).__module__
    if module.startswith("agents.models.openai"):
        return written, "openai"
    # "anthropic/claude-x" is how LiteLLM and any-llm spell it.
    provider, slash, _ = written.partition("/")
    return written, provider if slash and module.startswith("agents.extensions.models.") else None
