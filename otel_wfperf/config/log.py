"""Settings of the durable log."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration, Size

_OF_BOOLEANS: Final = {True: "always", False: "never", "true": "always", "false": "never"}


def _words(value: object) -> object:
    """Return the word for what was a boolean until 0.1."""
    return _OF_BOOLEANS.get(value, value) if isinstance(value, bool | str) else value


Fsync = Annotated[Literal["always", "interval", "never"], BeforeValidator(_words, json_schema_input_type=str | bool)]


class LogConfig(Section):
    """The durable log between the receivers and everything that consumes."""

    max_size_bytes: Size = 1024**3
    """Data kept for slow consumers; beyond it new data is refused with a retryable status (default 1GiB).

    Chosen: about 2.5 million spans of 400 bytes, 4 minutes at 10 000 spans a second.
    """
    max_age_s: PositiveDuration = 24 * 3600.0
    """Data older than this is dropped and counted, whether or not every exporter had it (default 24h).

    Chosen: an outage over night loses nothing; older telemetry helps nobody.
    """
    fsync: Fsync = "always"
    """When commits are forced to the disk: `always`, `interval` (every `fsync_interval`) or `never` (default always).

    Every one survives the death of the process, also by SIGKILL. When the machine dies or loses power, `always` loses
    nothing acknowledged, `interval` at most the last interval, `never` whatever the operating system had not written
    yet, often 30 s; the file itself stays whole. `true` and `false` mean `always` and `never`.

    Chosen: one commit serves all requests that wait for it, which makes it affordable.
    """
    fsync_interval_s: PositiveDuration = 1.0
    """How often `fsync: interval` forces the disk (default 1s).

    Source: Redis `appendfsync everysec`, the same bargain.
    """
