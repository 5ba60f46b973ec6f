"""Exceptions raised by this package.

::

    WfperfError
    ├── ConfigError          a setting is wrong (lists every problem found)
    ├── InputError           a file, payload or command line value cannot be used
    │   └── DecodeError      bytes are not what their format says
    ├── MissingExtraError    an optional dependency is not installed
    └── LogFullError         the durable log refuses more data for now (retry later)

Every message names what was given, what is wrong with it and what to do next.
"""


class WfperfError(Exception):
    """Base of all errors of this package."""


class ConfigError(WfperfError):
    """A configuration is invalid.

    Attributes:
        problems: One sentence for each problem, each naming the key as the user typed it.
    """

    def __init__(self, *problems: str) -> None:
        """Collect the problems; the message lists all of them."""
        self.problems = problems
        super().__init__("\n".join(problems))


class InputError(WfperfError):
    """Something the user handed over cannot be used."""


class DecodeError(InputError):
    """Bytes do not follow the format they claim to be in."""


class MissingExtraError(WfperfError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature and the extra that brings what it needs."""
        super().__init__(f"{feature} needs the `{extra}` extra; install it with: pip install 'otel-wfperf[{extra}]'")


class LogFullError(WfperfError):
    """The log takes nothing now, for want of room mostly; the sender should retry.

    Attributes:
        retry_after_s: How long the sender should wait before it tries again (seconds).
    """

    def __init__(self, retry_after_s: float, why: str = "the log is full") -> None:
        """Remember how long to wait; ``why`` is told to the sender."""
        self.retry_after_s = retry_after_s
        super().__init__(f"{why}; retry in {retry_after_s:g} s")
