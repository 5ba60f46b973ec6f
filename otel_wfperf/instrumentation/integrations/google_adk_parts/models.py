"""What the ADK's spans of model calls lack: the size of the prompt, and when the first token came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.google_adk_parts.executions import current_execution
from otel_wfperf.instrumentation.prompts import Message, answer_attributes, texts_of

_MODEL: Final = "model"


def describing_requests(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``_set_common_generate_content_attributes``, which each span of a model call passes at its start."""

    @wraps(original)
    def set_common_attributes(span: Any, llm_request: Any, *args: Any, **kwargs: Any) -> None:
        original(span, llm_request, *args, **kwargs)
        _describe_request(span, llm_request)

    return set_common_attributes


def describing_responses(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``InferenceScope.record_llm_response``, which may end the span."""

    @wraps(original)
    def record_llm_response(self: Any, invocation_context: Any, response: Any, *args: Any, **kwargs: Any) -> None:
        _describe_response(self, response)
        original(self, invocation_context, response, *args, **kwargs)

    return record_llm_response


@never_raises("google_adk.request")
def _describe_request(span: Any, request: Any) -> None:
    execution = current_execution()
    if execution is None or not span.is_recording():
        return
    speaker = (span.attributes or {}).get(semconv.AGENT_NAME) or ""
    attributes = execution.prompts.attributes(speaker, _messages(request))
    temperature = getattr(request.config, "temperature", None)
    if temperature is not None:
        attributes[semconv.REQUEST_TEMPERATURE] = float(temperature)
    span.set_attributes(attributes)


@never_raises("google_adk.response")
def _describe_response(scope: Any, response: Any) -> None:
    execution = current_execution()
    span = getattr(scope.span, "span", scope.span)
    if execution is None or span is None or not span.is_recording():
        return
    before = scope.llm_responses
    if response.partial and not before:
        span.set_attribute(semconv.TIME_TO_FIRST_CHUNK, (time.time_ns() - span.start_time) / 1e9)
    if response.partial and not response.finish_reason:
        return
    # The response that ends a stream is either the whole answer or its last piece.
    pieces = [*before, response] if response.partial else [response]
    answer = _message(_MODEL, [part for piece in pieces for part in _parts(piece.content)])
    span.set_attributes(answer_attributes(answer, execution.content, model=response.model_version))


def _messages(request: Any) -> Iterator[Message]:
    instructions = getattr(request.config, "system_instruction", None)
    if instructions is not None:
        parts = getattr(instructions, "parts", None)
        yield Message("system", tuple(texts_of(instructions))) if parts is None else _message("system", parts)
    for content in request.contents or ():
        yield _message(content.role or "user", content.parts or ())


def _parts(content: Any) -> Iterable[Any]:
    return (content.parts or ()) if content is not None else ()


def _message(role: str, parts: Iterable[Any]) -> Message:
    texts: list[str] = []
    tools: list[str] = []
    for part in parts:
        if part.text:
            texts.append(part.text)
        elif (call := part.function_call) is not None:
            tools.append(str(call.name))
            texts += texts_of(call.args)
        elif (answer := part.function_response) is not None:
            texts += texts_of(answer.response)
    return Message(role, tuple(texts), tuple(tools))
