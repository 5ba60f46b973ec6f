import inspect
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.streams import Stream, streamed

KEY = otel_context.create_key("tests.streams")


class Watched(Stream):
    def __init__(self, log: list[Any]) -> None:
        super().__init__(otel_context.set_value(KEY, "inside"))
        self.log = log

    def seen(self, item: Any) -> None:
        self.log.append(item)

    def end(self, error: BaseException | None = None) -> None:
        self.log.append(error)


async def numbers(count: int, *, log: list[Any]) -> AsyncGenerator[Any, Any]:
    try:
        for number in range(count):
            try:
                log.append((yield number, otel_context.get_value(KEY)))
            except KeyError:
                log.append("thrown")
    finally:
        log.append(otel_context.get_value(KEY))


async def test_the_generators_code_runs_in_a_context_that_its_consumer_does_not_see() -> None:
    log: list[Any] = []
    async for item in streamed(numbers, lambda *_, **__: Watched(log))(2, log=log):
        assert item[1] == "inside"
        assert otel_context.get_value(KEY) is None

    assert log == [(0, "inside"), None, (1, "inside"), None, "inside", None]


async def test_nothing_begins_before_the_first_item_is_asked_for() -> None:
    begun: list[int] = []

    def begin(*_: Any, **__: Any) -> Stream:
        begun.append(1)
        return Stream()

    stream = streamed(numbers, begin)(1, log=[])
    assert not begun
    await stream.aclose()
    assert not begun


async def test_what_the_consumer_sends_throws_and_closes_reaches_the_generator() -> None:
    log: list[Any] = []
    stream = streamed(numbers, lambda *_, **__: Stream())(3, log=log)
    await anext(stream)
    await stream.asend("sent")
    await stream.athrow(KeyError())
    await stream.aclose()

    assert log == ["sent", "thrown", None]


async def test_a_stream_that_is_not_recorded_sees_what_its_consumer_sets_between_items() -> None:
    stream = streamed(numbers, lambda *_, **__: Stream())(2, log=[])
    assert (await anext(stream))[1] is None
    token = otel_context.attach(otel_context.set_value(KEY, "consumer"))
    assert (await anext(stream))[1] == "consumer"
    otel_context.detach(token)


async def test_an_exception_ends_the_stream_and_passes_unchanged() -> None:
    error = ValueError("x")
    log: list[Any] = []

    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise error

    stream = streamed(fails, lambda *_, **__: Watched(log))()
    await anext(stream)
    with pytest.raises(ValueError, match="x") as caught:
        await anext(stream)

    assert caught.value is error
    assert log == [1, error]


async def test_a_failure_of_ours_is_counted_and_hurts_nobody() -> None:
    class Broken(Stream):
        def seen(self, item: Any) -> None:
            raise RuntimeError(item)

        def end(self, error: BaseException | None = None) -> None:
            raise RuntimeError(error)

    before = failure_counts().get("stream.seen", 0)
    before_end = failure_counts().get("stream.end", 0)
    items = [item async for item in streamed(numbers, lambda *_, **__: Broken())(2, log=[])]

    assert len(items) == 2
    assert failure_counts()["stream.seen"] == before + 2
    assert failure_counts()["stream.end"] == before_end + 1


def test_the_function_is_still_a_generator_function_of_the_same_signature() -> None:
    wrapped = streamed(numbers, lambda *_, **__: Stream())

    assert inspect.isasyncgenfunction(wrapped)
    assert inspect.signature(wrapped) == inspect.signature(numbers)
