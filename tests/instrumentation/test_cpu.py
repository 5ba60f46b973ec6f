import asyncio
import contextvars
import inspect
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_wfperf import agent, phase, tool, workflow
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.failures import failure_counts
from tests.instrumentation.watched import Watched, watched

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def spans() -> Iterator[Watched]:
    """What is recorded while CPU time is charged."""
    before = failure_counts()
    CPU.install()
    with watched() as spans:
        yield spans
    CPU.remove()
    assert failure_counts() == before


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each event loop that is measured."""
    if request.param == "uvloop":
        runner: Run = pytest.importorskip("uvloop").run
        return runner
    return asyncio.run


def burn(cpu_s: float) -> None:
    """Use the CPU for some time of the calling thread's own clock."""
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        pass


def cpu_s(spans: Watched, name: str) -> float:
    return float(spans.attributes(name).get("wfperf.cpu.time", 0.0))


def test_two_agents_that_take_turns_in_one_loop_are_told_apart(spans: Watched, run: Run) -> None:
    async def busy() -> None:
        async with agent("busy"):
            for _ in range(10):
                burn(0.02)
                await asyncio.sleep(0.001)

    async def idle() -> None:
        async with agent("idle"):
            for _ in range(10):
                await asyncio.sleep(0.001)

    async def main() -> None:
        await asyncio.gather(busy(), idle())

    run(main())

    assert cpu_s(spans, "invoke_agent busy") == pytest.approx(0.2, rel=0.1)
    assert cpu_s(spans, "invoke_agent idle") < 0.02


def test_an_agent_that_blocks_the_loop_is_named_and_the_one_that_waited_is_not(spans: Watched, run: Run) -> None:
    async def blocking() -> None:
        async with agent("blocking"):
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251 - that is what is measured
            await asyncio.sleep(0)
            time.sleep(0.12)  # noqa: ASYNC251

    async def patient() -> None:
        async with agent("patient"):
            for _ in range(5):
                await asyncio.sleep(0.001)

    async def main() -> None:
        await asyncio.gather(blocking(), patient())

    run(main())

    blamed = spans.attributes("invoke_agent blocking")
    assert blamed["wfperf.event_loop.blocked"] >= 0.42
    assert 0.3 <= blamed["wfperf.event_loop.blocked_longest"] < blamed["wfperf.event_loop.blocked"]
    assert cpu_s(spans, "invoke_agent blocking") < 0.05
    assert "wfperf.event_loop.blocked" not in spans.attributes("invoke_agent patient")


def test_of_a_long_step_the_operation_is_named_that_held_it(spans: Watched, run: Run) -> None:
    async def main() -> None:
        async with workflow("w"), agent("writer"):
            with tool("search"):
                time.sleep(0.15)  # noqa: ASYNC251

    run(main())

    assert spans.attributes("execute_tool search")["wfperf.event_loop.blocked"] >= 0.15
    for name in ("invoke_agent writer", "invoke_workflow w"):
        assert "wfperf.event_loop.blocked" not in spans.attributes(name)


def test_waiting_for_others_blocks_nobody(spans: Watched, run: Run) -> None:
    async def main() -> None:
        async with agent("writer"):
            await asyncio.sleep(0.15)

    run(main())

    assert "wfperf.event_loop.blocked" not in spans.attributes("invoke_agent writer")


def test_an_operation_is_charged_for_its_own_code_only(spans: Watched) -> None:
    with agent("outer"):
        burn(0.03)
        with tool("inner"):
            burn(0.06)
        burn(0.02)

    assert cpu_s(spans, "invoke_agent outer") == pytest.approx(0.05, rel=0.1)
    assert cpu_s(spans, "execute_tool inner") == pytest.approx(0.06, rel=0.1)


def test_spans_of_others_have_their_own_cpu_time(spans: Watched, run: Run) -> None:
    async def main() -> None:
        async with agent("writer"):
            with spans.native.start_as_current_span("chat m"):
                burn(0.03)
                await asyncio.sleep(0)
                burn(0.03)

    run(main())

    assert cpu_s(spans, "chat m") == pytest.approx(0.06, rel=0.1)
    assert cpu_s(spans, "invoke_agent writer") < 0.02


def test_work_in_a_thread_belongs_to_the_operation_that_submitted_it(spans: Watched, run: Run) -> None:
    def nested() -> None:
        burn(0.03)
        with phase("inside"):
            burn(0.02)
        burn(0.03)

    async def main() -> None:
        async with tool("search"):
            await asyncio.to_thread(nested)

    run(main())

    assert cpu_s(spans, "execute_tool search") == pytest.approx(0.06, rel=0.2)
    assert cpu_s(spans, "phase inside") == pytest.approx(0.02, rel=0.2)


def test_a_loop_within_an_operation_of_the_same_thread(spans: Watched, run: Run) -> None:
    async def main() -> None:
        async with tool("inner"):
            burn(0.03)

    with agent("outer"):
        burn(0.02)
        run(main())
        burn(0.02)

    assert cpu_s(spans, "execute_tool inner") == pytest.approx(0.03, rel=0.1)
    assert 0.04 <= cpu_s(spans, "invoke_agent outer") < 0.1  # with the loop's own beginning and end


