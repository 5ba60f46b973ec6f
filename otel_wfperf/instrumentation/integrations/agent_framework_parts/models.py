"""Model calls: sizes of prompt and answer, all tokens, and the time to the first of them, on the native span."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from opentelemetry.trace import Span, format_span_id

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, attach, start_call
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.agent_framework_parts.runs import (
    Run,
    current_agent,
    native_span,
    run_or_own,
)
from otel_wfperf.instrumentation.prompts import Message, answer_attributes


def recorded_client(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``BaseChatClient.get_response``, which is called with the native span open."""

    @wraps(original)
    def get_response(client: Any, *args: Any, **kwargs: Any) -> Any:
        asking = _begin(client, args, kwargs)
        result = original(client, *args, **kwargs)
        if asking is None:
            return result
        return asking.streamed(result) if hasattr(result, "with_update_transform") else asking.answered(result)

    return get_response


class _Asking:
    """One model call that is going on."""

    def __init__(self, run: Run, span: Span) -> None:
        self._run = run
        self._span = span
        self._started_s = time.perf_counter()
        self._first_token_s: float | None = None

    async def answered(self, result: Awaitable[Any]) -> Any:
        response = await result
        self.look(response)
        return response

    def streamed(self, stream: Any) -> Any:
        try:
            stream.with_update_transform(self.see)
            stream.with_result_transform(self.look)
        except RuntimeError:
            # Gated streams take no further transforms; their call is recorded without its answer.
            return stream
        return stream

    @never_raises("agent_framework.update")
    def see(self, update: Any) -> None:
        """Note when the first of the answer came."""
        if self._first_token_s is None and any(content.type != "usage" for content in update.contents or ()):
            self._first_token_s = time.perf_counter() - self._started_s

    @never_raises("agent_framework.answer")
    def look(self, response: Any) -> None:
        """Describe the answer on the native span, which is still open."""
        texts: list[str] = []
        tools: list[str] = []
        for message in response.messages or ():
            for content in message.contents or ():
                _read(content, texts, tools)
                if content.type == "function_call" and content.call_id:
                    turn = format_span_id(self._span.get_span_context().span_id)
                    self._run.remember_turn(content.call_id, turn)
        if self._span.is_recording():
            attributes = answer_attributes(Message("assistant", tuple(texts), tuple(tools)), self._run.reader)
            attributes.update(_usage(response.usage_details or {}))
            if self._first_token_s is not None:
                attributes[semconv.TIME_TO_FIRST_CHUNK] = self._first_token_s
            self._span.set_attributes(attributes)


@never_raises("agent_framework.model")
def _begin(client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Asking | None:
    span = native_span(semconv.CHAT)
    run = run_or_own() if span is not None else None
    if span is None or run is None:
        return None
    overrides = client._resolve_compaction_overrides(  # noqa: SLF001 - pure; nothing public tells
        compaction_strategy=kwargs.get("compaction_strategy"), tokenizer=kwargs.get("tokenizer")
    )
    # A prompt that is to be compacted is read when it has been.
    if not overrides:
        _describe(run, span, args[0] if args else kwargs.get("messages"), kwargs.get("options"))
    return _Asking(run, span)


def recorded_compaction(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``BaseChatClient._prepare_messages_for_model_call``: it compacts a prompt, or does nothing."""

    @wraps(original)
    async def prepare_messages(client: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin_compaction()
        if call is None:
            return await original(client, messages, *args, **kwargs)
        with attach(call):
            try:
                prepared = await original(client, messages, *args, **kwargs)
            except BaseException as error:
                call.end(error)
                raise
        call.end()
        _describe_compacted(prepared)
        return prepared

    return prepare_messages


@never_raises("agent_framework.compaction")
def _begin_compaction() -> Call | None:
    if native_span(semconv.CHAT) is None or run_or_own() is None:
        return None
    attributes = {semconv.CONTEXT_OPERATION: "compact"}
    return start_call("context", "compact", span_name="context compact", attributes=attributes)


@never_raises("agent_framework.compaction")
def _describe_compacted(messages: Any) -> None:
    span, run = native_span(semconv.CHAT), run_or_own()
    if span is not None and run is not None:
        _describe(run, span, messages, None)


@never_raises("agent_framework.prompt")
def _describe(run: Run, span: Span, messages: Any, options: Any) -> None:
    span.set_attributes(run.prompts.attributes(current_agent() or "", _prompt(messages, options)))


def _prompt(messages: Any, options: Any) -> Iterable[Message]:
    instructions = options.get("instructions") if isinstance(options, Mapping) else None
    for each in [instructions] if isinstance(instructions, str) else instructions or ():
        yield Message("system", (str(each),))
    for message in messages if isinstance(messages, list | tuple) else [messages]:
        if isinstance(message, str):
            yield Message("user", (message,))
            continue
        texts: list[str] = []
        tools: list[str] = []
        for content in message.contents or ():
            _read(content, texts, tools)
        yield Message(str(message.role), tuple(texts), tuple(tools))


def _read(content: Any, texts: list[str], tools: list[str]) -> None:
    """Add what a part of a message says, and the tool that it asks for."""
    if content.type == "function_call":
        arguments = content.arguments
        texts.append(arguments if isinstance(arguments, str) else json.dumps(arguments, default=str))
        tools.append(str(content.name))
    elif content.type == "function_result":
        result = content.result
        texts.append(result if isinstance(result, str) else str(result))
    elif isinstance(text := getattr(content, "text", None), str):
        texts.append(text)


def _usage(usage: Mapping[str, Any]) -> Mapping[str, int]:
    """Spell tokens as Agent Framework does; of cached and reasoning ones it may not be told to (its semconv switch)."""
    from agent_framework.observability import USAGE_DETAIL_TO_OTEL_ATTR  # noqa: PLC0415 - as above

    attributes: dict[str, int] = {}
    for key, attribute in USAGE_DETAIL_TO_OTEL_ATTR:
        value = usage.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            attributes.setdefault(str(attribute), value)
    if semconv.INPUT_TOKENS in attributes:
        attributes[semconv.CONTEXT_TOKENS] = attributes[semconv.INPUT_TOKENS]
    return attributes
