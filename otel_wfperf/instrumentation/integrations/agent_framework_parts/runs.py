"""One run of a workflow, or of an agent outside of any: what is known while its native spans are open."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

# None is known to write spans of its own; that of OpenInference (0.1.13) puts attributes on Agent Framework's.
_OTHERS: Final[tuple[str, ...]] = ("opentelemetry.instrumentation.agent_framework",)
# Key of the same name in opentelemetry.context; other instrumentations set it around their own calls.
_SUPPRESSED: Final = "suppress_instrumentation"
_RUN_KEY: Final = otel_context.create_key("otel_wfperf.agent_framework.run")
_AGENT_KEY: Final = otel_context.create_key("otel_wfperf.agent_framework.agent")
# Chosen: of one run; what is older is not waited for any more.
_MAX_REMEMBERED: Final = 10_000


class Run:
    """What the spans of one run share.

    Attributes:
        prompts: Compares each prompt with the previous one of the same agent.
        superstep: The one that goes on; 0 = none yet.
        span: The native span of the run, once the first superstep has begun.
    """

    __slots__ = ("_delivered", "_sent_ns", "_turns", "prompts", "span", "superstep")

    def __init__(self, outer: Run | None = None) -> None:
        """Begin within another run, or on its own."""
        self.prompts: Prompts = Prompts() if outer is None else outer.prompts
        self.superstep = 0
        self.span: Span = INVALID_SPAN
        self._turns: dict[str, str] = {} if outer is None else outer._turns  # noqa: SLF001 - the same class
        self._sent_ns: dict[str, int] = {}
        self._delivered: set[tuple[str, ...]] = set()

    @property
    def reader(self) -> ContentReader:
        """Reads content for all of the run."""
        return self.prompts.reader

    def begin_superstep(self, number: int) -> None:
        """Begin a superstep, in the native span of the run."""
        self.superstep = number
        self.span = trace.get_current_span()
        self._delivered.clear()

    def is_first_delivery(self, span_ids: Sequence[str]) -> bool:
        """Tell whether some messages are delivered for the first time in their superstep."""
        key = tuple(span_ids)
        is_first = key not in self._delivered
        self._delivered.add(key)
        return is_first

    def remember_turn(self, call_id: str, turn: str) -> None:
        """Note which model response asked for a tool call."""
        _remember(self._turns, call_id, turn)

    def turn_of(self, call_id: str | None) -> str | None:
        """Return which model response asked for a tool call; it is asked once."""
        return None if call_id is None else self._turns.pop(call_id, None)

    def remember_message(self, span_id: str) -> None:
        """Note when a message was sent, by the id of the span of its sending."""
        _remember(self._sent_ns, span_id, time.time_ns())

    def sent_ns(self, span_ids: Sequence[str]) -> int | None:
        """Return when the last of some messages was sent (nanoseconds since the Unix epoch)."""
        return max((self._sent_ns[each] for each in span_ids if each in self._sent_ns), default=None)


def _remember(known: dict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    while len(known) > _MAX_REMEMBERED:
        known.pop(next(iter(known)), None)


def current_run() -> Run | None:
    """Return the run that surrounds the caller."""
    run = otel_context.get_value(_RUN_KEY)
    return run if isinstance(run, Run) else None


def current_agent() -> str | None:
    """Return the name, else the id, of the agent that surrounds the caller."""
    name = otel_context.get_value(_AGENT_KEY)
    return name if isinstance(name, str) else None


def begin_run() -> Run | None:
    """Begin a run within the one that surrounds the caller; None = nothing is to be recorded."""
    outer = current_run()
    return Run(outer) if outer is not None or _may_record() else None


def run_or_own() -> Run | None:
    """Return the run that surrounds the caller, else a new one; None = nothing is to be recorded."""
    return current_run() or begin_run()


def context_of(run: Run, agent: str | None = None) -> Context:
    """Return the current context as part of a run, and of an agent in it."""
    context = otel_context.set_value(_RUN_KEY, run)
    return context if agent is None else otel_context.set_value(_AGENT_KEY, agent, context)


@contextmanager
def within(run: Run, agent: str) -> Iterator[None]:
    """Run a block as part of a run and of an agent in it."""
    token = otel_context.attach(context_of(run, agent))
    try:
        yield
    finally:
        detach(token)


def native_span(operation: str) -> Span | None:
    """Return the current span, if Agent Framework wrote it for an operation and it is recorded."""
    span = trace.get_current_span()
    attributes = getattr(span, "attributes", None)
    is_native = isinstance(attributes, Mapping) and attributes.get(semconv.OPERATION_NAME) == operation
    return span if is_native and span.is_recording() else None


def _may_record() -> bool:
    from agent_framework.observability import OBSERVABILITY_SETTINGS  # noqa: PLC0415 - imported already when this runs

    # Without the native spans there is nothing to add to.
    if not OBSERVABILITY_SETTINGS.ENABLED or otel_context.get_value(_SUPPRESSED):
        return False
    return not is_recorded_elsewhere("Agent Framework", *_OTHERS)
