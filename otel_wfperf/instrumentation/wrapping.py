"""Recording every call of a function, without changing what the function is.

Of a generator the span covers the iteration. Its operation is current only while its own
code runs: the consumer between two items sees its own context, as without us.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.call import Call, detach

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.api import Recording

F = TypeVar("F", bound=Callable[..., Any])

# Their arguments and results tell which call needs which, and which is repeated.
_WITH_CONTENT: Final = frozenset({"phase", "agent", "tool", "llm"})


def record_calls(recording: Recording, function: F) -> F:
    """Wrap ``function``; coroutine functions and generators stay what they are."""
    if isinstance(function, staticmethod | classmethod):
        return cast("F", type(function)(record_calls(recording, function.__func__)))
    if inspect.isasyncgenfunction(function):
        return cast("F", record_async_generator(recording.start, function))
    if inspect.isgeneratorfunction(function):
        return cast("F", record_generator(recording.start, function))
    if inspect.iscoroutinefunction(function):
        return cast("F", _coroutine(recording, function))
    return cast("F", _function(recording, function))


def _function(recording: Recording, function: Callable[..., Any]) -> Callable[..., Any]:
    has_content = recording.kind in _WITH_CONTENT

    @wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        with recording as call:
            if has_content:
                call.record_input([args, kwargs])
            result = function(*args, **kwargs)
            if has_content:
                call.record_output(result)
            return result

    return recorded


def _coroutine(recording: Recording, function: Callable[..., Any]) -> Callable[..., Any]:
    has_content = recording.kind in _WITH_CONTENT

    @wraps(function)
    async def recorded(*args: Any, **kwargs: Any) -> Any:
        with recording as call:
            if has_content:
                call.record_input([args, kwargs])
            result = await function(*args, **kwargs)
            if has_content:
                call.record_output(result)
            return result

    return recorded


def record_generator(start: Callable[[], Call], function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that returns a generator; ``start`` is called when the iteration begins."""

    @wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = start()
        try:
            result = yield from in_context(call, function(*args, **kwargs))
        except BaseException as error:
            call.end(error)
            raise
        call.end()
        return result

    return recorded


def in_context(call: Call, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Delegate to ``generator`` as ``yield from`` does, and run it in the operation's context.

    Args:
        call: The operation; one that could not be recorded changes no context.
        generator: What to iterate over.
    """
    inner = _Suspended(call)
    resume: Callable[[], Any] = generator.__next__
    while True:
        inner.enter()
        try:
            item = resume()
        except StopIteration as stop:
            return stop.value
        finally:
            inner.leave()
        try:
            sent = yield item
        except GeneratorExit:
            inner.enter()
            try:
                generator.close()
            finally:
                inner.leave()
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the consumer throws belongs to the generator
            resume = _throwing(generator.throw, error)
        else:
            resume = generator.__next__ if sent is None else _sending(generator.send, sent)


def record_async_generator(start: Callable[[], Call], function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that returns an asynchronous generator; ``start`` is called when the iteration begins."""

    @wraps(function)
    async def recorded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = start()
        inner = _Suspended(call)
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = generator.__anext__
        try:
            while True:
                inner.enter()
                try:
                    item = await resume()
                except StopAsyncIteration:
                    break
                finally:
                    inner.leave()
                try:
                    sent = yield item
                except GeneratorExit:
                    inner.enter()
                    try:
                        await generator.aclose()
                    finally:
                        inner.leave()
                    raise
                except BaseException as error:  # noqa: BLE001 - as for a generator
                    resume = _throwing(generator.athrow, error)
                else:
                    resume = generator.__anext__ if sent is None else _sending(generator.asend, sent)
        except BaseException as error:
            call.end(error)
            raise
        call.end()

    return recorded


class _Suspended:
    """The context of a generator's own code, kept while the generator is suspended."""

    def __init__(self, call: Call) -> None:
        # Of an operation that could not be recorded, the span is none: made current, it would hide the program's own.
        self._context = None if call.ended else call.context
        self._token: Any = None

    def enter(self) -> None:
        if self._context is not None:
            self._token = otel_context.attach(self._context)

    def leave(self) -> None:
        if self._context is not None:
            # Spans that the generator's own code opened before the yield are current again when it goes on.
            self._context = otel_context.get_current()
            detach(self._token)


def _throwing(throw: Callable[[BaseException], Any], error: BaseException) -> Callable[[], Any]:
    return lambda: throw(error)


def _sending(send: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    return lambda: send(value)
