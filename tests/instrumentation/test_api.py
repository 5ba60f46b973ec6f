import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_wfperf import agent, attach, context, current_operation, llm, phase, tool, wait, workflow
from otel_wfperf.analysis.fragments import unpacked
from otel_wfperf.instrumentation.api import Recording
from tests.instrumentation.functions import async_generator, consumed, coroutine, generator, plain
from tests.instrumentation.recorded import Recorded, Tree, attributes_of

KINDS: dict[str, tuple[Callable[[], Recording], str, dict[str, Any]]] = {
    "workflow": (
        lambda: workflow("notes", conversation="c1"),
        "invoke_workflow notes",
        {
            "wfperf.span.kind": "workflow",
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "notes",
            "gen_ai.conversation.id": "c1",
        },
    ),
    "phase": (
        lambda: phase("draft", depends_on=("plan",), parallel_group="g", parallel_width=2, step=3),
        "phase draft",
        {
            "wfperf.span.kind": "phase",
            "wfperf.phase.name": "draft",
            "wfperf.phase.depends_on": ("plan",),
            "wfperf.parallel.group": "g",
            "wfperf.parallel.width": 2,
            "wfperf.phase.index": 3,
        },
    ),
    "agent": (
        lambda: agent("writer", model="sonnet"),
        "invoke_agent writer",
        {
            "wfperf.span.kind": "agent",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "writer",
            "gen_ai.request.model": "sonnet",
        },
    ),
    "tool": (
        lambda: tool("search", call_id="call_1", turn="resp_1"),
        "execute_tool search",
        {
            "wfperf.span.kind": "tool",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.id": "call_1",
            "wfperf.turn.id": "resp_1",
        },
    ),
    "wait": (
        lambda: wait("pool", kind="concurrency", queue_depth=4, concurrency_limit=2),
        "wait pool",
        {
            "wfperf.span.kind": "wait",
            "wfperf.wait.kind": "concurrency",
            "wfperf.wait.resource": "pool",
            "wfperf.queue.depth": 4,
            "wfperf.concurrency.limit": 2,
        },
    ),
    "llm": (
        lambda: llm("sonnet", provider="acme", temperature=0.5),
        "chat sonnet",
        {
            "wfperf.span.kind": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "acme",
            "gen_ai.request.model": "sonnet",
            "gen_ai.request.temperature": 0.5,
        },
    ),
    "context": (
        lambda: context("trim"),
        "context trim",
        {"wfperf.span.kind": "context", "wfperf.context.operation": "trim"},
    ),
}
# What the machine and the content decide; each has a test of its own.
MEASURED = ("wfperf.cpu.", "wfperf.memory.", "wfperf.event_loop.", "wfperf.input.", "wfperf.output.")


def in_with(make: Callable[[], Recording]) -> None:
    with make():
        pass


async def in_async_with(make: Callable[[], Recording]) -> None:
    async with make():
        await asyncio.sleep(0)


