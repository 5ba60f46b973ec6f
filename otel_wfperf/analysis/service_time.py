"""How long a model call should take for its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_wfperf.analysis.statistics import median, theil_sen, theil_sen_limits
from otel_wfperf.model import Operation, TokenUsage

# Chosen: fewer points give a slope that one odd call decides.
MIN_CALLS: Final = 8
# Chosen: below the fastest quarter of the calls lies extrapolation. With a floor of a fifth of the median, 25 healthy
# runs whose other phases had longer answers gave a slow phase.
FLOOR_QUANTILE: Final = 0.25
# Chosen: the slopes are medians of 4,000 pairs however many calls there are.
_ENOUGH: Final = 1_000
# Enough to tell which calls are slow for their tokens.
_ROUNDS: Final = 2
# Chosen: where prompts grow in calls whose answers are short, two rounds take a part of the time of the prompt for that
# of the answers that are missing: 8 % too little per input token; after six nothing changes any more.
CONVERGED_ROUNDS: Final = 6
_NOMINAL: Final = 0.95
_NO_TOKENS: Final = TokenUsage()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """A linear model of the duration of calls of one model.

    Attributes:
        base_ns: Time of a call without tokens (nanoseconds).
        output_ns: Time of one more output token (nanoseconds).
        input_ns: Time of one more input token that is not in the prompt cache (nanoseconds).
        floor_ns: Least time predicted (nanoseconds).
    """

    base_ns: float
    output_ns: float
    input_ns: float
    floor_ns: float

    def expected_ns(self, call: Operation) -> float:
        """Predict the duration of a call (nanoseconds)."""
        usage = call.tokens or _NO_TOKENS
        uncached = max(0, usage.input - usage.cache_read)
        return max(self.floor_ns, 1.0, self.base_ns + self.output_ns * usage.output + self.input_ns * uncached)

    def ratio(self, call: Operation) -> float:
        """Return how many times longer than predicted a call took."""
        return max(1, call.duration_ns) / self.expected_ns(call)


def uncached_tokens(call: Operation) -> int:
    """Return the input tokens that the provider had to read anew (tokens)."""
    usage = call.tokens or _NO_TOKENS
    return max(0, usage.input - usage.cache_read)


def service_time(calls: Sequence[Operation], *, rounds: int = _ROUNDS) -> ServiceTime | None:
    """Fit a model to calls; None when there are fewer than ``MIN_CALLS``.

    Theil-Sen on the output tokens, then on the uncached input tokens of what is left, ``rounds`` times over (count);
    a token never makes a call faster.

    Source: token-adjusted residuals as the recorded calls need them (llm_calls.csv: 15 to 18 ms per output token
    on three chat models, residual log deviation 0.2 to 0.7; unadjusted 1.3).
    """
    if len(calls) < MIN_CALLS:
        return None
    calls = calls[:: max(1, len(calls) // _ENOUGH)]
    durations = [float(call.duration_ns) for call in calls]
    outputs = [float((call.tokens or _NO_TOKENS).output) for call in calls]
    inputs = [float(uncached_tokens(call)) for call in calls]
    output_ns = input_ns = base_ns = 0.0
    for _ in range(rounds):
        left = [time - input_ns * count for time, count in zip(durations, inputs, strict=True)]
        output_ns = max(0.0, theil_sen(outputs, left)[0])
        left = [time - output_ns * count for time, count in zip(durations, outputs, strict=True)]
        input_ns = max(0.0, theil_sen(inputs, left)[0])
        base_ns = median([time - input_ns * count for time, count in zip(left, inputs, strict=True)])
    return ServiceTime(
        base_ns=base_ns,
        output_ns=output_ns,
        input_ns=input_ns,
        floor_ns=_floor_ns(durations),
    )


def least_expected_ns(calls: Sequence[Operation]) -> float:
    """Return what the fit of :func:`service_time` predicts at least, without fitting (nanoseconds)."""
    calls = calls[:: max(1, len(calls) // _ENOUGH)]
    return max(1.0, _floor_ns([float(call.duration_ns) for call in calls]))


def _floor_ns(durations_ns: Sequence[float]) -> float:
    return sorted(durations_ns)[int(FLOOR_QUANTILE * len(durations_ns))]


def input_limits(calls: Sequence[Operation], fit: ServiceTime) -> tuple[ServiceTime, ServiceTime]:
    """Return a fit with the least and with the greatest time for one more input token (90 % limits).

    Source: :func:`theil_sen_limits` on what the output tokens leave of the durations.

    Chosen: those of 95 %. They suppose errors of equal size, but longer calls deviate more: in 180 simulated sets
    of 1 to 12 runs (log deviation 0.3) they held the true time in 91 %, those of 90 % in 84 %.
    """
    left = [call.duration_ns - fit.output_ns * (call.tokens or _NO_TOKENS).output for call in calls]
    low, high = theil_sen_limits([float(uncached_tokens(call)) for call in calls], left, confidence=_NOMINAL)
    return (
        replace(fit, input_ns=max(0.0, min(low, fit.input_ns))),
        replace(fit, input_ns=max(high, fit.input_ns)),
    )
