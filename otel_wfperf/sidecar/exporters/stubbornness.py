"""When a request, and not its back end, is what fails."""

from typing import Final

from otel_wfperf.config import RetryConfig

# Chosen: a back end that refuses seven of ten at random refuses one request so often once in 1 250 times, and that for
# the whole time that the configuration grants far more seldom.
_MIN_TRIES: Final = 20


class Stubbornness:
    """Counts the failures of one request between which the back end took others.

    One that is refused for ever with a status that says "later" would keep everything behind it in the log.
    """

    def __init__(self, retry: RetryConfig) -> None:
        """Start before the first try."""
        self._limit_s = retry.set_aside_after_s
        self._tries = 0
        self._taken: int | None = None
        self._since_s = 0.0

    def failed(self, *, taken: int, now_s: float) -> bool:
        """Note a failure; True when the request should be set aside.

        Args:
            taken: Requests that the back end has taken so far (count).
            now_s: Monotonic time (seconds).
        """
        if self._taken is None:
            self._since_s = now_s
        elif taken > self._taken:
            self._tries += 1
        self._taken = taken
        return self._tries >= _MIN_TRIES and now_s - self._since_s >= self._limit_s
