"""Calls of models and tools."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, attach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.agno_parts.state import Run, current_run
from otel_wfperf.instrumentation.operations import start_llm, start_tool
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes
from otel_wfperf.instrumentation.wrapping import record_async_generator, record_generator


class Asked:
    """One call of a model, from its request to the last piece of its answer.

    Attributes:
        call: Its operation.
    """

    def __init__(self, run: Run, model: Any, given: Mapping[str, Any]) -> None:
        """Start it."""
        self._run = run
        self._start_ns = time.time_ns()
        self._pieces: list[Any] = []
        self._attributes: dict[str, Any] = {}
        provider = getattr(model, "provider", None) or getattr(model, "name", None)
        self.call = start_llm(
            str(getattr(model, "id", None) or type(model).__name__),
            provider=str(provider).partition(" (")[0].lower() if provider else None,
            temperature=getattr(model, "temperature", None),
        )
        if self.call.span.is_recording():
            messages = [_message(each) for each in given.get("messages") or ()]
            self.call.span.set_attributes(run.prompts.attributes(self.call.agent or "", messages))

    def heard(self, piece: Any) -> None:
        """Note the answer, or a piece of it."""
        if not self._pieces:
            self._attributes[semconv.TIME_TO_FIRST_CHUNK] = (time.time_ns() - self._start_ns) / 1e9
        self._pieces.append(piece)

    def describe(self, *, streamed: bool) -> None:
        """Write down what was heard, before the call ends."""
        with failures_counted("agno.answer"):
            calls = [call for piece in self._pieces for call in getattr(piece, "tool_calls", None) or ()]
            texts = [text for piece in self._pieces for text in texts_of(getattr(piece, "content", None))]
            said = Message.of_chat({"role": "assistant", "content": "".join(texts), "tool_calls": _whole(calls)})
            attributes = answer_attributes(said, self._run.content, response_id=_response_id(self._pieces))
            attributes |= _usage([getattr(piece, "response_usage", None) for piece in self._pieces])
            if streamed:
                attributes |= self._attributes
            self.call.span.set_attributes(attributes)
            turn = attributes.get(semconv.RESPONSE_ID) or f"{self.call.span.get_span_context().span_id:016x}"
            self._run.asked(str(turn), [str(call_id) for call in calls if (call_id := _field(call, "id"))])


def asking(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call of a model; attempts that its own retries make are part of it."""

    @wraps(original)
    def invoke(self: Any, **kwargs: Any) -> Any:
        asked = _ask(self, kwargs)
        if asked is None:
            return original(self, **kwargs)
        try:
            with attach(asked.call):
                answer = original(self, **kwargs)
        except BaseException as error:
            asked.call.end(error)
            raise
        asked.heard(answer)
        asked.describe(streamed=False)
        asked.call.end()
        return answer

    return invoke


def asking_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for a coroutine."""

    @wraps(original)
    async def ainvoke(self: Any, **kwargs: Any) -> Any:
        asked = _ask(self, kwargs)
        if asked is None:
            return await original(self, **kwargs)
        try:
            with attach(asked.call):
                answer = await original(self, **kwargs)
        except BaseException as error:
            asked.call.end(error)
            raise
        asked.heard(answer)
        asked.describe(streamed=False)
        asked.call.end()
        return answer

    return ainvoke


def streaming(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for an answer that comes in pieces."""

    @wraps(original)
    def invoke_stream(self: Any, **kwargs: Any) -> Any:
        asked = _ask(self, kwargs)
        if asked is None:
            yield from original(self, **kwargs)
            return

        def pieces() -> Iterator[Any]:
            for piece in original(self, **kwargs):
                asked.heard(piece)
                yield piece
            asked.describe(streamed=True)

        yield from record_generator(lambda: asked.call, pieces)()

    return invoke_stream


