"""Settings of the durable log."""

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration, Size


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
    fsync: bool = True
    """Force each commit to the disk, so that a power failure loses nothing acknowledged. `false` survives a crash of
    the process, but not of the machine (default true).

    Chosen: one commit serves all requests that wait for it, which makes it affordable.
    """
