"""Calls of models, of every class that asks one."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Mapping
from functools import wraps
from typing import Any

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, attach, current_operation
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integrations.smolagents_parts.steps import OTHERS, Run, Step, current_step
from otel_wfperf.instrumentation.operations import start_llm
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of, usage_attributes
from otel_wfperf.instrumentation.wrapping import in_context


def generating(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call of a model."""

    @wraps(original)
    def generate(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        asked = _ask(self, messages)
        if asked is None:
            return original(self, messages, *args, **kwargs)
        call, step = asked
        try:
            with attach(call):
                answer = original(self, messages, *args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(attributes=_answered(call, step, answer))
        return answer

    return generate


def streaming(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call of a model whose answer is read piece by piece."""
    if inspect.isgeneratorfunction(original):

        @wraps(original)
        def generate_stream(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            yield from _heard(self, messages, original(self, messages, *args, **kwargs))

        return generate_stream

    @wraps(original)
    def return_stream(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        pieces = original(self, messages, *args, **kwargs)
        # Anything else, such as a list, has been asked for already, and stays what it is.
        return _heard(self, messages, pieces) if inspect.isgenerator(pieces) else pieces

    return return_stream


def _heard(model: Any, messages: Any, pieces: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    asked = _ask(model, messages)
    if asked is None:
        yield from pieces
        return
    call, step = asked
    heard: list[Any] = []
    start_ns = time.time_ns()
    attributes: dict[str, Any] = {}
    try:
        for piece in in_context(call, pieces):
            if not heard:
                attributes[semconv.TIME_TO_FIRST_CHUNK] = (time.time_ns() - start_ns) / 1e9
            heard.append(piece)
            yield piece
    except BaseException as error:
        call.end(error, attributes=attributes)
        raise
    call.end(attributes=attributes | _whole(call, step, heard))


def _ask(model: Any, messages: Any) -> tuple[Call, Step] | None:
    """Start a call; None when it is part of one already, as a class may call the one that it was made from."""
    with failures_counted("smolagents.model"):
        outer, step = current_operation(), current_step()
        if outer is not None and outer.kind == "llm":
            return None
        if step is None and is_recorded_elsewhere("smolagents", *OTHERS):
            return None
        provider = type(model).__name__.removesuffix("Model").removesuffix("Server").lower() or None
        name = getattr(model, "model_id", None) or type(model).__name__
        call = start_llm(str(name), provider=provider, agent=outer.agent if outer is not None else None)
        step = step or Step(Run())
        if call.span.is_recording():
            said = [_message(each) for each in messages]
            call.span.set_attributes(step.run.prompts.attributes(call.agent or "", said))
        return call, step
    return None


def _answered(call: Call, step: Step, answer: Any) -> dict[str, Any]:
    with failures_counted("smolagents.answer"):
        raw = getattr(answer, "raw", None)
        choices = getattr(raw, "choices", None)
        said = _message(answer)
        attributes = answer_attributes(
            Message("assistant", said.texts, said.tools),
            step.run.content,
            model=_text(getattr(raw, "model", None)),
            response_id=_text(getattr(raw, "id", None)),
            finish_reason=_text(getattr(choices[0], "finish_reason", None)) if choices else None,
        )
        turn = attributes.get(semconv.RESPONSE_ID) or f"{call.span.get_span_context().span_id:016x}"
        step.asked(
            str(turn), [(tool.function.name, str(tool.id)) for tool in getattr(answer, "tool_calls", None) or ()]
        )
        return attributes | _usage(answer, getattr(raw, "usage", None))
    return {}


def _usage(answer: Any, raw: Any) -> dict[str, int]:
    usage = getattr(answer, "token_usage", None)
    if usage is None:
        return {}
    read = getattr(getattr(raw, "prompt_tokens_details", None), "cached_tokens", None)
    reasoned = getattr(getattr(raw, "completion_tokens_details", None), "reasoning_tokens", None)
    return usage_attributes(given=usage.input_tokens, answered=usage.output_tokens, cache_read=read, reasoning=reasoned)


def _message(message: Any) -> Message:
    """Read a ``ChatMessage``, or one that is written as a mapping."""
    if isinstance(message, Mapping):
        return Message.of_chat(message)
    calls = [tool.function for tool in getattr(message, "tool_calls", None) or ()]
    content = getattr(message, "content", None)
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [text for part in parts if isinstance(part, Mapping) for text in texts_of(part.get("text"))]
    arguments = [text for call in calls for text in texts_of(call.arguments)]
    role = getattr(message, "role", None)
    names = tuple(str(call.name) for call in calls)
    return Message(str(getattr(role, "value", role)), (*texts, *arguments), names)


def _whole(call: Call, step: Step, pieces: list[Any]) -> dict[str, Any]:
    """Put the pieces of an answer together as smolagents does."""
    from smolagents.models import agglomerate_stream_deltas  # noqa: PLC0415 - imported already when this runs

    with failures_counted("smolagents.answer"):
        return _answered(call, step, agglomerate_stream_deltas(pieces))
    return {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
