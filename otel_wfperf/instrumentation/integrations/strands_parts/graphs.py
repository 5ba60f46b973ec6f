"""Phases of graphs and swarms, whose nodes have no span in Strands.

Checked with strands-agents 1.62.0: ``_execute_node`` of ``Graph`` and of ``Swarm`` is an asynchronous generator that is
one run of a node. A phase is current in its own code and in what it calls, not in the consumer of the stream.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry import trace

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, unrecorded_call
from otel_wfperf.instrumentation.failures import count_failure, never_raises
from otel_wfperf.instrumentation.integrations.strands_parts.executions import Within, execution_around, place_of, put
from otel_wfperf.instrumentation.operations import start_phase
from otel_wfperf.instrumentation.wrapping import record_calls

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.api import Recording

# A graph or swarm that was given no id is called by one that starts with this.
_UNNAMED: Final = "default_"


class _Batch(NamedTuple):
    """Nodes of a graph that run at once; the next ones wait for all of them.

    Attributes:
        run: The state of the graph's run, not kept alive.
        step: Number of the batch in that run; 1 = first.
        width: Nodes (count).
    """

    run: weakref.ref[Any]
    step: int
    width: int


_batch: Final[ContextVar[_Batch | None]] = ContextVar("otel_wfperf_strands_batch", default=None)


class _NodePhase:
    """What :func:`record_calls` starts for one run of a node."""

    kind: Final = "phase"

    def __init__(self, name: str, **facts: Any) -> None:
        self._name = name
        self._facts = facts

    def start(self) -> Call:
        try:
            around = trace.get_current_span()
            call = start_phase(self._name, **self._facts)
            put(call.span, Within(execution_around(around)))
        except Exception:  # noqa: BLE001 - the node must run as it would without us
            count_failure("strands.phase")
            return unrecorded_call("phase", self._name)
        return call


def executing_batches(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Graph._execute_nodes_parallel``, whose tasks inherit what is set before they are made."""

    @wraps(original)
    def execute_nodes_parallel(graph: Any, nodes: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        _begin_batch(graph, nodes)
        return cast("AsyncIterator[Any]", original(graph, nodes, *args, **kwargs))

    return execute_nodes_parallel


def executing_graph_nodes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Graph._execute_node``."""

    @wraps(original)
    def execute_node(graph: Any, node: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        phase = _graph_phase(graph, node)
        run = original if phase is None else record_calls(phase, original)
        return cast("AsyncIterator[Any]", run(graph, node, *args, **kwargs))

    return execute_node


def executing_swarm_nodes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Swarm._execute_node``."""

    @wraps(original)
    def execute_node(swarm: Any, node: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        phase = _swarm_phase(swarm, node)
        run = original if phase is None else record_calls(phase, original)
        return cast("AsyncIterator[Any]", run(swarm, node, *args, **kwargs))

    return execute_node


def handing_off(original: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``Swarm._handle_handoff``, which runs in the tool that the model called."""

    @wraps(original)
    def handle_handoff(swarm: Any, target_node: Any, *args: Any, **kwargs: Any) -> None:
        original(swarm, target_node, *args, **kwargs)
        _record_handoff(swarm, target_node)

    return handle_handoff


@never_raises("strands.batch")
def _begin_batch(graph: Any, nodes: Any) -> None:
    before, run = _batch.get(), graph.state
    step = before.step + 1 if before is not None and before.run() is run else 1
    _batch.set(_Batch(weakref.ref(run), step, len(nodes)))
    if step == 1:
        _name_run(graph.id)


@never_raises("strands.node")
def _graph_phase(graph: Any, node: Any) -> Recording | None:
    if place_of(trace.get_current_span()) is None:
        return None
    batch, completed = _batch.get(), graph.state.completed_nodes
    facts: dict[str, Any] = {}
    if batch is not None and batch.run() is graph.state:
        facts["step"] = batch.step
        if batch.width > 1:
            facts.update(group=f"batch {batch.step}", width=batch.width)
    before = {edge.from_node.node_id for edge in graph.edges if edge.to_node == node and edge.from_node in completed}
    phase = _NodePhase(node.node_id, depends_on=tuple(sorted(before)), **facts)
    return cast("Recording", phase)


@never_raises("strands.node")
def _swarm_phase(swarm: Any, node: Any) -> Recording | None:
    if place_of(trace.get_current_span()) is None:
        return None
    _name_run(swarm.id)
    before = [each.node_id for each in swarm.state.node_history[-1:]]
    return cast("Recording", _NodePhase(node.node_id, depends_on=tuple(before)))


@never_raises("strands.handoff")
def _record_handoff(swarm: Any, target: Any) -> None:
    span = trace.get_current_span()
    if swarm.state.handoff_node is target and place_of(span) is not None:
        source = swarm.state.current_node.node_id
        span.set_attributes({semconv.HANDOFF_FROM: source, semconv.HANDOFF_TO: target.node_id})


def _name_run(name: str) -> None:
    """Name the graph or swarm whose span is current."""
    span = trace.get_current_span()
    if not name.startswith(_UNNAMED) and place_of(span) is not None:
        span.set_attribute(semconv.WORKFLOW_NAME, name)
