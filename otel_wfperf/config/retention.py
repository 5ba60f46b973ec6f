"""How long results are kept."""

from pydantic import Field

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration, Size


class RetentionConfig(Section):
    """How long results stay in the store."""

    max_age_s: PositiveDuration = 30 * 86400.0
    """Executions and findings older than this are deleted (default 30d). Chosen: seven-day trends with room."""
    max_executions: int = Field(default=100_000, gt=0)
    """Most executions kept; the oldest go first (count). Chosen: about 1 GB of documents."""
    max_size_bytes: Size = 2 * 1024**3
    """Size of the results in SQLite; past it the oldest go, and their room is given back to the disk while everything
    goes on (default 2GiB). Chosen: twice what the default number of executions takes."""
