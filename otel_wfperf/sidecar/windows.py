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

    def add(self, execution: Execution) -> None:
        """Add an execution, or replace the older version of it; the oldest make room."""
        window = self._windows.setdefault(execution.workflow, OrderedDict())
        self._windows.move_to_end(execution.workflow)
        if execution.trace_id in window:
            self._remove(execution.workflow, execution.trace_id)
        window[execution.trace_id] = execution
        self._operations += len(execution.operations)
        if len(window) > self._size:
            self._remove(execution.workflow, next(iter(window)))
        while self._operations > self._max_operations and (len(self._windows) > 1 or len(window) > 1):
            self._evict()

    def of(self, workflow: str) -> tuple[Execution, ...]:
        """Return the executions of a workflow, newest last."""
        return tuple(self._windows.get(workflow, {}).values())

    def find(self, trace_id: str) -> Execution | None:
        """Return an execution that is still held."""
        return next((window[trace_id] for window in self._windows.values() if trace_id in window), None)

    def _evict(self) -> None:
        """Forget the oldest execution of the workflow that has not run for longest."""
        workflow, window = next(iter(self._windows.items()))
        self._remove(workflow, next(iter(window)))
        if not window:
            del self._windows[workflow]

    def _remove(self, workflow: str, trace_id: str) -> None:
        self._operations -= len(self._windows[workflow].pop(trace_id).operations)
