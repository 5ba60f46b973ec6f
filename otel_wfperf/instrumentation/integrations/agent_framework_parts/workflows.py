"""Workflows: their runs, supersteps, executors and messages, and the steps of those written as functions.

Agent Framework delivers the messages of one superstep together, once all executors of the one before have ended: a
message that was sent early waits. One executor handles one message at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from types import TracebackType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import INVALID_SPAN, Span

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.agent_framework_parts.runs import (
    Run,
    begin_run,
    context_of,
    current_run,
)
from otel_wfperf.instrumentation.operations import start_phase, start_wait
from otel_wfperf.instrumentation.payload import MAX_VALUES
from otel_wfperf.instrumentation.streams import Stream

_DELIVERY_KEY: Final = otel_context.create_key("otel_wfperf.agent_framework.delivery")
_STEP_KEY: Final = otel_context.create_key("otel_wfperf.agent_framework.step")
# Chosen: from one superstep to the next it takes 0.3 ms (agent-framework-core 1.23); less of a wait tells nothing.
_MIN_WAIT_NS: Final = 1_000_000
# One more than is read: of what was cut off here, no claim is made. A streaming agent says each word by itself.
_MAX_SAID: Final = MAX_VALUES + 1
# Source: agent_framework._workflows._const.INTERNAL_SOURCE_PREFIX; such messages come from outside.
_FROM_OUTSIDE: Final = "internal:"


def _keep(said: list[Any], value: Any) -> None:
    if len(said) < _MAX_SAID:
        said.append(value)


class _WorkflowRun(Stream):
    """One run of a workflow as its events are streamed."""

    def __init__(self, run: Run) -> None:
        super().__init__(context_of(run))
        self._run = run
        self._outputs: list[Any] = []

    def seen(self, item: Any) -> None:
        if item.type == "output":
            _keep(self._outputs, item.data)
        elif item.type == "status" and self._outputs and self._run.span.is_recording():
            # The last status comes just before the native span ends.
            self._run.span.set_attributes(self._run.reader.output_attributes(self._outputs))


def begin_workflow(*_: Any, **__: Any) -> Stream:
    """Begin one run of a workflow; the native span is opened inside."""
    with failures_counted("agent_framework.run"):
        run = begin_run()
        if run is not None:
            return _WorkflowRun(run)
    return Stream()


def counting_supersteps(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``RunnerImpl._run_iteration``."""

    @wraps(original)
    async def run_iteration(runner: Any, *args: Any, **kwargs: Any) -> Any:
        run = current_run()
        if run is not None:
            with failures_counted("agent_framework.superstep"):
                run.begin_superstep(runner._iteration + 1)  # noqa: SLF001 - nothing public tells before it is over
        return await original(runner, *args, **kwargs)

    return run_iteration


class Delivery:
    """One message (or several that were joined) on its way to one executor.

    Attributes:
        sources: Executors that sent it.
        sent_ns: When the last of them did (nanoseconds since the Unix epoch); None = not known.
        came_ns: When it was delivered (nanoseconds since the Unix epoch).
        span: The native span of its handling.
        said: What came of it: messages sent and outputs.
    """

    def __init__(self, run: Run, sources: Sequence[str], span_ids: Sequence[str], message: Any) -> None:
        """Note what is delivered now."""
        self.run = run
        self.sources = [each for each in sources if not each.startswith(_FROM_OUTSIDE)]
        self.sent_ns = run.sent_ns(span_ids)
        self._is_first = run.is_first_delivery(span_ids)
        self.came_ns = time.time_ns()
        self.message = message
        self.span: Span = INVALID_SPAN
        self.said: list[Any] = []

    def record_waits(self, executor: str) -> None:
        """Record how long it lay there for the others of its superstep, and for the executor to be free."""
        now_ns = time.time_ns()
        # Delivered to several executors, it has waited once.
        if self._is_first and self.sent_ns is not None and self.came_ns - self.sent_ns >= _MIN_WAIT_NS:
            start_wait("superstep barrier", kind="queue", start_ns=self.sent_ns).end(end_ns=self.came_ns)
        if now_ns - self.came_ns >= _MIN_WAIT_NS:
            start_wait(f"executor {executor}", kind="lock", start_ns=self.came_ns).end(end_ns=now_ns)

    def describe(self, span: Span) -> None:
        """Say on the native span of its handling when and after what it came."""
        self.span = span
        if span.is_recording():
            span.set_attributes(
                {
                    semconv.PHASE_STEP: self.run.superstep,
                    semconv.PARALLEL_GROUP: f"step {self.run.superstep}",
                    semconv.DEPENDS_ON: tuple(dict.fromkeys(self.sources)),
                    **self.run.reader.input_attributes(getattr(self.message, "data", self.message), hashed=False),
                }
            )

    def says(self, value: Any) -> None:
        """Note something that came of it."""
        _keep(self.said, value)

    def describe_result(self) -> None:
        """Say on the native span what came of it."""
        if self.said and self.span.is_recording():
            self.span.set_attributes(self.run.reader.output_attributes(self.said))


