"""Executions of one workflow, with what all detectors need computed once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

from otel_wfperf.analysis.attempts import Request, requests, retried
from otel_wfperf.analysis.baseline import Baseline, BaselineKey, baselines
from otel_wfperf.analysis.critical_path import CriticalPath, critical_path
from otel_wfperf.analysis.parts import RunFigures, run_figures
from otel_wfperf.analysis.statistics import median
from otel_wfperf.model import Execution

_Computed = TypeVar("_Computed")


@dataclass(frozen=True)
class Population:
    """Runs of one workflow, oldest first.

    Attributes:
        workflow: Their common name.
        executions: At least one.
    """

    workflow: str
    executions: tuple[Execution, ...]
    _computed: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse an empty population: it has no median and no baseline."""
        if not self.executions:
            raise ValueError(f"population of {self.workflow!r} is empty; pass at least one execution")

    @cached_property
    def paths(self) -> Mapping[str, CriticalPath]:
        """The critical path of each execution, by trace id."""
        return {execution.trace_id: execution.once(critical_path) for execution in self.executions}

    @cached_property
    def baselines(self) -> Mapping[BaselineKey, Baseline]:
        """What is normal in these runs."""
        return baselines(self.executions)

    @cached_property
    def requests(self) -> Mapping[str, tuple[Request, ...]]:
        """What was asked for in each execution, with all tries of it, by trace id."""
        return {execution.trace_id: execution.once(requests) for execution in self.executions}

    @cached_property
    def retried(self) -> Mapping[str, tuple[Request, ...]]:
        """What was tried more than once in each execution, by trace id."""
        return {execution.trace_id: execution.once(retried) for execution in self.executions}

    @cached_property
    def figures(self) -> tuple[RunFigures, ...]:
        """What the parts of each run took, in the order of the runs."""
        return tuple(execution.once(run_figures) for execution in self.executions)

    @cached_property
    def median_duration_ns(self) -> float:
        """Median length of the runs (nanoseconds)."""
        return median([execution.duration_ns for execution in self.executions])

    def path(self, execution: Execution) -> CriticalPath:
        """Return the critical path of one of the executions."""
        return self.paths[execution.trace_id]

    def once(self, compute: Callable[["Population"], _Computed]) -> _Computed:
        """Return what a function makes of these runs, and compute it at the first call only."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        return cast("_Computed", self._computed[compute])
