"""Calls of models that make no span of the SDK: a ``Model`` class of the user's own need not (openai-agents 0.24.0).

They are recorded when they are over, as only then it is known that nothing else has recorded them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Self

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import error_name, is_early_exit
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.openai_agents_parts.runs import Node
from otel_wfperf.instrumentation.operations import start_llm
from otel_wfperf.instrumentation.prompts import usage_attributes

_ENDED: Final = ("response.completed", "response.incomplete", "response.failed")


class ModelCall:
    """One attempt of a model call, from before it is made."""

    def __init__(self, turn: Node) -> None:
        """Note what was recorded below the turn before it."""
        self._turn = turn
        self._before = turn.llm
        self._start_ns = time.time_ns()
        self._first_token_ns = 0
        self._is_over = False
        self.response: Any = None

    @never_raises("openai_agents.model_event")
    def seen(self, event: Any) -> None:
        """Look at a piece of a streamed answer."""
        kind = getattr(event, "type", "")
        if self._first_token_ns == 0 and kind.endswith(".delta"):
            self._first_token_ns = time.time_ns()
        if kind in _ENDED:
            self.response = event.response

    @never_raises("openai_agents.model_call")
    def end(self, error: BaseException | None = None) -> None:
        """Record it, unless a span below the turn did; later calls do nothing."""
        turn, was_over, self._is_over = self._turn, self._is_over, True
        if was_over or turn.llm is not self._before:
            return
        name, provider = turn.model or ("unknown", None)
        agent = turn.anchor.agent if turn.anchor is not None else None
        call = start_llm(name, provider=provider, agent=agent, context=turn.context, start_ns=self._start_ns)
        if turn.failures:
            call.record_attempt(turn.failures + 1)
        failed = error is not None and not is_early_exit(error)
        turn.failures = turn.failures + 1 if failed else 0
        turn.turn = f"{call.span.get_span_context().span_id:016x}"
        call.end(error_type=error_name(error) if failed and error else None, attributes=self._attributes(turn.turn))

    def _attributes(self, turn: str) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        usage = getattr(self.response, "usage", None)
        if usage is not None and (usage.input_tokens or usage.output_tokens):
            attributes |= usage_attributes(
                given=usage.input_tokens,
                answered=usage.output_tokens,
                cache_read=getattr(usage.input_tokens_details, "cached_tokens", None) or None,
                reasoning=getattr(usage.output_tokens_details, "reasoning_tokens", None) or None,
            )
        if any(getattr(item, "type", None) == "function_call" for item in getattr(self.response, "output", None) or ()):
            attributes[semconv.TURN_ID] = turn
        if self._first_token_ns:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = (self._first_token_ns - self._start_ns) / 1e9
        return attributes


async def answered(begin: Callable[[], ModelCall | None], get_response: Callable[[], Awaitable[Any]]) -> Any:
    """Make one attempt of a model call."""
    call = begin()
    if call is None:
        return await get_response()
    try:
        call.response = await get_response()
    except BaseException as error:
        call.end(error)
        raise
    call.end()
    return call.response


class StreamedCall:
    """The stream of one attempt: it hands on what the model's stream gives, and looks at it."""

    def __init__(self, stream: AsyncIterator[Any], call: ModelCall) -> None:
        """Watch a stream that nobody reads yet."""
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        """Be the model's stream for everything else."""
        return getattr(self._stream, name)

    def __aiter__(self) -> Self:
        """Return itself, as the SDK only asks for the next piece."""
        return self

    async def __anext__(self) -> Any:
        """Return the next piece."""
        try:
            event = await self._stream.__anext__()
        except StopAsyncIteration:
            self._call.end()
            raise
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.seen(event)
        return event

    @property
    def aclose(self) -> Callable[[], Awaitable[Any]]:
        """Close the model's stream, where it can be closed; what was read until then is recorded."""
        close: Callable[[], Awaitable[Any]] = self._stream.aclose  # type: ignore[attr-defined]  # absent = absent here

        async def aclose() -> Any:
            try:
                return await close()
            finally:
                self._call.end()

        return aclose
