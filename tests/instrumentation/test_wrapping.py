import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from otel_wfperf import current_operation, phase, tool
from tests.instrumentation.functions import async_generator, coroutine, generator, plain
from tests.instrumentation.recorded import Recorded, Tree


@pytest.mark.parametrize("function", [plain, coroutine, generator, async_generator], ids=lambda each: each.__name__)
def test_a_decorated_function_is_still_the_same_kind_of_function(function: Callable[..., Any]) -> None:
    decorated = tool("t")(function)

    for question in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert question(decorated) == question(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert (decorated.__name__, decorated.__doc__, decorated.__module__) == (
        function.__name__,
        function.__doc__,
        function.__module__,
    )


def test_methods_of_all_kinds_can_be_decorated(recorded: Recorded) -> None:
    class Crew:
        @phase("method")
        def method(self) -> str:
            return "method"

        @phase("class method")
        @classmethod
        def class_method(cls) -> str:
            return cls.__name__

        @phase("static method")
        @staticmethod
        def static_method(value: int) -> int:
            return value

    assert (Crew().method(), Crew.class_method(), Crew().static_method(3)) == ("method", "Crew", 3)
    assert {span.name for span in recorded.spans} == {"phase method", "phase class method", "phase static method"}


def test_a_generators_operation_is_current_in_its_own_code_only(
    recorded: Recorded, user_span: Callable[[str], Any]
) -> None:
    @phase("stream")
    def stream() -> Generator[int, None, None]:
        with user_span("first"):
            yield 1
            with user_span("second"):
                yield 2

    with user_span("consumer") as consumer:
        for _ in stream():
            assert trace.get_current_span() is consumer
            assert current_operation() is None

    assert recorded.trees() == [
        Tree("consumer", (Tree("phase stream", (Tree("first", (Tree("second"),)),)),)),
    ]


async def test_an_async_generators_operation_is_current_in_its_own_code_only(
    recorded: Recorded, user_span: Callable[[str], Any]
) -> None:
    @phase("stream")
    async def stream() -> AsyncGenerator[int, None]:
        with user_span("first"):
            await asyncio.sleep(0)
            yield 1
            with user_span("second"):
                yield 2

    with user_span("consumer") as consumer:
        async for _ in stream():
            assert trace.get_current_span() is consumer
            assert current_operation() is None

    assert recorded.trees() == [
        Tree("consumer", (Tree("phase stream", (Tree("first", (Tree("second"),)),)),)),
    ]


@phase("echo")
def echo() -> Generator[Any, Any, str]:
    received: list[Any] = []
    while True:
        try:
            value = yield received[-1] if received else None
        except KeyError as error:
            value = error
        if value == "end":
            return "returned"
        received.append(value)


@pytest.mark.usefixtures("recorded")
def test_a_generator_can_be_sent_to_thrown_into_and_returns_its_value() -> None:
    iterator = echo()
    error = KeyError("k")

    assert next(iterator) is None
    assert iterator.send(3) == 3
    assert iterator.throw(error) is error
    with pytest.raises(StopIteration) as stop:
        iterator.send("end")
    assert stop.value.value == "returned"


@pytest.mark.usefixtures("recorded")
async def test_an_async_generator_can_be_sent_to_and_thrown_into() -> None:
    @phase("echo")
    async def echo_async() -> AsyncGenerator[Any, Any]:
        value: Any = None
        while value != "end":
            try:
                value = yield value
            except KeyError as error:
                value = error

    iterator = echo_async()
    error = KeyError("k")
    assert await anext(iterator) is None
    assert await iterator.asend(3) == 3
    assert await iterator.athrow(error) is error
    with pytest.raises(StopAsyncIteration):
        await iterator.asend("end")


def test_an_abandoned_generator_runs_its_cleanup_and_is_an_early_exit(recorded: Recorded) -> None:
    cleaned: list[str] = []

    @phase("stream")
    def stream() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            with tool("cleanup"):
                cleaned.append("yes")

    iterator = stream()
    next(iterator)
    iterator.close()

    assert cleaned == ["yes"]
    assert recorded.one("phase stream").status.status_code is StatusCode.UNSET
    assert recorded.parent_of("execute_tool cleanup") == "phase stream"


async def test_an_abandoned_async_generator_runs_its_cleanup_and_is_an_early_exit(recorded: Recorded) -> None:
    @phase("stream")
    async def stream() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            with tool("cleanup"):
                pass

    async with aclosing(stream()) as iterator:
        await anext(iterator)

    assert recorded.one("phase stream").status.status_code is StatusCode.UNSET
    assert recorded.parent_of("execute_tool cleanup") == "phase stream"


def test_an_async_generator_closed_by_another_task_ends_without_a_word(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    @phase("stream")
    async def stream() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    async def main() -> None:
        iterator = stream()
        await asyncio.create_task(anext(iterator))
        await asyncio.create_task(iterator.aclose())

    asyncio.run(main())

    assert recorded.one("phase stream").status.status_code is StatusCode.UNSET
    assert caplog.messages == []


def test_a_generator_that_is_never_started_leaves_no_span(recorded: Recorded) -> None:
    echo().close()

    assert recorded.spans == ()
