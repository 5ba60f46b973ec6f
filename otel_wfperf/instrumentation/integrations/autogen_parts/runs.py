"""One run of a team, of an agent, or of what a message sets off, and the messages on their way in it.

AutoGen passes work on by messages, which its runtime handles in tasks of its own: what belongs together is told by
what each message carries (a :class:`Ticket`), not by the task that happens to handle it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from otel_wfperf.instrumentation.call import Call, current_operation
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.operations import start_wait
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.prompts import Prompts

# openinference-instrumentation-autogen-agentchat 0.1.22.
_OTHERS: Final = ("openinference.instrumentation.autogen_agentchat",)
# Key of the same name in opentelemetry.context; other instrumentations set it around their own calls.
_SUPPRESSED: Final = "suppress_instrumentation"
_RUN_KEY: Final = otel_context.create_key("otel_wfperf.autogen.run")
_TICKET_KEY: Final = otel_context.create_key("otel_wfperf.autogen.ticket")
# Chosen: an idle agent gets its message after 0.3 ms (autogen-core 0.7.5); waits below this tell nothing.
_MIN_WAIT_NS: Final = 1_000_000
# Chosen: the tool calls of one run that may wait for their tool; older ones lose their turn.
_MAX_TURNS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Selection:
    """The agents that a team's manager chose to go on with.

    Attributes:
        step: Which selection of the run it is; 1 = the first.
        width: How many agents were chosen at once (count).
    """

    step: int
    width: int


class Run:
    """What the operations of one run share.

    Attributes:
        call: The operation that the run is.
        context: Where the operations directly below it belong.
        prompts: Compares each prompt with the previous one of the same agent.
        turns: Model response that asked for each tool call, by the call's id.
        graph: Agents that each agent of a graph follows; None = the team has no graph.
        selections: Latest selection of each agent.
        finished: Agents that have answered.
        attempts: Model calls of the selection that is going on (count).
    """

    __slots__ = (
        "_ends_when_idle",
        "_open_messages",
        "_steps",
        "attempts",
        "call",
        "context",
        "finished",
        "graph",
        "prompts",
        "selections",
        "turns",
    )

    def __init__(self, call: Call, outer: Run | None = None) -> None:
        """Begin within another run, or on its own."""
        self.call = call
        self.context = otel_context.set_value(_RUN_KEY, self, call.context)
        self.prompts: Prompts = Prompts() if outer is None else outer.prompts
        self.turns: dict[str, str] = {} if outer is None else outer.turns
        self.graph: Mapping[str, Sequence[str]] | None = None
        self.selections: dict[str, Selection] = {}
        self.finished: set[str] = set()
        self.attempts = 0
        self._steps = 0
        self._open_messages = 0
        self._ends_when_idle = False

    def select(self, names: Sequence[str]) -> None:
        """Note which agents go on at once."""
        self._steps += 1
        selection = Selection(self._steps, len(names))
        self.selections.update(dict.fromkeys(names, selection))

    def remember_turn(self, call_id: str, turn: str) -> None:
        """Note which model response asked for a tool call."""
        self.turns[call_id] = turn
        while len(self.turns) > _MAX_TURNS:
            self.turns.pop(next(iter(self.turns)))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Run a block, and end the run when it and all messages that come of it are handled."""
        self._ends_when_idle = True
        self.message_sent()
        try:
            yield
        finally:
            self.message_handled()

    def message_sent(self) -> None:
        """Count a message on its way."""
        self._open_messages += 1

    def message_handled(self) -> None:
        """Count it out."""
        self._open_messages -= 1
        if self._ends_when_idle and self._open_messages <= 0:
            self.call.end()


class Ticket:
    """What one message carries.

    Attributes:
        run: The run in which it was sent.
        sent_ns: When (nanoseconds since the Unix epoch).
        cause: The agent that sent it, or whose answer made the manager send it; None = not known.
    """

    __slots__ = ("_is_open", "_sender", "cause", "run", "sent_ns")

    def __init__(self, run: Run) -> None:
        """Send a message from the current context."""
        self.run = run
        self.sent_ns = time.time_ns()
        before = current_ticket()
        self.cause: SpanContext | None = _enclosing_agent() or (before.cause if before is not None else None)
        self._sender: Context | None = otel_context.get_current()
        self._is_open = True
        run.message_sent()

    def asked_context(self) -> Context:
        """Return where the answer to a question belongs: below whoever waits for it."""
        return otel_context.set_value(_TICKET_KEY, self, self._sender)

    def told_context(self) -> Context:
        """Return where the handling of an announcement belongs: below the run, as nobody waits for it."""
        return otel_context.set_value(_TICKET_KEY, self, self.run.context)

    @never_raises("autogen.message_handled")
    def settle(self) -> None:
        """Note that the message has been handled."""
        if self._is_open:
            self._is_open = False
            # It holds the ticket of the message before, and so on back to the first.
            self._sender = None
            self.run.message_handled()

    def __del__(self) -> None:
        """Settle what nobody handles any more: a runtime that is stopped drops its messages."""
        self.settle()


def _enclosing_agent() -> SpanContext | None:
    call = current_operation()
    while call is not None and call.kind != "agent":
        call = call.outer
    return None if call is None else call.span.get_span_context()


def current_run() -> Run | None:
    """Return the run that surrounds the caller; None = none does, or it is not recorded."""
    run = otel_context.get_value(_RUN_KEY)
    return run if isinstance(run, Run) else None


def within(run: Run) -> Context:
    """Return the current context as a part of a run that an operation of the user's is."""
    return otel_context.set_value(_RUN_KEY, run)


def current_ticket() -> Ticket | None:
    """Return what the message carried that is being handled."""
    ticket = otel_context.get_value(_TICKET_KEY)
    return ticket if isinstance(ticket, Ticket) else None


def begin_run(start: Callable[[], Call]) -> Run | None:
    """Begin a run within the one that surrounds the caller; None = it is left to another instrumentation."""
    outer = current_run()
    if outer is None and not may_record():
        return None
    return Run(start(), outer)


def may_record() -> bool:
    """Tell whether an outermost run is ours to record."""
    return not otel_context.get_value(_SUPPRESSED) and not is_recorded_elsewhere("AutoGen", *_OTHERS)


def record_wait(name: str, ticket: Ticket) -> None:
    """Record how long a message lay in an agent's mailbox, unless that was no time at all."""
    now_ns = time.time_ns()
    if now_ns - ticket.sent_ns >= _MIN_WAIT_NS:
        wait = start_wait(f"{name} mailbox", kind="queue", start_ns=ticket.sent_ns)
        wait.end(end_ns=now_ns)


def follow(call: Call, ticket: Ticket) -> None:
    """Link an operation to the agent that made it happen, unless it is within that agent."""
    around = _enclosing_agent()
    if ticket.cause is not None and ticket.cause.is_valid and ticket.cause != around:
        call.span.add_link(ticket.cause)