def delivering(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Executor.execute``."""

    @wraps(original)
    async def execute(executor: Any, message: Any, source_executor_ids: Any, *args: Any, **kwargs: Any) -> Any:
        delivery = _delivery(message, source_executor_ids, kwargs.get("source_span_ids"))
        if delivery is None:
            return await original(executor, message, source_executor_ids, *args, **kwargs)
        token = otel_context.attach(otel_context.set_value(_DELIVERY_KEY, delivery))
        try:
            return await original(executor, message, source_executor_ids, *args, **kwargs)
        finally:
            detach(token)

    return execute


@never_raises("agent_framework.delivery")
def _delivery(message: Any, sources: Sequence[str], span_ids: Sequence[str] | None) -> Delivery | None:
    run = current_run()
    return None if run is None else Delivery(run, sources, span_ids or (), message)


def described_span(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``create_processing_span``, which an executor calls once it is free for the message."""

    @wraps(original)
    def create_processing_span(executor_id: str, *args: Any, **kwargs: Any) -> Any:
        delivery = otel_context.get_value(_DELIVERY_KEY)
        if not isinstance(delivery, Delivery):
            return original(executor_id, *args, **kwargs)
        with failures_counted("agent_framework.waits"):
            delivery.record_waits(executor_id)
        return _Described(original(executor_id, *args, **kwargs), delivery)

    return create_processing_span


class _Described(AbstractContextManager[Any]):
    """The native span's own context manager, and what we know when it opens."""

    def __init__(self, native: AbstractContextManager[Any], delivery: Delivery) -> None:
        self._native = native
        self._delivery = delivery

    def __enter__(self) -> Any:
        span = self._native.__enter__()
        with failures_counted("agent_framework.executor"):
            self._delivery.describe(span)
        return span

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        with failures_counted("agent_framework.executor_result"):
            self._delivery.describe_result()
        return self._native.__exit__(error_type, error, traceback)


def noting_messages(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``InProcRunnerContext.send_message``."""

    @wraps(original)
    async def send_message(context: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        run = current_run()
        if run is not None:
            with failures_counted("agent_framework.message"):
                for span_id in message.source_span_ids or ():
                    run.remember_message(span_id)
                _say(message.data)
        return await original(context, message, *args, **kwargs)

    return send_message


def noting_outputs(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``WorkflowContext.yield_output``."""

    @wraps(original)
    async def yield_output(context: Any, output: Any, *args: Any, **kwargs: Any) -> Any:
        with failures_counted("agent_framework.output"):
            _say(output)
        return await original(context, output, *args, **kwargs)

    return yield_output


def _say(value: Any) -> None:
    delivery = otel_context.get_value(_DELIVERY_KEY)
    # What a workflow inside of an executor says is not what the executor says.
    if isinstance(delivery, Delivery) and delivery.run is current_run():
        delivery.says(value)


class _Step:
    """One call of a step of a functional workflow: a phase, unless its result is remembered from an earlier run."""

    def __init__(self, run: Run, name: str, given: Any) -> None:
        self._run = run
        self._name = name
        self._given = given
        self.call: Call | None = None

    def start(self) -> None:
        """Start the phase and make it current; the caller's context is restored when the step is over."""
        if self.call is None:
            self.call = start_phase(self._name)
            if self.call.span.is_recording():
                self.call.span.set_attributes(self._run.reader.input_attributes(self._given))
            otel_context.attach(self.call.context)

    def end(self, error: BaseException | None = None, result: Any = None) -> None:
        """End the phase, if there is one."""
        if self.call is not None:
            attributes = None
            if error is None and self.call.span.is_recording():
                attributes = self._run.reader.output_attributes(result)
            self.call.end(error, attributes=attributes)


def recorded_step(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``StepWrapper.__call__``."""

    @wraps(original)
    async def call(wrapper: Any, *args: Any, **kwargs: Any) -> Any:
        run = current_run()
        if run is None:
            return await original(wrapper, *args, **kwargs)
        step = _Step(run, wrapper.name, [args, kwargs])
        token = otel_context.attach(otel_context.set_value(_STEP_KEY, step))
        try:
            result = await original(wrapper, *args, **kwargs)
        except BaseException as error:
            step.end(error)
            raise
        finally:
            detach(token)
        step.end(result=result)
        return result

    return call


def starting_step(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``RunContext.add_event``: a step tells that it is about to call its function."""

    @wraps(original)
    async def add_event(context: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(context, event, *args, **kwargs)
        step = otel_context.get_value(_STEP_KEY)
        if isinstance(step, _Step) and event.type == "executor_invoked":
            with failures_counted("agent_framework.step"):
                step.start()
        return result

    return add_event
