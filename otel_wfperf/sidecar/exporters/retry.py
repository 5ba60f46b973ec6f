"""How long to wait before the next try."""

from otel_wfperf.config import RetryConfig
from otel_wfperf.sidecar.exporters.exporter import Retry


def delay_s(retry: RetryConfig, attempt: int, outcome: Retry, random: float) -> float:
    """Return how long to wait before the next try (seconds).

    What the back end asks for is a lower bound. Source: opentelemetry-collector config/configretry.

    Args:
        retry: The configuration.
        attempt: Tries so far (count, from 1).
        outcome: The answer to the last one.
        random: A random number from 0 to 1.
    """
    # The exponent is bounded so that thousands of tries do not overflow.
    grown = min(retry.max_delay_s, retry.initial_delay_s * retry.multiplier ** min(attempt - 1, 100))
    jittered = grown * (1 + retry.jitter * (2 * random - 1))
    return max(jittered, outcome.after_s or 0.0)