def test_threads_at_once_are_charged_each_for_itself(spans: Watched) -> None:
    gate = threading.Barrier(2)

    def work(name: str, cpu: float) -> None:
        with agent(name):
            gate.wait()
            burn(cpu)

    threads = [threading.Thread(target=work, args=each) for each in (("a", 0.02), ("b", 0.05))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cpu_s(spans, "invoke_agent a") == pytest.approx(0.02, rel=0.2)
    assert cpu_s(spans, "invoke_agent b") == pytest.approx(0.05, rel=0.2)


def test_where_nobody_tells_whose_turn_it_is_nothing_is_charged(spans: Watched) -> None:
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)  # as a loop whose steps are not seen would
    try:
        with agent("writer"):
            burn(0.01)
    finally:
        asyncio._set_running_loop(None)
        loop.close()

    assert "wfperf.cpu.time" not in spans.attributes("invoke_agent writer")


@pytest.mark.usefixtures("spans")
def test_results_exceptions_and_signatures_stay_what_they_were(run: Run) -> None:
    before = inspect.signature(ThreadPoolExecutor.submit)
    CPU.remove()
    assert inspect.signature(ThreadPoolExecutor.submit) == before
    CPU.install()

    def add(function: int, *, owner: int) -> int:
        return function + owner

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(add, 1, owner=2)

    with agent("writer"):
        assert run(main()) == 3


def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    """Take the first step of a task at once, as `asyncio.eager_task_factory` of CPython 3.12 and later does."""
    context = contextvars.copy_context()
    waited_for = context.run(coroutine.send, None)

    class Rest(Coroutine[Any, Any, Any]):
        def __init__(self) -> None:
            self.first = waited_for

        def send(self, value: Any) -> Any:
            first, self.first = self.first, None
            return first if first is not None else coroutine.send(value)

        def throw(self, *error: Any) -> Any:
            return coroutine.throw(*error)

        def close(self) -> None:
            coroutine.close()

        def __await__(self) -> Any:
            raise NotImplementedError

    return asyncio.Task(Rest(), loop=loop, **{**options, "context": context})


def test_after_the_first_step_of_an_eager_task_the_one_that_began_it_is_charged(spans: Watched) -> None:
    async def inner() -> None:
        async with agent("inner"):
            burn(0.03)
            await asyncio.sleep(0.001)
            burn(0.02)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with agent("outer"):
            loop.set_task_factory(getattr(asyncio, "eager_task_factory", eager))
            task = asyncio.create_task(inner())
            loop.set_task_factory(None)
            burn(0.06)
            await task

    asyncio.run(main())

    assert cpu_s(spans, "invoke_agent inner") == pytest.approx(0.05, rel=0.2)
    assert cpu_s(spans, "invoke_agent outer") == pytest.approx(0.06, rel=0.2)


def test_debug_mode_and_what_ends_a_loop_stay_what_they_were(spans: Watched) -> None:
    async def main() -> None:
        async with agent("writer"):
            await asyncio.sleep(0)
            burn(0.02)

    async def stopped() -> None:
        raise KeyboardInterrupt

    asyncio.run(main(), debug=True)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(stopped())

    assert cpu_s(spans, "invoke_agent writer") == pytest.approx(0.02, rel=0.2)


class Unbound(trace.NonRecordingSpan):
    """A proxy that stands for nothing now, and says so to whoever asks for anything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_step_is_taken_whatever_the_current_span_is(run: Run) -> None:
    async def main() -> int:
        token = otel_context.attach(trace.set_span_in_context(Unbound(trace.INVALID_SPAN_CONTEXT)))
        try:
            return await asyncio.create_task(asyncio.sleep(0, 7))
        finally:
            otel_context.detach(token)

    CPU.install()
    try:
        assert run(main()) == 7
    finally:
        CPU.remove()


def test_removing_restores_what_was_patched() -> None:
    runtime: Any = otel_context._RUNTIME_CONTEXT
    create_task = asyncio.BaseEventLoop.create_task
    before = (asyncio.Handle._run, ThreadPoolExecutor.submit, runtime.attach, runtime.detach)
    CPU.install()
    CPU.install()
    assert asyncio.Handle._run is not before[0]
    CPU.remove()

    assert (asyncio.Handle._run, ThreadPoolExecutor.submit, runtime.attach, runtime.detach) == before
    assert asyncio.BaseEventLoop.create_task is create_task


def test_without_it_nothing_is_claimed() -> None:
    with watched() as spans:
        with agent("writer"):
            burn(0.01)

        assert "wfperf.cpu.time" not in spans.attributes("invoke_agent writer")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_charged_for_what_it_used(spans: Watched) -> None:
    burn(0.05)
    with agent("parent"):
        child = os.fork()
        if child == 0:
            with agent("child"):
                burn(0.02)
            used_s = cpu_s(spans, "invoke_agent child")
            os._exit(0 if used_s == pytest.approx(0.02, rel=0.2) else 1)

    assert os.waitpid(child, 0)[1] == 0
