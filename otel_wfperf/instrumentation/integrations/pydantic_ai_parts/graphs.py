"""Graphs of pydantic_graph: a workflow for each run, a phase for each step. Checked with pydantic-graph 2.68.0.

Its own spans are only written where Logfire is configured, through ``logfire_span``; then they are left to it.
``_GraphIterator._run_task`` runs one node, in a task of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from pydantic_graph import _utils, graph_builder

from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.operations import start_phase, start_workflow
from otel_wfperf.instrumentation.patching import Undo, replace
from otel_wfperf.instrumentation.payload import ContentReader

_RUN: Final = "_otel_wfperf_run"
_FORK: Final = "Fork"
_STAND_IN: Final = "logfire_api"


class _Run:
    """What the steps of one run of a graph share."""

    def __init__(self) -> None:
        self.reader = ContentReader()
        # Group and width (count) of the branches that a fork has scheduled and that have not started.
        self.groups: dict[Any, tuple[str, int]] = {}


class GraphRecorder:
    """Records runs of graphs."""

    def __init__(self) -> None:
        """Know no graph yet."""
        # By identity: graphs cannot be hashed. The reference takes the entry away with the graph.
        self._needs: dict[int, tuple[weakref.ref[Any], Mapping[str, tuple[str, ...]]]] = {}

    def install(self) -> Undo:
        """Record from now on."""
        undo = (
            replace(graph_builder, "logfire_span", self._recording_runs),
            replace(graph_builder._GraphIterator, "_run_task", self._recording_steps),  # noqa: SLF001 - see above
        )

        def undo_both() -> None:
            for each in undo:
                each()

        return undo_both

    def _recording_runs(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def logfire_span(*args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
            graph = kwargs.get("graph")
            if graph is None or _is_left_to_logfire():
                given: AbstractContextManager[Any] = original(*args, **kwargs)
                return given
            return _workflow(graph)

        return logfire_span

    def _recording_steps(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def run_task(iterator: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
            call = None
            with failures_counted("pydantic_ai.step"):
                call = self._start(iterator, task)
            if call is None:
                result = await original(iterator, task, *args, **kwargs)
                with failures_counted("pydantic_ai.fork"):
                    _note_branches(iterator, task, result)
                return result
            token = otel_context.attach(call.context)
            try:
                result = await original(iterator, task, *args, **kwargs)
            except BaseException as error:
                call.end(error)
                raise
            finally:
                detach(token)
            with failures_counted("pydantic_ai.step"):
                call.end(attributes=_run(iterator).reader.output_attributes(_output(result)))
            call.end()
            return result

        return run_task

    def _start(self, iterator: Any, task: Any) -> Call | None:
        graph = iterator.graph
        node = graph.nodes[task.node_id]
        if not graph.auto_instrument or not isinstance(node, graph_builder.Step) or _is_left_to_logfire():
            return None
        run = _run(iterator)
        group, width = run.groups.pop(task.task_id, (None, None))
        needs = self._needs_in(graph).get(node.id)
        call = start_phase(str(node.id), group=group, width=width, depends_on=needs)
        if call.span.is_recording():
            call.span.set_attributes(run.reader.input_attributes(task.inputs, hashed=False))
        return call

    def _needs_in(self, graph: Any) -> Mapping[str, tuple[str, ...]]:
        key = id(graph)
        known = self._needs.get(key)
        if known is None or known[0]() is not graph:
            needs: Mapping[str, tuple[str, ...]] = {}
            with failures_counted("pydantic_ai.declared"):
                needs = declared_needs(graph)
            known = self._needs[key] = weakref.ref(graph, lambda _: self._needs.pop(key, None)), needs
        return known[1]


def declared_needs(graph: Any) -> dict[str, tuple[str, ...]]:
    """Name for each step the steps that lead to it, through forks, joins and decisions.

    A way back to where a loop began does not count.
    """
    needs: dict[str, set[str]] = {node_id: set() for node_id in graph.nodes}
    path = {graph_builder.StartNode.id: None}
    # Each node on the way with what follows it; not by recursion, which a long graph would exhaust.
    ahead = [(graph_builder.StartNode.id, iter(_steps_after(graph, graph_builder.StartNode.id)))]
    done = set(path)
    while ahead:
        node_id, following = ahead[-1]
        step = next(following, None)
        if step is None:
            ahead.pop()
            del path[node_id]
        elif step not in path:  # else the way leads back to where the loop began
            if isinstance(graph.nodes[node_id], graph_builder.Step):
                needs[step].add(node_id)
            if step not in done:
                done.add(step)
                path[step] = None
                ahead.append((step, iter(_steps_after(graph, step))))
    return {node_id: tuple(sorted(needed)) for node_id, needed in needs.items()}


def _steps_after(graph: Any, node_id: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    waiting = [node_id]
    while waiting:
        for target in _targets(graph, waiting.pop()):
            if target in seen:
                continue
            seen.add(target)
            if isinstance(graph.nodes.get(target), graph_builder.Step):
                found.append(target)
            else:
                waiting.append(target)
    return found


def _targets(graph: Any, node_id: str) -> Iterator[str]:
    paths = list(graph.edges_by_source.get(node_id, ()))
    paths += [branch.path for branch in getattr(graph.nodes.get(node_id), "branches", ())]
    for path in paths:
        for item in path.items:
            target = getattr(item, "destination_id", None)
            if target is not None:
                yield target


@contextmanager
def _workflow(graph: Any) -> Iterator[Any]:
    call: Call | None = None
    token = None
    span: trace.Span = trace.INVALID_SPAN
    with failures_counted("pydantic_ai.graph"):
        call = start_workflow(str(graph.name or "graph"))
        token, span = otel_context.attach(call.context), call.span
    try:
        yield span
    except BaseException as error:
        if call is not None:
            call.end(error)
        raise
    finally:
        if token is not None:
            detach(token)
        if call is not None:
            call.end()


def _note_branches(iterator: Any, task: Any, result: Any) -> None:
    node = iterator.graph.nodes[task.node_id]
    if type(node).__name__ != _FORK or not isinstance(result, list | tuple) or not iterator.graph.auto_instrument:
        return
    for branch in result:
        if isinstance(iterator.graph.nodes[branch.node_id], graph_builder.Step):
            run_id = branch.fork_stack[-1].node_run_id
            _run(iterator).groups[branch.task_id] = (f"{node.id} {run_id}", len(result))


def _run(iterator: Any) -> _Run:
    run: _Run = vars(iterator).setdefault(_RUN, None) or _Run()
    vars(iterator)[_RUN] = run
    return run


def _output(result: Any) -> Any:
    """Find what a step returned in what is to run next with it."""
    first = result[0] if isinstance(result, list | tuple) and result else result
    return getattr(first, "inputs", getattr(first, "value", None))


def _is_left_to_logfire() -> bool:
    recorder = _utils._logfire  # noqa: SLF001 - see above
    # Where Logfire is not installed, whatever is asked of its stand-in is a mock made for the question.
    is_installed = type(recorder).__module__ != _STAND_IN
    return is_installed and getattr(recorder.config, "_initialized", False) is True
