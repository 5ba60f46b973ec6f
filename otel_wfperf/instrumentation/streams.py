"""Asynchronous generators whose own code runs in a context of its own, which their consumer never sees.

For integrations that find out what to record when an iteration begins, and look at the items that pass.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import wraps
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.failures import failures_counted


class Stream:
    """One iteration; this one records nothing.

    Attributes:
        context: In which the generator's own code runs; None = in the consumer's, whatever that is, as without us.
    """

    def __init__(self, context: Context | None = None) -> None:
        """Run in a context."""
        self.context = context

    def seen(self, item: Any) -> None:
        """Look at an item before the consumer gets it."""

    def end(self, error: BaseException | None = None) -> None:
        """Note that the iteration is over."""


def streamed(original: Callable[..., Any], begin: Callable[..., Stream]) -> Callable[..., Any]:
    """Wrap an asynchronous generator function.

    Args:
        original: The function.
        begin: Called with its arguments when the iteration starts; never raises.
    """

    @wraps(original)
    async def iterate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        stream = begin(*args, **kwargs)
        try:
            generator = original(*args, **kwargs)
            resume: Callable[[], Any] = generator.__anext__
            while True:
                try:
                    item = await _resumed(stream, resume)
                except StopAsyncIteration:
                    break
                with failures_counted("stream.seen"):
                    stream.seen(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    await _resumed(stream, generator.aclose)
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever the consumer throws belongs to the generator
                    resume = _bound(generator.athrow, error)
                else:
                    resume = generator.__anext__ if sent is None else _bound(generator.asend, sent)
        except BaseException as error:
            with failures_counted("stream.end"):
                stream.end(error)
            raise
        with failures_counted("stream.end"):
            stream.end()

    return iterate


async def _resumed(stream: Stream, resume: Callable[[], Any]) -> Any:
    if stream.context is None:
        return await resume()
    token = otel_context.attach(stream.context)
    try:
        return await resume()
    finally:
        # Spans that the generator's own code opened before the yield are current again when it goes on.
        stream.context = otel_context.get_current()
        detach(token)


def _bound(function: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    return lambda: function(value)
