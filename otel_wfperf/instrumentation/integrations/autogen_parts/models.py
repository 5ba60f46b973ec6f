"""Model calls: ``create`` and ``create_stream`` of every chat completion client, with the tokens it reports."""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import format_span_id

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, current_operation, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import Run, current_run, may_record
from otel_wfperf.instrumentation.integrations.autogen_parts.teams import SELECTION, speaker
from otel_wfperf.instrumentation.operations import start_llm
from otel_wfperf.instrumentation.patching import Undo
from otel_wfperf.instrumentation.prompts import Message, Prompts, answer_attributes, usage_attributes
from otel_wfperf.instrumentation.streams import Stream, streamed

_WRAPPER: Final = "_otel_wfperf_wrapper"
_ROLES: Final = {
    "SystemMessage": "system",
    "UserMessage": "user",
    "AssistantMessage": "assistant",
    "FunctionExecutionResultMessage": "tool",
}
# By class, else by module of autogen_ext.models (autogen-ext 0.7.5). Source of the names: GenAI semantic
# conventions, gen_ai.provider.name.
_PROVIDERS: Final = {
    "AzureOpenAIChatCompletionClient": "azure.ai.openai",
    "AnthropicBedrockChatCompletionClient": "aws.bedrock",
    "openai": "openai",
    "azure": "azure.ai.inference",
    "anthropic": "anthropic",
    "ollama": "ollama",
}


def record_clients(base: Any) -> Undo:
    """Record every client class: those that exist, and those that are defined later."""
    if "__init_subclass__" in vars(base):
        raise TypeError(f"{base.__name__} has an __init_subclass__ of its own; use autogen-core 0.7")
    wrapped: weakref.WeakSet[Any] = weakref.WeakSet()

    def init_subclass(cls: Any, /, **kwargs: Any) -> None:
        super(base, cls).__init_subclass__(**kwargs)
        _wrap(cls, wrapped)

    base.__init_subclass__ = classmethod(init_subclass)
    for each in _subclasses(base):
        _wrap(each, wrapped)

    def undo() -> None:
        del base.__init_subclass__
        for client_class in list(wrapped):
            _unwrap(client_class)

    return undo


@never_raises("autogen.client")
def _wrap(client_class: Any, wrapped: weakref.WeakSet[Any]) -> None:
    wrapped.add(client_class)
    for name, make in (("create", _created), ("create_stream", _streamed)):
        original = vars(client_class).get(name)
        # Of anything but a function, such as a mock, nobody knows how it is to be called.
        if inspect.isfunction(original) and not _is_ours(original):
            wrapper = make(original)
            vars(wrapper)[_WRAPPER] = id(wrapper)
            setattr(client_class, name, wrapper)


def _unwrap(client_class: Any) -> None:
    for name in ("create", "create_stream"):
        wrapper: Any = vars(client_class).get(name)
        if _is_ours(wrapper):
            setattr(client_class, name, wrapper.__wrapped__)


def _is_ours(function: Any) -> bool:
    """Tell whether a function is a wrapper of ours; what wraps one has the same attributes."""
    return getattr(function, _WRAPPER, None) == id(function)