WAYS: dict[str, Callable[[Callable[[], Recording]], Any]] = {
    "function": lambda make: make()(plain)(1),
    "coroutine": lambda make: asyncio.run(make()(coroutine)(1)),
    "generator": lambda make: list(make()(generator)(1)),
    "async generator": lambda make: asyncio.run(consumed(make()(async_generator)(1))),
    "with": in_with,
    "async with": lambda make: asyncio.run(in_async_with(make)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_one_whole_span_however_it_is_used(kind: str, way: str, recorded: Recorded) -> None:
    make, span_name, attributes = KINDS[kind]

    WAYS[way](make)

    [span] = recorded.spans
    own = {key: value for key, value in attributes_of(span).items() if not key.startswith(MEASURED)}
    assert (span.name, own) == (span_name, attributes)
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    assert span.events == ()
    assert not current_operation()


@pytest.mark.usefixtures("recorded")
def test_results_are_those_of_the_function() -> None:
    assert phase("p")(plain)(1) == 2
    assert asyncio.run(phase("p")(coroutine)(1)) == 2
    assert list(phase("p")(generator)(1)) == [1, 2]
    assert asyncio.run(consumed(phase("p")(async_generator)(1))) == [1, 2]


def test_operations_nest_and_the_users_own_spans_are_among_them(
    recorded: Recorded, user_span: Callable[[str], Any]
) -> None:
    @workflow("notes")
    def notes() -> None:
        with phase("draft"), user_span("inside"), agent("writer"):
            tool("search")(plain)(1)

    notes()

    assert recorded.trees() == [
        Tree(
            "invoke_workflow notes",
            (
                Tree(
                    "phase draft",
                    (Tree("inside", (Tree("invoke_agent writer", (Tree("execute_tool search"),)),)),),
                ),
            ),
        )
    ]


def test_one_object_may_be_entered_by_several_tasks_and_threads_at_once(recorded: Recorded) -> None:
    shared = phase("shared")

    async def once(name: str, gate: asyncio.Barrier) -> None:
        async with shared:
            await gate.wait()
            with tool(name):
                pass

    async def both() -> None:
        gate = asyncio.Barrier(2)
        await asyncio.gather(once("a", gate), once("b", gate))

    asyncio.run(both())
    both_in = threading.Barrier(2)

    def in_thread(name: str) -> None:
        with shared:
            both_in.wait()
            with tool(name):
                both_in.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(in_thread, "cd"))

    trees = recorded.trees()
    assert {tree.name for tree in trees} == {"phase shared"}
    assert sorted(child.name for tree in trees for child in tree.children) == [
        "execute_tool a",
        "execute_tool b",
        "execute_tool c",
        "execute_tool d",
    ]
    assert all(len(tree.children) == 1 for tree in trees)


def test_work_handed_to_a_pool_belongs_to_the_operation_that_is_attached_or_given(recorded: Recorded) -> None:
    with workflow("notes") as outer, ThreadPoolExecutor(1) as pool:
        parent = current_operation()
        assert parent is outer

        def attached() -> None:
            assert current_operation() is None
            with attach(parent), phase("attached"):
                pass
            assert current_operation() is None

        def given() -> None:
            with phase("given", parent=parent):
                pass

        pool.submit(attached).result()
        pool.submit(given).result()

    assert recorded.trees() == [Tree("invoke_workflow notes", (Tree("phase attached"), Tree("phase given")))]


@pytest.mark.usefixtures("recorded")
def test_attaching_nothing_changes_nothing() -> None:
    with phase("p") as outer, attach(None):
        assert current_operation() is outer


# -- errors --------------------------------------------------------------------------------------------------------


class SecretError(Exception):
    pass


@pytest.mark.parametrize("way", ["function", "coroutine", "generator", "async generator"])
def test_an_exception_is_recorded_by_type_and_reaches_the_caller_untouched(way: str, recorded: Recorded) -> None:
    error = SecretError("marker-7f3a")
    functions: dict[str, Callable[[], Any]] = {
        "function": lambda: raising(error),
        "coroutine": lambda: asyncio.run(raising_coroutine(error)),
        "generator": lambda: list(raising_generator(error)),
        "async generator": lambda: asyncio.run(consumed(raising_async_generator(error))),
    }

    with pytest.raises(SecretError) as caught:
        functions[way]()

    assert caught.value is error
    span = recorded.one("invoke_agent writer")
    name = f"{SecretError.__module__}.SecretError"
    assert attributes_of(span)["error.type"] == name
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, name)
    assert "marker-7f3a" not in recorded


@agent("writer")
def raising(error: Exception) -> None:
    raise error


@agent("writer")
async def raising_coroutine(error: Exception) -> None:
    raise error


@agent("writer")
def raising_generator(error: Exception) -> Generator[int, None, None]:
    yield 1
    raise error


@agent("writer")
async def raising_async_generator(error: Exception) -> AsyncGenerator[int, None]:
    yield 1
    raise error


def test_a_cancelled_task_is_an_early_exit(recorded: Recorded) -> None:
    async def main() -> None:
        started = asyncio.Event()

        @phase("slow")
        async def slow() -> None:
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(slow())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    span = recorded.one("phase slow")
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in attributes_of(span)


# -- what can be recorded -------------------------------------------------------------------------------------------


