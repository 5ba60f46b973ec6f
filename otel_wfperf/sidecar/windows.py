"""The recent executions of each workflow, which detectors compare."""

from __future__ import annotations

from collections import OrderedDict

from otel_wfperf.model import Execution

# Chosen: about 200 MB of operations at 1 kB each.
_MAX_OPERATIONS = 200_000


class Windows:
    """Keeps the newest executions of each workflow, within a bound over all of them."""

    def __init__(self, size: int, *, max_operations: int = _MAX_OPERATIONS) -> None:
        """Keep ``size`` executions of a workflow and ``max_operations`` altogether."""
        self._size = size
        self._max_operations = max_operations
        self._operations = 0
        self._windows: OrderedDict[str, OrderedDict[str, Execution]] = OrderedDict()
        self._by_trace: dict[str, Execution] = {}

    def add(self, execution: Execution) -> None:
        """Add an execution in the place of all that hold one of its traces; the oldest make room."""
        for trace_id in execution.trace_ids:
            if (older := self._by_trace.get(trace_id)) is not None:
                self._remove(older)
        window = self._windows.setdefault(execution.workflow, OrderedDict())
        self._windows.move_to_end(execution.workflow)
        window[execution.trace_id] = execution
        self._by_trace.update(dict.fromkeys(execution.trace_ids, execution))
        self._operations += len(execution.operations)
        if len(window) > self._size:
            self._remove(next(iter(window.values())))
        while self._operations > self._max_operations and (len(self._windows) > 1 or len(window) > 1):
            self._evict()

    def of(self, workflow: str) -> tuple[Execution, ...]:
        """Return the executions of a workflow, newest last."""
        return tuple(self._windows.get(workflow, {}).values())

    def find(self, trace_id: str) -> Execution | None:
        """Return the execution that a trace is part of, while it is held."""
        return self._by_trace.get(trace_id)

    def _evict(self) -> None:
        """Forget the oldest execution of the workflow that has not run for longest."""
        self._remove(next(iter(next(iter(self._windows.values())).values())))

    def _remove(self, execution: Execution) -> None:
        window = self._windows[execution.workflow]
        del window[execution.trace_id]
        if not window:
            del self._windows[execution.workflow]
        for trace_id in execution.trace_ids:
            del self._by_trace[trace_id]
        self._operations -= len(execution.operations)
