"""What triggers the nodes of a workflow graph, as its scheduler decides it.

Of a graph the ADK's spans show the nodes alone. Checked with ``google.adk.workflow._workflow`` of google-adk 2.13.0:

* ``_run_loop`` is one run of a graph; its task hands context variables on to the task of each node;
* ``_buffer_downstream_triggers`` tells which node set off which, and which were set off together;
* ``_schedule_ready_nodes`` starts what ``max_concurrency`` leaves room for;
* ``_start_node_task`` starts a node.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, NamedTuple

from otel_wfperf.instrumentation.call import detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.google_adk_parts.executions import current_execution
from otel_wfperf.instrumentation.operations import start_wait

_START: Final = "__START__"


class Trigger(NamedTuple):
    """Why a node starts.

    Attributes:
        depends_on: Nodes whose results set it off; None = not known.
        group: Name of the fan-out it belongs to; None = it was set off alone.
        width: Branches in that fan-out (count).
    """

    depends_on: tuple[str, ...] | None = None
    group: str | None = None
    width: int | None = None


class Scheduled(NamedTuple):
    """The node that the current task was started for.

    Attributes:
        workflow: The graph.
        node: Its name.
        trigger: Why it starts; None = not known, as when a run is resumed.
    """

    workflow: Any
    node: str
    trigger: Trigger | None


class _GraphRun:
    """One run of a graph.

    Attributes:
        triggers: Why nodes are to start, first come first served, as in the scheduler's own buffer.
        blocked: Since when nodes wait for room (nanoseconds since the Unix epoch), and how many waited with them.
    """

    __slots__ = ("blocked", "triggers")

    def __init__(self) -> None:
        self.triggers: dict[str, deque[Trigger]] = {}
        self.blocked: dict[str, tuple[int, int]] = {}

    def add(self, names: list[str], trigger: Trigger) -> None:
        for name in names:
            self.triggers.setdefault(name, deque()).append(trigger)

    def next(self, name: str) -> Trigger | None:
        waiting = self.triggers.get(name)
        return waiting.popleft() if waiting else None


_run: Final[ContextVar[_GraphRun | None]] = ContextVar("otel_wfperf_adk_graph_run", default=None)
_scheduled: Final[ContextVar[Scheduled | None]] = ContextVar("otel_wfperf_adk_scheduled", default=None)


def scheduled_as(workflow: Any, node: str) -> Trigger | None:
    """Return why a node of a graph was started by the current task; None = something else started it."""
    scheduled = _scheduled.get()
    is_it = scheduled is not None and scheduled.workflow is workflow and scheduled.node == node
    return scheduled.trigger if scheduled is not None and is_it else None


def recording_runs(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Workflow._run_loop``."""

    @wraps(original)
    async def run_loop(self: Any, loop_state: Any, *args: Any, **kwargs: Any) -> None:
        if current_execution() is None:
            await original(self, loop_state, *args, **kwargs)
            return
        run = _GraphRun()
        with failures_counted("google_adk.graph"):
            _add_triggers(run, {}, _sizes(loop_state) or {}, source=_START, made_by="START")
        with _set(_run, run):
            await original(self, loop_state, *args, **kwargs)

    return run_loop


def recording_triggers(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``Workflow._buffer_downstream_triggers``."""

    @wraps(original)
    def buffer_downstream_triggers(self: Any, loop_state: Any, node_name: str, *args: Any, **kwargs: Any) -> None:
        run = _run.get()
        before = None if run is None else _sizes(loop_state)
        original(self, loop_state, node_name, *args, **kwargs)
        if run is not None and before is not None:
            with failures_counted("google_adk.trigger"):
                made_by = f"{node_name}@{loop_state.nodes[node_name].run_id}"
                joins = _joins(self.graph)
                _add_triggers(run, before, _sizes(loop_state) or {}, source=node_name, made_by=made_by, joins=joins)

    return buffer_downstream_triggers


def recording_limits(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Workflow._schedule_ready_nodes``."""

    @wraps(original)
    async def schedule_ready_nodes(self: Any, loop_state: Any, *args: Any, **kwargs: Any) -> None:
        await original(self, loop_state, *args, **kwargs)
        run = _run.get()
        if run is not None:
            _note_blocked(run, self, loop_state)

    return schedule_ready_nodes


def recording_starts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Workflow._start_node_task``."""

    @wraps(original)
    def start_node_task(self: Any, loop_state: Any, ctx: Any, node_name: str, *args: Any, **kwargs: Any) -> Any:
        run = _run.get()
        if run is None:
            return original(self, loop_state, ctx, node_name, *args, **kwargs)
        _end_wait(run, self, node_name)
        with _set(_scheduled, Scheduled(self, node_name, run.next(node_name))):
            return original(self, loop_state, ctx, node_name, *args, **kwargs)

    return start_node_task


def _add_triggers(
    run: _GraphRun,
    before: dict[str, int],
    after: dict[str, int],
    *,
    source: str,
    made_by: str,
    joins: dict[str, tuple[str, ...]] | None = None,
) -> None:
    """Note what a node has set off; what waited for all of several nodes depends on all of them."""
    added = [name for name, size in after.items() if size > before.get(name, 0)]
    is_fan_out = len(added) > 1
    for name in added:
        depends_on = (joins or {}).get(name) or (() if source == _START else (source,))
        group, width = (f"after {made_by}", len(added)) if is_fan_out else (None, None)
        run.add([name], Trigger(depends_on, group, width))


@never_raises("google_adk.trigger")
def _sizes(loop_state: Any) -> dict[str, int]:
    return {name: len(triggers) for name, triggers in loop_state.trigger_buffer.items()}


def _joins(graph: Any) -> dict[str, tuple[str, ...]]:
    """List what the nodes that wait for all of their predecessors wait for."""
    waits: dict[str, tuple[str, ...]] = {}
    for edge in graph.edges:
        if edge.to_node._requires_all_predecessors and edge.from_node.name != _START:  # noqa: SLF001 - no public name
            waits[edge.to_node.name] = (*waits.get(edge.to_node.name, ()), edge.from_node.name)
    return waits


@never_raises("google_adk.limit")
def _note_blocked(run: _GraphRun, workflow: Any, loop_state: Any) -> None:
    if workflow.max_concurrency and len(loop_state.pending_tasks) >= workflow.max_concurrency:
        for name in loop_state.trigger_buffer:
            run.blocked.setdefault(name, (time.time_ns(), len(loop_state.trigger_buffer)))


@never_raises("google_adk.wait")
def _end_wait(run: _GraphRun, workflow: Any, name: str) -> None:
    blocked = run.blocked.pop(name, None)
    if blocked is not None:
        since_ns, depth = blocked
        limit = workflow.max_concurrency
        start_wait(name, kind="concurrency", queue_depth=depth, concurrency_limit=limit, start_ns=since_ns).end()


@contextmanager
def _set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        detach(token)
