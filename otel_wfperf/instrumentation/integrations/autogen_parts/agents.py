"""Agents: AutoGen opens a span for each turn of one, whose place ours takes.

AutoGen's own span (autogen-core 0.7.5) quotes exceptions, which may hold prompts, and stays current while the consumer
of a stream has an item. Outside of what is recorded it stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, current_operation, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import (
    Run,
    begin_run,
    current_run,
    current_ticket,
    follow,
    may_record,
    record_wait,
)
from otel_wfperf.instrumentation.operations import record_handoff, start_agent, start_phase
from otel_wfperf.instrumentation.streams import Stream

# Source: GenAI semantic conventions; as AutoGen spells it.
_AGENT_ID: Final = "gen_ai.agent.id"


class Entered(AbstractContextManager[Span]):
    """Operations, outermost first, that are current in a ``with`` block, as AutoGen's own context managers are."""

    def __init__(self, context: Context, calls: Sequence[Call], *, after: Callable[[], None] | None = None) -> None:
        """Make the last of the operations current in a context; call ``after`` once they have ended."""
        self._context = context
        self._calls = calls
        self._after = after
        self._token: Any = None

    def identify(self, agent_id: str) -> None:
        """Write down the id that AutoGen's own span would have had."""
        self._calls[-1].span.set_attribute(_AGENT_ID, agent_id)

    def __enter__(self) -> Span:
        self._token = otel_context.attach(self._context)
        return self._calls[-1].span

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        detach(self._token)
        for call in reversed(self._calls):
            call.end(error)
        if self._after is not None:
            self._after()


def agent_span(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``trace_invoke_agent_span``."""

    @wraps(original)
    def trace_invoke_agent_span(agent_name: str, **kwargs: Any) -> Any:
        recorded = _recorded(agent_name, kwargs.get("agent_id"))
        return original(agent_name, **kwargs) if recorded is None else recorded

    return trace_invoke_agent_span


@never_raises("autogen.agent")
def _recorded(name: str, agent_id: str | None) -> Entered | None:
    recorded = _agent(name)
    if recorded is not None and agent_id is not None:
        recorded.identify(agent_id)
    return recorded


def _agent(name: str) -> Entered | None:
    run = current_run()
    if run is None:
        run = begin_run(lambda: start_agent(name))
        return None if run is None else Entered(run.context, [run.call])
    if current_operation() is run.call and run.call.kind == "workflow":
        return _turn(run, name)
    agent = start_agent(name)
    return Entered(agent.context, [agent])


def _turn(run: Run, name: str) -> Entered:
    """Start the turn of an agent that its team has chosen."""
    ticket, selection = current_ticket(), run.selections.get(name)
    if ticket is not None:
        record_wait(name, ticket)
    calls = []
    if run.graph is not None and selection is not None:
        is_parallel = selection.width > 1
        phase = start_phase(
            name,
            step=selection.step,
            group=f"step {selection.step}" if is_parallel else None,
            width=selection.width if is_parallel else None,
            # Of several ways into a node, those that were not gone are no dependency.
            depends_on=[each for each in run.graph.get(name, ()) if each in run.finished],
        )
        calls.append(phase)
    agent = start_agent(name, context=calls[0].context if calls else None)
    calls.append(agent)
    if selection is not None and len(calls) == 1:
        agent.span.set_attribute(semconv.PHASE_STEP, selection.step)
    if ticket is not None:
        follow(calls[0], ticket)
    return Entered(agent.context, calls, after=lambda: run.finished.add(name))


def begin_lone_run(*_: Any, **__: Any) -> Stream:
    """Begin one call of ``run_stream``, which opens its span within itself: its consumer is not to see that."""
    return Stream(otel_context.get_current() if _is_recorded() else None)


@never_raises("autogen.run_stream")
def _is_recorded() -> bool:
    return current_run() is not None or may_record()


class _Answer(Stream):
    """One answer of an agent as it is streamed; its operation is its own, or already open around it."""

    def __init__(self, run: Run | None, call: Call | None, *, context: Context | None, is_own: bool) -> None:
        super().__init__(context)
        self._run = run
        self._call = call
        self._is_own = is_own

    def seen(self, item: Any) -> None:
        message = getattr(item, "chat_message", None)
        if message is None or self._call is None:
            return
        with failures_counted("autogen.answer"):
            _describe(self._run, self._call, answer=message)
        # The response is the last item; a consumer that has it may never ask for another one.
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        if self._is_own and self._call is not None:
            self._call.end(error)


def begin_answer(agent: Any, *args: Any, **kwargs: Any) -> Stream:
    """Begin one call of ``on_messages_stream``: within the turn that is open, else as a turn of its own."""
    messages = args[0] if args else kwargs.get("messages")
    return _begin_answer(agent, messages) or Stream()


@never_raises("autogen.on_messages_stream")
def _begin_answer(agent: Any, messages: Any) -> Stream | None:
    run, call, context, is_own = current_run(), current_operation(), None, False
    if call is None or call.kind != "agent" or call.name != agent.name:
        is_own = True
        if run is None:
            run = begin_run(lambda: start_agent(agent.name))
            if run is None:
                return None
            call, context = run.call, run.context
        else:
            call = start_agent(agent.name)
            context = call.context
    _describe(run, call, given=messages)
    return _Answer(run, call, context=context, is_own=is_own)


def _describe(run: Run | None, agent: Call, *, given: Any = None, answer: Any = None) -> None:
    """Record what an agent was told or answered, for its phase as well."""
    if run is None or not agent.span.is_recording():
        return
    reader = run.prompts.reader
    if answer is None:
        said = [getattr(message, "content", None) for message in given or ()]
        attributes = reader.input_attributes(said, hashed=False)
    else:
        attributes = reader.output_attributes(getattr(answer, "content", None))
    agent.span.set_attributes(attributes)
    if agent.outer is not None and agent.outer.kind == "phase":
        agent.outer.span.set_attributes(attributes)


def noting_handoffs(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method through which an agent's container passes its messages on."""

    @wraps(original)
    async def log_message(container: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        target, run = getattr(message, "target", None), current_run()
        if run is not None and isinstance(target, str) and type(message).__name__ == "HandoffMessage":
            with failures_counted("autogen.handoff"):
                record_handoff(message.source, target, context=run.context)
        return await original(container, message, *args, **kwargs)

    return log_message
