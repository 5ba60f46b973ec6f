"""Calls of models, their attempts, and the context that is summarised for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, current_operation, start_call
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.crewai_parts.crews import role_of
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import Run, current_run
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import (
    Opened,
    argument,
    open_safely,
    run_inside,
    run_inside_async,
)
from otel_wfperf.instrumentation.operations import start_llm, start_wait
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes

_MODEL_CALL: Final = otel_context.create_key("otel_wfperf.crewai.model_call")


class ModelCall:
    """One attempt of a model call, and what the event bus says about it.

    Attributes:
        call: Its operation.
        run: The run that it is part of.
        llm: The object whose ``call`` or ``acall`` runs.
        first_token_ns: When the first chunk came (nanoseconds since the Unix epoch); 0 = not yet.
        usage: Tokens of each request to the provider, as that spells them. A call makes several when it runs the tools
            that the model asks for itself; the event that completes it tells those of the last one, or none.
        finish_reason: Why it stopped; None = not told.
        response_id: The provider's identity of the answer; None = not told.
    """

    __slots__ = ("call", "finish_reason", "first_token_ns", "llm", "response_id", "run", "start_ns", "usage")

    def __init__(self, call: Call, run: Run, llm: object, start_ns: int) -> None:
        """Know nothing of the answer yet."""
        self.call = call
        self.run = run
        self.llm = llm
        self.start_ns = start_ns
        self.first_token_ns = 0
        self.usage: list[Any] = []
        self.finish_reason: str | None = None
        self.response_id: str | None = None

    def describe(self, result: object) -> Mapping[str, Any]:
        """Turn what the model returned, and what was told about it, into attributes."""
        calls = [found for each in (result if isinstance(result, list) else ()) if (found := requested_call(each))]
        turn = self.response_id or f"{self.call.span.get_span_context().span_id:016x}"
        for call_id, _, _ in calls:
            self.run.remember_turn(call_id, turn)
        if not self.call.span.is_recording():
            return {}
        said = (
            [text for _, _, arguments in calls for text in texts_of(arguments)] if calls else texts_of(_plain(result))
        )
        answer = Message("assistant", tuple(said), tuple(name for _, name, _ in calls))
        attributes = answer_attributes(
            answer, self.run.content, response_id=self.response_id, finish_reason=self.finish_reason
        )
        if self.first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = max(0, self.first_token_ns - self.start_ns) / 1e9
        return attributes | _token_attributes(self.usage)


def current_model_call() -> ModelCall | None:
    """Return the model call that the caller runs in, if nothing else runs inside of it."""
    model_call = otel_context.get_value(_MODEL_CALL)
    if isinstance(model_call, ModelCall) and not model_call.call.ended and current_operation() is model_call.call:
        return model_call
    return None


def open_model_call(llm: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start an attempt of a model call."""
    around = current_model_call()
    if around is not None and around.llm is llm:
        return None  # the class of the model calls the one that it extends
    run = current_run()
    if run is None:
        return None
    operation, start_ns = current_operation(), time.time_ns()
    agent = operation.agent if operation is not None else None
    sender = argument(args, kwargs, 5, "from_agent")
    call = start_llm(
        str(llm.model),
        provider=_provider(llm),
        agent=agent or (role_of(sender) if sender is not None else None),
        temperature=getattr(llm, "temperature", None),
        start_ns=start_ns,
    )
    if call.span.is_recording():
        speaker = call.agent or (operation.name if operation is not None else "")
        messages = argument(args, kwargs, 0, "messages")
        with failures_counted("crewai.prompt"):
            call.span.set_attributes(run.prompts.attributes(speaker, _messages(messages)))
    model_call = ModelCall(call, run, llm, start_ns)
    return Opened(call, run, describe=model_call.describe).also(_MODEL_CALL, model_call)


def _provider(llm: Any) -> str | None:
    """Name the provider; CrewAI takes that of OpenAI for granted, also for classes of the user's own."""
    kind = type(llm)
    is_assumed = not kind.__module__.startswith("crewai.") and llm.provider == kind.model_fields["provider"].default
    return None if is_assumed else str(llm.provider)


