"""What is normal for a kind of call."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otel_wfperf.analysis.statistics import mad, median
from otel_wfperf.model import Execution, Operation, OperationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineKey:
    """What must be equal for two operations to be comparable.

    Attributes:
        tokens_bucket: Power of two of the input tokens; -1 when they are not known.
    """

    service: str
    kind: OperationKind
    name: str
    model: str
    tokens_bucket: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Robust centre and spread of log durations.

    Attributes:
        count: Operations seen.
        log_median: Median of ln(nanoseconds).
        log_mad: Median absolute deviation of the same.
    """

    count: int
    log_median: float
    log_mad: float

    @property
    def median_ns(self) -> float:
        """The median duration (nanoseconds)."""
        return math.exp(self.log_median)


def key_of(operation: Operation) -> BaselineKey:
    """Return the group that an operation is compared within."""
    tokens = operation.tokens.input if operation.tokens else 0
    return BaselineKey(
        service=operation.service,
        kind=operation.kind,
        name=operation.name,
        model=operation.model or "",
        tokens_bucket=tokens.bit_length() - 1,
    )


def baseline(durations_ns: Iterable[int]) -> Baseline:
    """Describe durations (nanoseconds, at least one); those under 1 ns count as 1 ns."""
    logs = [math.log(max(1, duration_ns)) for duration_ns in durations_ns]
    return Baseline(count=len(logs), log_median=median(logs), log_mad=mad(logs))


def baselines(executions: Iterable[Execution]) -> Mapping[BaselineKey, Baseline]:
    """Describe every group of comparable operations that did not fail."""
    durations: dict[BaselineKey, list[int]] = {}
    for execution in executions:
        for operation in execution.operations:
            if operation.error is None and operation.ended:
                durations.setdefault(key_of(operation), []).append(operation.duration_ns)
    return {key: baseline(found) for key, found in durations.items()}