def test_tokens_add_up_and_are_totals_so_that_no_model_call_is_counted_twice(recorded: Recorded) -> None:
    with agent("writer") as call:
        call.record_tokens(input=1200, output=300, cache_read=1000)
        call.record_tokens(input=100, reasoning=5, cache_write=7)

    attributes = recorded.attributes("invoke_agent writer")
    assert {key: value for key, value in attributes.items() if "token" in key} == {
        "wfperf.total.input_tokens": 1300,
        "wfperf.total.output_tokens": 300,
        "wfperf.total.cache_read_tokens": 1000,
        "wfperf.total.cache_write_tokens": 7,
        "wfperf.total.reasoning_tokens": 5,
    }


def test_tokens_of_a_model_call_are_its_own(recorded: Recorded) -> None:
    with agent("writer"), llm("sonnet") as call:
        call.record_tokens(input=1200, output=300, cache_read=1000)

    attributes = recorded.attributes("chat sonnet")
    assert {key: value for key, value in attributes.items() if "token" in key} == {
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 1000,
    }
    assert recorded.one("chat sonnet").kind is trace.SpanKind.CLIENT


def test_a_kind_of_wait_that_nobody_knows_counts_as_queue_and_is_said_once(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with wait("slot", kind="nonsense"):  # type: ignore[arg-type]  # the mistake
            pass
    with wait("other", kind=["unhashable"]):  # type: ignore[arg-type]  # the mistake
        pass

    known = "queue, concurrency, rate_limit, lock, retry_backoff, human"
    assert caplog.messages == [
        f"otel-wfperf: wait('slot'): unknown kind: 'nonsense' (known: {known}); recorded as queue",
        f"otel-wfperf: wait('other'): unknown kind: ['unhashable'] (known: {known}); recorded as queue",
    ]
    assert {attributes_of(span)["wfperf.wait.kind"] for span in recorded.spans} == {"queue"}


def test_quality_context_and_attempt_are_recorded(recorded: Recorded) -> None:
    with phase("draft") as call:
        call.record_quality(1.3)
        call.record_context(size_bytes=9, tokens=3, messages=2, limit_tokens=100, reused_ratio=0.5)
        call.record_attempt(2)

    attributes = recorded.attributes("phase draft")
    assert attributes["wfperf.quality"] == 1.0
    assert attributes["wfperf.retry.attempt"] == 2
    assert {key: value for key, value in attributes.items() if key.startswith("wfperf.context")} == {
        "wfperf.context.bytes": 9,
        "wfperf.context.tokens": 3,
        "wfperf.context.messages": 2,
        "wfperf.context.limit": 100,
        "wfperf.context.reused_ratio": 0.5,
    }


def test_equal_arguments_of_a_tool_have_equal_hashes_and_no_text(recorded: Recorded) -> None:
    @tool("search")
    def search(query: str, *, limit: int = 3) -> list[str]:
        return [query] * limit

    search("marker-7f3a is the query", limit=2)
    search("marker-7f3a is the query", limit=2)
    search("another query", limit=2)

    first, second, third = (attributes_of(span) for span in recorded.all("execute_tool search"))
    assert first["wfperf.input.hash"] == second["wfperf.input.hash"] != third["wfperf.input.hash"]
    assert first["wfperf.output.hash"] == second["wfperf.output.hash"] != third["wfperf.output.hash"]
    assert unpacked(first["wfperf.input.fragments"]) & unpacked(first["wfperf.output.fragments"])
    assert "marker-7f3a" not in recorded


@pytest.mark.parametrize("make", [workflow, phase, agent, tool, wait, context], ids=lambda make: make.__name__)
def test_a_forgotten_name_is_refused_with_the_next_step(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"{make.__name__}: the name must be a str, not function; write"):
        make(plain)


def test_an_operation_that_cannot_be_recorded_leaves_the_program_s_own_span_current(
    exporter: InMemorySpanExporter, user_span: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    exporter.clear()
    monkeypatch.setattr("otel_wfperf.instrumentation.api.start_call", fail)
    with user_span("outer") as outer, phase("draft"):
        assert trace.get_current_span() is outer
        with user_span("inner"):
            pass

    assert Recorded(exporter).trees() == [Tree("outer", (Tree("inner"),))]