def streaming_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for an answer that comes in pieces, asynchronously."""

    @wraps(original)
    async def ainvoke_stream(self: Any, **kwargs: Any) -> AsyncIterator[Any]:
        asked = _ask(self, kwargs)
        if asked is None:
            async for piece in original(self, **kwargs):
                yield piece
            return

        async def pieces() -> AsyncIterator[Any]:
            async for piece in original(self, **kwargs):
                asked.heard(piece)
                yield piece
            asked.describe(streamed=True)

        heard = record_async_generator(lambda: asked.call, pieces)()
        try:
            async for piece in heard:
                yield piece
        finally:
            await heard.aclose()

    return ainvoke_stream


def calling(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call of a tool."""

    @wraps(original)
    def execute(self: Any) -> Any:
        tool = _call_tool(self)
        if tool is None:
            return original(self)
        try:
            with attach(tool):
                outcome = original(self)
        except BaseException as error:
            tool.end(error)
            raise
        return _answered(self, tool, outcome)

    return execute


def calling_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for a coroutine."""

    @wraps(original)
    async def aexecute(self: Any) -> Any:
        tool = _call_tool(self)
        if tool is None:
            return await original(self)
        try:
            with attach(tool):
                outcome = await original(self)
        except BaseException as error:
            tool.end(error)
            raise
        return _answered(self, tool, outcome)

    return aexecute


def _ask(model: Any, given: Mapping[str, Any]) -> Asked | None:
    run = current_run()
    # A call that asks again with a hint for the model calls itself.
    if run is None or given.get("retry_with_guidance"):
        return None
    with failures_counted("agno.model"):
        return Asked(run, model, given)
    return None


def _call_tool(function_call: Any) -> Call | None:
    run = current_run()
    if run is None:
        return None
    with failures_counted("agno.tool"):
        call_id = getattr(function_call, "call_id", None)
        tool = start_tool(str(function_call.function.name), call_id=call_id, turn=run.turn(call_id))
        if tool.span.is_recording():
            tool.span.set_attributes(run.content.input_attributes(function_call.arguments or {}))
        return tool
    return None


def _answered(function_call: Any, tool: Call, outcome: Any) -> Any:
    """End a tool call; one that answers piece by piece, such as a member of a team, ends with its last piece."""
    result = getattr(outcome, "result", None)
    record = record_generator if inspect.isgenerator(result) else record_async_generator
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        outcome.result = record(lambda: tool, lambda: result)()
        if function_call.result is result:
            function_call.result = outcome.result
        return outcome
    run = current_run()
    attributes = run.content.output_attributes(result) if run is not None and tool.span.is_recording() else {}
    failed = getattr(outcome, "status", None) == "failure"
    tool.end(error_type="tool_error" if failed else None, attributes=attributes)
    return outcome


def _message(message: Any) -> Message:
    fields = {"role": message.role, "content": message.content, "tool_calls": message.tool_calls}
    return Message.of_chat(fields)


def _whole(calls: Iterable[Any]) -> list[dict[str, Any]]:
    """Return tool calls as mappings; a streamed one comes in pieces, which have no name."""
    found = []
    for call in calls:
        function = _field(call, "function")
        name = _field(function, "name")
        if name:
            found.append({"function": {"name": name, "arguments": _field(function, "arguments")}})
    return found


def _response_id(pieces: Iterable[Any]) -> str | None:
    data = [getattr(piece, "provider_data", None) or {} for piece in pieces]
    ids = [each.get("id") or each.get("response_id") for each in data if isinstance(each, Mapping)]
    return next((each for each in ids if isinstance(each, str)), None)


def _usage(metrics: Iterable[Any]) -> dict[str, int]:
    """Sum the usage of the pieces of an answer, as Agno does."""
    known = [each for each in metrics if each is not None]
    if not known:
        return {}
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    given, answered, read, written, reasoned = (sum(getattr(each, name, 0) or 0 for each in known) for name in names)
    return usage_attributes(given=given, answered=answered, cache_read=read, cache_write=written, reasoning=reasoned)


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
