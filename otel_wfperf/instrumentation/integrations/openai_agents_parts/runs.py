"""The SDK's traces and spans that are open, and where each belongs among our operations.

Pairing is by the SDK's explicit ids (``span_id``, ``parent_id``, ``trace_id``), so that runs in parallel cannot mix.
Not every span is an operation: the anchor of one that is not is the operation that it is part of.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf.instrumentation.call import Call, current_operation, error_name, is_early_exit
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts

# Chosen: far above what one process runs at once; only what the SDK never ends reaches them.
_MAX_EXECUTIONS: Final = 10_000
_MAX_SPANS: Final = 50_000


class Execution:
    """One trace of the SDK.

    Attributes:
        trace_id: The SDK's identity of it.
        name: Name of the workflow.
        group: The SDK's name of the conversation that it is part of.
        call: Its own operation; None = it is part of an operation that was there already.
        anchor: Its own operation, or the one that it is part of.
        context: Where its spans belong.
        is_ignored: True when nothing of it is recorded.
        was_announced: False when the SDK never told that it started, as of a run that is resumed.
        has_ended: Whether the SDK told that it ended; spans may come after that.
        has_run: Whether it had a run of an agent; the second one is never all of it.
        spans: Open spans by the SDK's id, oldest first.
    """

    def __init__(self, trace_id: str, name: str, group: str | None) -> None:
        """Place a trace into what is current."""
        self.trace_id = trace_id
        self.name = name
        self.group = group
        self.call: Call | None = None
        self.anchor: Call | None = current_operation()
        self.context: Context = otel_context.get_current()
        self.is_ignored = False
        self.was_announced = True
        self.has_ended = False
        self.has_run = False
        self.spans: OrderedDict[str, Node] = OrderedDict()
        self.reader = ContentReader()
        self.prompts = Prompts(self.reader)
        self.raised = Raised()

    def own(self, call: Call) -> None:
        """Give it an operation of its own."""
        self.call = self.anchor = call
        self.context = call.context


class Node:
    """One span of the SDK.

    Attributes:
        type: The SDK's word for what it is.
        parent: The span that it is part of; None = the trace itself.
        call: Its own operation; None = it has none.
        anchor: Its own operation, or the one that it is part of.
        context: Where what it does belongs.
        start_ns: When it started (nanoseconds since the Unix epoch).
        is_phase_to_be: True for a run that becomes a phase once its first agent is known.
        is_put_off: True for a tool that does not run before a person has agreed.
        model: Model that the next call below will use: its name and its provider.
        llm: The last call of a model below.
        turn: Identity of the last answer below.
        failures: Calls of models below that failed since one succeeded (count).
        first_token_ns: When the first piece of an answer came (nanoseconds since the Unix epoch); 0 = not yet.
    """

    __slots__ = (
        "anchor",
        "call",
        "context",
        "execution",
        "failures",
        "first_token_ns",
        "is_phase_to_be",
        "is_put_off",
        "llm",
        "model",
        "parent",
        "raised",
        "start_ns",
        "turn",
        "type",
    )

    def __init__(self, type_: str, execution: Execution, parent: Node | None) -> None:
        """Place a span below its parent."""
        self.type = type_
        self.execution = execution
        self.parent = parent
        self.call: Call | None = None
        self.anchor: Call | None = execution.anchor if parent is None else parent.anchor
        self.context: Context = execution.context if parent is None else parent.context
        self.start_ns = time.time_ns()
        self.is_phase_to_be = False
        self.is_put_off = False
        self.model: tuple[str, str | None] | None = None
        self.llm: Node | None = None
        self.turn: str | None = None
        self.failures = 0
        self.first_token_ns = 0
        self.raised = Raised()
        self.place()

    def place(self) -> None:
        """Prefer what is current where that is inside of the parent: the user's own spans and operations count."""
        inner = current_operation()
        if self.anchor is None or _is_inside(inner, self.anchor):
            self.anchor = inner
            self.context = otel_context.get_current()

    def own(self, call: Call) -> None:
        """Give it an operation of its own."""
        self.call = self.anchor = call
        self.context = call.context


class Raised:
    """Which exception ended a span: the SDK tells no more than a text."""

    __slots__ = ("_before", "_type")

    def __init__(self) -> None:
        """Remember what is being handled already, such as by a user's ``except`` that runs an agent."""
        self._before = id(sys.exception())
        self._type: str | None = None

    def note(self) -> None:
        """Note the exception that is being handled while the SDK sets the error of a span."""
        error = self._now()
        if error is not None:
            # The SDK sets an error while a task is cancelled only when a model call took too long.
            self._type = "timeout" if is_early_exit(error) else error_name(error)

    def type_at_end(self, *, failed: bool, otherwise: str) -> str | None:
        """Name the error with which a span ends now; None = it did not fail.

        Args:
            failed: Whether the SDK has set an error on the span.
            otherwise: What to call an error that was no exception.
        """
        error = self._now()
        if self._type is not None:
            return self._type
        if error is not None:
            return None if is_early_exit(error) else error_name(error)
        return otherwise if failed else None

    def _now(self) -> BaseException | None:
        error = sys.exception()
        return None if id(error) == self._before else error


class Executions:
    """The traces that have started and not ended."""

    def __init__(self) -> None:
        """Know none yet."""
        self._by_id: OrderedDict[str, Execution] = OrderedDict()

    def __len__(self) -> int:
        """How many traces are open (count)."""
        return len(self._by_id)

    def find(self, trace_id: str) -> Execution | None:
        """Return an open trace."""
        return self._by_id.get(trace_id)

    def add(self, execution: Execution) -> Execution:
        """Remember a trace; the oldest one is ended and forgotten when there are too many."""
        self._by_id[execution.trace_id] = execution
        while len(self._by_id) > _MAX_EXECUTIONS:
            self._forget(self._by_id.popitem(last=False)[1])
        return execution

    def add_span(self, span_id: str, node: Node) -> None:
        """Remember a span; the oldest one of its trace is ended and forgotten when there are too many."""
        spans = node.execution.spans
        spans[span_id] = node
        while len(spans) > _MAX_SPANS:
            _end(spans.popitem(last=False)[1].call)

    def settle(self, execution: Execution) -> None:
        """Forget a trace once nothing of it is open."""
        is_over = execution.has_ended or not execution.was_announced
        if is_over and not execution.spans and self._by_id.get(execution.trace_id) is execution:
            del self._by_id[execution.trace_id]
            if not execution.has_ended:
                _end(execution.call)

    def clear(self) -> None:
        """End and forget everything."""
        while self._by_id:
            self._forget(self._by_id.popitem()[1])

    def _forget(self, execution: Execution) -> None:
        while execution.spans:
            _end(execution.spans.popitem()[1].call)
        _end(execution.call)


def _end(call: Call | None) -> None:
    if call is not None:
        call.end()


def _is_inside(call: Call | None, anchor: Call) -> bool:
    while call is not None:
        if call is anchor:
            return True
        call = call.outer
    return False


def describe(node: Node, attributes: dict[str, Any]) -> None:
    """Write facts to a span that is open."""
    if node.call is not None and not node.call.ended:
        node.call.span.set_attributes(attributes)