def _subclasses(base: Any) -> Iterator[Any]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def _created(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def create(*args: Any, **kwargs: Any) -> Any:
        asking = _begin(args, kwargs)
        if asking is None:
            return await original(*args, **kwargs)
        token = otel_context.attach(asking.call.context)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            asking.end(error)
            raise
        finally:
            detach(token)
        asking.seen(result)
        return result

    return create


def _streamed(original: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(original):
        return streamed(original, _begin_stream)

    # The cache's is a function that returns a generator.
    @wraps(original)
    def create_stream(*args: Any, **kwargs: Any) -> Any:
        items = original(*args, **kwargs)
        return streamed(lambda *_, **__: items, _begin_stream)(*args, **kwargs) if inspect.isasyncgen(items) else items

    return create_stream


class _Asking(Stream):
    """One model call; the last item of a stream is its result."""

    def __init__(self, call: Call, run: Run | None) -> None:
        super().__init__(call.context)
        self.call = call
        self._run = run
        self._started_s = time.perf_counter()
        self._first_token_s: float | None = None

    def seen(self, item: Any) -> None:
        if isinstance(item, str):
            if self._first_token_s is None:
                self._first_token_s = time.perf_counter() - self._started_s
        elif hasattr(item, "finish_reason"):
            self.call.end(attributes=self._answer(item))

    def end(self, error: BaseException | None = None) -> None:
        self.call.end(error)

    @never_raises("autogen.answer")
    def _answer(self, result: Any) -> Mapping[str, Any]:
        turn = format_span_id(self.call.span.get_span_context().span_id)
        for call in result.content if isinstance(result.content, list) else ():
            if self._run is not None and call.id:
                self._run.remember_turn(call.id, turn)
        prompts = Prompts() if self._run is None else self._run.prompts
        attributes = answer_attributes(
            Message("assistant", *_said(result)), prompts.reader, finish_reason=result.finish_reason
        )
        if self._first_token_s is not None:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = self._first_token_s
        usage = result.usage
        # A cached answer used no tokens; clients that stream without usage report zeros.
        if not result.cached and (usage.prompt_tokens or usage.completion_tokens):
            attributes.update(usage_attributes(given=usage.prompt_tokens, answered=usage.completion_tokens))
        return attributes


def _begin_stream(*args: Any, **kwargs: Any) -> Stream:
    return _begin(args, kwargs) or Stream()


@never_raises("autogen.model")
def _begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Asking | None:
    run, outer = current_run(), current_operation()
    # A client that asks another one, such as a cache, is one model call.
    if (run is None and not may_record()) or (outer is not None and outer.kind == "llm"):
        return None
    client, messages = args[0], args[1] if len(args) > 1 else kwargs.get("messages")
    agent = speaker(run, outer)
    settings = {**_settings(client), **(kwargs.get("extra_create_args") or {})}
    temperature = settings.get("temperature")
    call = start_llm(
        str(settings.get("model") or type(client).__name__),
        provider=_provider(type(client)),
        agent=agent,
        temperature=temperature if isinstance(temperature, int | float) else None,
    )
    if call.span.is_recording():
        prompts = Prompts() if run is None else run.prompts
        with failures_counted("autogen.prompt"):
            call.span.set_attributes(prompts.attributes(agent or "", map(_message_of, messages or ())))
        if run is not None and outer is not None and outer.kind == "phase" and outer.name == SELECTION:
            run.attempts += 1
            call.record_attempt(run.attempts)
    return _Asking(call, run)


def _settings(client: Any) -> Mapping[str, Any]:
    """Return what a client was made with; that of a cache is its own client's."""
    for _ in range(3):
        settings = getattr(client, "_create_args", None)
        if isinstance(settings, Mapping):
            return settings
        client = getattr(client, "client", None)
    return {}


def _provider(client_class: type) -> str | None:
    for each in client_class.__mro__:
        if each.__module__.startswith("autogen_ext.models."):
            found = _PROVIDERS.get(each.__name__) or _PROVIDERS.get(each.__module__.split(".")[2])
            if found is not None:
                return found
    return None


def _message_of(message: Any) -> Message:
    return Message(_ROLES.get(type(message).__name__, "user"), *_said(message))


def _said(message: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts of a message or answer, and the names of the tools it asks for."""
    texts: list[str] = []
    tools: list[str] = []
    content = message.content
    for part in [content] if isinstance(content, str) else content or ():
        if isinstance(part, str):
            texts.append(part)
        elif hasattr(part, "arguments"):
            texts.append(part.arguments)
            tools.append(part.name)
        elif isinstance(said := getattr(part, "content", None), str):
            texts.append(said)
    if isinstance(thought := getattr(message, "thought", None), str):
        texts.append(thought)
    return tuple(texts), tuple(tools)
