"""How long results are kept."""

from pydantic import Field

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration


class RetentionConfig(Section):
    """How long results stay in the store."""

    max_age_s: PositiveDuration = 30 * 86400.0
    """Executions and findings older than this are deleted (default 30d). Chosen: seven-day trends with room."""
    max_executions: int = Field(default=100_000, gt=0)
    """Most executions kept; the oldest go first (count). Chosen: about 1 GB of documents."""
