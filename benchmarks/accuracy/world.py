"""What workflows are written against: steps, models, tools, waits, all of them recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from opentelemetry import context as otel_context

from benchmarks.accuracy.lab import Lab
from benchmarks.accuracy.recording import Content
from benchmarks.accuracy.requests import Request, send
from benchmarks.accuracy.service_times import MODELS, USUAL_MODEL, model_ratio, spread
from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, current_operation, detach
from otel_wfperf.instrumentation.operations import (
    record_handoff,
    start_agent,
    start_context,
    start_llm,
    start_phase,
    start_retrieval,
    start_tool,
    start_wait,
    start_workflow,
)

_PLACE: ContextVar[str] = ContextVar("place", default="")
# What an orchestrator takes between two steps (seconds): 1 to 8 ms, as LangGraph's on an idle machine.
_GAP_S: Final = (0.001, 0.008)
# Texts of what was said before that a prompt holds (count).
_HEARD: Final = 8


class CallFailedError(Exception):
    """A model, tool or service answered with an error.

    Attributes:
        error: Its type.
    """

    def __init__(self, error: str) -> None:
        """Remember the type."""
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said.

    Attributes:
        text: The answer.
        turn: Identity of the answer, for the tool calls that it asks for.
    """

    text: str
    turn: str


