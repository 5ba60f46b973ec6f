"""When an open operation counts as stalled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from otel_wfperf.model import Operation, OperationKind
from otel_wfperf.report.units import duration

_SECOND_NS: Final = 1_000_000_000
_HUMAN: Final = "human"

# How long an operation usually takes at most (nanoseconds): workflow, kind and name; None = too few were seen.
Usual: TypeAlias = Callable[[str, OperationKind, str], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StallRule:
    """Says why an open operation has stalled.

    Attributes:
        at_least_ns: What is shorter has never stalled (nanoseconds). Chosen: 30 s; most model calls are answered by
            then, and nobody watches more closely.
        factor: How many times as long as usual is too long. Chosen: 3 x the 95th percentile, past which a run in a
            thousand gets even when durations spread as widely as those of model calls do (log-normal, sigma 0.8).
        unknown_ns: Too long where it is not known what is usual (nanoseconds). Chosen: 120 s; a single model call that
            streams its whole output window takes that.
        silent_ns: A process that said an operation runs and has not repeated it for this long is gone (nanoseconds).
            Chosen: it repeats itself every 10 s; three times missed.
    """

    at_least_ns: int = 30 * _SECOND_NS
    factor: float = 3.0
    unknown_ns: int = 120 * _SECOND_NS
    silent_ns: int = 30 * _SECOND_NS

    def is_worth_a_look(self, age_ns: int) -> bool:
        """Tell whether an operation may have stalled at an age (nanoseconds)."""
        return age_ns >= min(self.at_least_ns, self.silent_ns)

    def reason(
        self, operation: Operation, usual: Usual, *, workflow: str, age_ns: int, still_ns: int | None
    ) -> str | None:
        """Say why an operation has stalled; None = it has not, or nobody can tell.

        Args:
            operation: It, without those below it.
            usual: How long such an operation takes.
            workflow: Name of the workflow that it is part of.
            age_ns: How long it has been open (nanoseconds).
            still_ns: How long nothing below it has begun or ended (nanoseconds); None = something below it is open,
                and explains that.
        """
        if age_ns < self.at_least_ns or _waits_for_a_person(operation):
            return None
        usual_ns = usual(workflow, operation.kind, operation.name)
        if usual_ns is not None:
            limit_ns = max(self.at_least_ns, int(self.factor * usual_ns))
            if age_ns >= limit_ns:
                return f"open for {duration(age_ns)}; 95 of 100 take at most {duration(usual_ns)}"
        elif still_ns is not None and still_ns >= self.unknown_ns:
            return f"nothing in it has begun or ended for {duration(still_ns)}"
        return None

    def silence(self, silent_ns: int) -> str | None:
        """Say why an operation is lost whose process has not been heard of for some time (nanoseconds)."""
        return f"its process has been silent for {duration(silent_ns)}" if silent_ns >= self.silent_ns else None


def _waits_for_a_person(operation: Operation) -> bool:
    return operation.kind is OperationKind.WAIT and operation.wait_kind == _HUMAN
