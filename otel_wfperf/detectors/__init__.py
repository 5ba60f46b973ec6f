"""Rules that find what makes a workflow slower than it needs to be."""

from collections.abc import Iterable

from otel_wfperf.analysis.population import Population
from otel_wfperf.detectors.agent_overload import AgentOverload
from otel_wfperf.detectors.capped_concurrency import CappedConcurrency
from otel_wfperf.detectors.connection_setup import ConnectionSetup
from otel_wfperf.detectors.context_bloat import ContextBloat
from otel_wfperf.detectors.critical_path_hog import CriticalPathHog
from otel_wfperf.detectors.detector import Detector
from otel_wfperf.detectors.error_hotspot import ErrorHotspot
from otel_wfperf.detectors.false_parallelism import FalseParallelism
from otel_wfperf.detectors.idle_gap import IdleGap
from otel_wfperf.detectors.latency_regression import LatencyRegression
from otel_wfperf.detectors.latency_trend import LatencyTrend
from otel_wfperf.detectors.loop import Loop
from otel_wfperf.detectors.merge import merge
from otel_wfperf.detectors.missed_parallelism import MissedParallelism
from otel_wfperf.detectors.n_plus_one import NPlusOne
from otel_wfperf.detectors.repeated_call import RepeatedCall
from otel_wfperf.detectors.resource_contention import ResourceContention
from otel_wfperf.detectors.retry_storm import RetryStorm
from otel_wfperf.detectors.slow_first_token import SlowFirstToken
from otel_wfperf.detectors.slow_phase import SlowPhase
from otel_wfperf.detectors.straggler import Straggler
from otel_wfperf.detectors.timeout_burn import TimeoutBurn
from otel_wfperf.model import Execution, Finding

__all__ = ["DETECTORS", "Detector", "detect"]

DETECTORS: tuple[Detector, ...] = (
    CriticalPathHog(),
    SlowPhase(),
    MissedParallelism(),
    ContextBloat(),
    AgentOverload(),
    ResourceContention(),
    RepeatedCall(),
    RetryStorm(),
    Loop(),
    NPlusOne(),
    TimeoutBurn(),
    ErrorHotspot(),
    LatencyRegression(),
    LatencyTrend(),
    FalseParallelism(),
    CappedConcurrency(),
    Straggler(),
    ConnectionSetup(),
    SlowFirstToken(),
    IdleGap(),
)


def detect(executions: Iterable[Execution], *, detectors: Iterable[Detector] = DETECTORS) -> tuple[Finding, ...]:
    """Look for bottlenecks in executions of any workflows.

    Executions are compared with others of the same workflow. Findings with the same cause are merged, the worst
    come first. An execution without its root, or without any length, is left out: its times mean nothing.
    """
    chosen = tuple(detectors)
    workflows: dict[str, list[Execution]] = {}
    for execution in sorted(executions, key=lambda each: (each.start_ns, each.trace_id)):
        if execution.duration_ns > 0:
            workflows.setdefault(execution.workflow, []).append(execution)
    findings: list[Finding] = []
    for workflow, found in workflows.items():
        population = Population(workflow, tuple(found))
        for detector in chosen:
            findings += detector.detect(population)
    return merge(findings, (execution for found in workflows.values() for execution in found))