class World:
    """One run of a workflow.

    Attributes:
        lab: What the runs share.
        number: Of this run, from 0.
        shape: Decides what belongs to the workflow and is the same in each run.
        random: Decides what differs from run to run, but not with the repair.
        said: What was said so far; models are given the latest of it unless told otherwise.
        plan: What several steps work from, where a workflow sets it.
    """

    def __init__(self, lab: Lab, number: int) -> None:
        """Use :func:`benchmarks.accuracy.running.record`."""
        self.lab = lab
        self.number = number
        self.shape = lab.random("shape")
        self.random = lab.random("run", number)
        self.said: list[str] = [f"task {words(lab.random('task', number))}"]
        self.plan = self.said[0]
        self.host = lab.host
        self.version = lab.version
        self._gaps = lab.random("gaps", number)

    def draw(self, *key: object) -> Random:
        """Return the randomness of one call: by where it is made, what it is, and how often it was made before."""
        name = f"{self.number}/{_PLACE.get()}/{key}"
        return self.lab.random(name, self.lab.occurrence(name))

    # -- steps ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def workflow(self, name: str, *, conversation: str | None = None) -> AsyncIterator[Call]:
        """Run a workflow, or one within another."""
        self._record()
        call = start_workflow(name, conversation=conversation)
        self.lab.recorded.trace_ids.setdefault(self.number, f"{call.span.get_span_context().trace_id:032x}")
        async with self._inside(call, name):
            yield call

    @asynccontextmanager
    async def phase(self, name: str, **declared: Any) -> AsyncIterator[Call]:
        """Run a step; ``declared``: step, group, width, depends_on, attempt."""
        self._record()
        async with self._inside(start_phase(name, **declared), name) as call:
            yield call

    @asynccontextmanager
    async def agent(self, name: str) -> AsyncIterator[Call]:
        """Run an agent."""
        self._record()
        async with self._inside(start_agent(name), name) as call:
            yield call

    @asynccontextmanager
    async def context(self, operation: str) -> AsyncIterator[Call]:
        """Work on the context: build, trim, compact or summarise."""
        self._record()
        async with self._inside(start_context(operation), operation) as call:
            yield call

    # -- calls ----------------------------------------------------------------------------------------------------

    async def llm(
        self,
        tokens_in: int,
        tokens_out: int,
        *,
        model: str = USUAL_MODEL,
        given: Sequence[str] | None = None,
        system: str | None = None,
        answer: str | None = None,
        asks: bool = False,
        cached: int = 0,
        temperature: float | None = None,
        slower: float = 1.0,
        late_s: float = 0.0,
        streams: bool = False,
        key: object = None,
    ) -> Answer:
        """Call a model, which takes the time that recorded calls took for as many tokens.

        Args:
            tokens_in: Of the prompt, cached ones included.
            tokens_out: Of the answer.
            model: One of those that were recorded.
            given: Texts of the prompt; None = the latest of what was said.
            system: What the prompt starts with; None = who it is, by its place.
            answer: What it says; None = something new.
            asks: It asks for tools.
            cached: Of the prompt, what the provider had in its cache (tokens).
            temperature: As asked for.
            slower: Factor on the time.
            late_s: Time before anything comes (seconds).
            streams: The answer is streamed, and the first piece noted.
            key: Tells it from other calls of this place, where order may change.
        """
        random = self.draw("llm", model, key)
        times = MODELS[model]
        ratio = model_ratio(model, random) * slower
        said = Answer(answer or f"answer {words(random)}", f"turn-{random.getrandbits(48):012x}")
        messages = [{"role": "system", "content": system or f"You are {_PLACE.get()}"}]
        messages += [{"role": "user", "content": each} for each in (self.said[-_HEARD:] if given is None else given)]
        attributes: dict[str, Any] = {
            semconv.INPUT_TOKENS: tokens_in,
            semconv.OUTPUT_TOKENS: tokens_out,
            semconv.RESPONSE_ID: said.turn,
            semconv.FINISH_REASONS: ("tool_calls" if asks else "stop",),
        }
        if cached:
            attributes[semconv.CACHE_READ_TOKENS] = cached
        if streams:
            first_s = times.expected_s(tokens_in - cached, min(1, tokens_out)) * ratio + late_s
            attributes[semconv.TIME_TO_FIRST_CHUNK] = round(first_s, 6)
        self._record()
        call = start_llm(model, provider="openai", temperature=temperature)
        call.record_input(messages)
        seconds = times.expected_s(tokens_in - cached, tokens_out) * ratio + late_s
        await self._last(call, seconds, attributes=attributes, content=Content(messages, said.text))
        if given is None:
            self.said.append(said.text)
        return said

    async def tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        seconds: float = 0.4,
        log_spread: float = 0.25,
        result: object = None,
        turn: str | None = None,
        attempt: int | None = None,
        fails: str | None = None,
        http: Sequence[Mapping[str, Any]] = (),
        computes: bool = False,
        key: object = None,
    ) -> str:
        """Call a tool.

        Args:
            name: Of the tool.
            arguments: What it is given.
            seconds: What it takes in the median.
            log_spread: Standard deviation of the log of that.
            result: What it returns; None = something new.
            turn: Identity of the answer that asked for it.
            attempt: 1 = first try, where the program counts them.
            fails: Type of the error that it raises.
            http: Requests that it makes, one after another: fields of :class:`Request`; their time is its time.
            computes: It holds the event loop all the while.
            key: See :meth:`llm`.
        """
        written = json.dumps(arguments, sort_keys=True, default=str)
        random = self.draw("tool", name, written if key is None else key)
        taken_s = seconds * spread(random, log_spread)
        answer = f"result {words(random)}" if result is None else result
        self._record()
        call_id = None if turn is None else f"call-{random.getrandbits(48):012x}"
        call = start_tool(name, call_id=call_id, turn=turn, attempt=attempt)
        call.record_input(arguments or {})
        if http:
            token = otel_context.attach(call.context)
            try:
                for request in http:
                    await send(Request(**request), self.draw, self.lab, self.lab.process(self.host, self.version).http)
            finally:
                detach(token)
        if computes:
            self._hold(call, taken_s)
        rest_s = 0.0 if http or computes else taken_s
        await self._last(call, rest_s, content=Content(arguments or {}, answer), fails=fails)
        self.said.append(str(answer))
        return str(answer)

    async def retrieval(self, source: str, query: str, *, seconds: float = 0.2, log_spread: float = 0.25) -> str:
        """Search for documents."""
        random = self.draw("retrieval", source, query)
        self._record()
        call = start_retrieval(source)
        call.record_input(query)
        found = f"documents {words(random)}"
        await self._last(call, seconds * spread(random, log_spread), content=Content(query, found))
        self.said.append(found)
        return found

    # -- waiting --------------------------------------------------------------------------------------------------

    async def wait(self, resource: str, kind: str, seconds: float, *, log_spread: float = 0.0) -> None:
        """Wait for a while, and record it: queue, concurrency, rate_limit, lock, retry_backoff or human."""
        random = self.draw("wait", resource)
        self._record()
        call = start_wait(resource, kind=kind)
        await asyncio.sleep(seconds * spread(random, log_spread))
        self._record()
        call.end()

    @asynccontextmanager
    async def slot(
        self, name: str, capacity: int, *, kind: str = "concurrency", recorded: bool = True, shared: bool = False
    ) -> AsyncIterator[None]:
        """Take one of the slots of a pool, which this run, or all runs, share; waiting for it is recorded or not."""
        slots = self.lab.slots(name if shared else f"{name}/{self.number}", capacity)
        call: Call | None = None
        if recorded and slots.locked():
            self._record()
            depth = len(slots._waiters or ())  # noqa: SLF001 - asyncio tells nobody
            call = start_wait(name, kind=kind, queue_depth=depth, concurrency_limit=capacity)
        async with slots:
            if call is not None:
                self._record()
                call.end()
            yield

    async def sleep(self, seconds: float, *, log_spread: float = 0.0) -> None:
        """Do something that nobody records."""
        await asyncio.sleep(seconds * spread(self.draw("sleep"), log_spread))

    async def compute(self, seconds: float) -> None:
        """Compute in the current operation, which holds the event loop all the while; its CPU time is recorded."""
        current = current_operation()
        if current is None:
            raise RuntimeError("nothing is being recorded here; compute within a workflow, phase or agent")
        self._hold(current, seconds)
        await asyncio.sleep(0)

    async def gather(self, *branches: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run branches at once."""
        return list(await asyncio.gather(*branches))

    async def gap(self) -> None:
        """Take the time between two steps."""
        await asyncio.sleep(self._gaps.uniform(*_GAP_S))

    def handoff(self, source: str, target: str) -> None:
        """Pass the work from one agent to another."""
        self._record()
        record_handoff(source, target)

    def _hold(self, call: Call, seconds: float) -> None:
        self.lab.clock.now_s += seconds
        spent: dict[str, float] = dict(getattr(call.span, "recorded", {}))
        for name in (semconv.CPU_TIME, semconv.LOOP_BLOCKED):
            call.span.set_attribute(name, spent.get(name, 0.0) + seconds)
        longest_s = max(spent.get(semconv.LOOP_BLOCKED_LONGEST, 0.0), seconds)
        call.span.set_attribute(semconv.LOOP_BLOCKED_LONGEST, longest_s)

    # -- recording ------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        self.lab.record_as(self.lab.process(self.host, self.version))

    @asynccontextmanager
    async def _inside(self, call: Call, name: str) -> AsyncIterator[Call]:
        token = otel_context.attach(call.context)
        place = _PLACE.set(f"{_PLACE.get()}/{name}".lstrip("/"))
        try:
            yield call
        except CallFailedError as error:
            self._record()
            call.end(error_type=error.error)
            raise
        finally:
            self._record()
            call.end()
            _PLACE.reset(place)
            detach(token)
        await self.gap()

    async def _last(
        self,
        call: Call,
        seconds: float,
        *,
        content: Content,
        attributes: Mapping[str, Any] | None = None,
        fails: str | None = None,
    ) -> None:
        """Let a call last, end it, and take the gap after it."""
        if seconds:
            await asyncio.sleep(seconds)
        self._record()
        if fails is None:
            call.record_output(content.result)
        else:
            content = Content(content.given)
        self.lab.recorded.contents[call.span.get_span_context().span_id] = content
        call.end(error_type=fails, attributes=attributes)
        await self.gap()
        if fails is not None:
            raise CallFailedError(fails)


def words(random: Random, count: int = 4) -> str:
    """Make a text that nobody else says."""
    return " ".join(f"{random.getrandbits(56):014x}" for _ in range(count))