def open_summary(_llm: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start summarising the messages of an agent that would not fit the model's window."""
    run = current_run()
    if run is None:
        return None
    attributes = {semconv.CONTEXT_OPERATION: "summarise"}
    return Opened(start_call("context", "summarise", span_name="context summarise", attributes=attributes), run)


class Attempts:
    """The attempts of one model call; CrewAI repeats those that the provider refused for their rate."""

    def __init__(self, llm: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Make none yet."""
        self._llm = llm
        self._args = args
        self._kwargs = kwargs
        self._count = 0

    def open(self) -> Opened | None:
        """Start the next attempt."""
        self._count += 1
        opened = open_safely(open_model_call, (self._llm, *self._args), self._kwargs)
        if opened is not None and self._count > 1:
            opened.call.record_attempt(self._count)
        return opened

    def wait(self) -> Opened | None:
        """Start the pause before the next attempt."""
        return open_safely(_open_backoff, (self._llm,), {})


def _open_backoff(llm: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    run = current_run()
    return None if run is None else Opened(start_wait(str(llm.model), kind="retry_backoff"), run)


def _attempts(operation: Callable[[], Any]) -> Attempts | None:
    """Find out which call an operation makes; None = this version makes it in another way.

    ``BaseLLM._wrap_call_method`` of crewai 1.15.30 puts every ``call`` and ``acall``, also of the user's own classes,
    into ``lambda: method(instance, *args, **kwargs)``: this is the one place that all of them pass.
    """
    with failures_counted("crewai.attempts"):
        cells = dict(zip(operation.__code__.co_freevars, operation.__closure__ or (), strict=True))
        llm, args, kwargs = (cells[name].cell_contents for name in ("instance", "args", "kwargs"))
        return Attempts(llm, args, kwargs)
    return None


def recording_attempts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``run_with_rate_limit_retry``, as ``crewai.llms.base_llm`` knows it."""

    @wraps(original)
    def retry(operation: Callable[[], Any], *, sleep: Callable[[float], Any] = time.sleep, **settings: Any) -> Any:
        attempts = _attempts(operation)
        if attempts is None:
            return original(operation, sleep=sleep, **settings)

        def attempt() -> Any:
            return run_inside(attempts.open(), operation)

        def pause(seconds: float) -> None:
            run_inside(attempts.wait(), sleep, seconds)

        return original(attempt, sleep=pause, **settings)

    return retry


def recording_attempts_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``arun_with_rate_limit_retry``."""

    @wraps(original)
    async def retry(
        operation: Callable[[], Awaitable[Any]],
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        **settings: Any,
    ) -> Any:
        attempts = _attempts(operation)
        if attempts is None:
            return await original(operation, sleep=sleep, **settings)

        async def attempt() -> Any:
            return await run_inside_async(attempts.open(), operation)

        async def pause(seconds: float) -> None:
            await run_inside_async(attempts.wait(), sleep, seconds)

        return await original(attempt, sleep=pause, **settings)

    return retry


def on_completed(event: Any) -> None:
    """Take what the bus says about an answer, and its tokens if the class of the model does not count them."""
    model_call = current_model_call()
    if model_call is None:
        return
    if event.usage and not model_call.usage:
        model_call.usage.append(event.usage)
    model_call.finish_reason = event.finish_reason or model_call.finish_reason
    model_call.response_id = event.response_id or model_call.response_id


def counting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``BaseLLM._track_token_usage_internal``, which every class calls with its usage."""

    @wraps(original)
    def track(self: Any, *args: Any, **kwargs: Any) -> Any:
        with failures_counted("crewai.usage"):
            model_call = current_model_call()
            if model_call is not None:
                model_call.usage.append(argument(args, kwargs, 0, "usage_data"))
        return original(self, *args, **kwargs)

    return track


def on_chunk(_event: Any) -> None:
    """Note when the first chunk of a streamed answer came."""
    model_call = current_model_call()
    if model_call is not None and model_call.first_token_ns == 0:
        model_call.first_token_ns = time.time_ns()


def requested_call(tool_call: Any) -> tuple[str, str, Any] | None:
    """Read id, name and arguments of a tool call that a model asks for, in whatever way its provider spells it."""
    from crewai.utilities.agent_utils import extract_tool_call_info  # noqa: PLC0415 - imported already when this runs

    found = extract_tool_call_info(tool_call) if not isinstance(tool_call, str) else None
    return found if found is not None and found[1] else None


def _messages(messages: Any) -> list[Message]:
    if isinstance(messages, str):
        return [Message("user", (messages,))]
    return [Message.of_chat(message) for message in messages or () if isinstance(message, Mapping)]


def _plain(result: Any) -> Any:
    return result if isinstance(result, str | list | Mapping) or hasattr(type(result), "model_fields") else str(result)


def _token_attributes(usages: Sequence[Any]) -> dict[str, int]:
    from crewai.types.usage_metrics import UsageMetrics  # noqa: PLC0415 - as above

    # CrewAI's own reading of what each provider spells in its way; it adds cached tokens where they are not included.
    read = [metrics for usage in usages if usage and (metrics := UsageMetrics.from_provider_dict(usage)) is not None]
    if not any(metrics.prompt_tokens or metrics.completion_tokens for metrics in read):
        return {}
    return usage_attributes(
        given=sum(metrics.prompt_tokens for metrics in read),
        answered=sum(metrics.completion_tokens for metrics in read),
        cache_read=sum(metrics.cached_prompt_tokens for metrics in read),
        cache_write=sum(metrics.cache_creation_tokens for metrics in read),
        reasoning=sum(metrics.reasoning_tokens for metrics in read),
    )
