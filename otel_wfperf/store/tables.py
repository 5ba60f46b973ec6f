"""The tables. A change here needs a migration; a test compares the two.

One row for each execution, never one for each span: the hot path could not pay for it.
"""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

EXECUTIONS = Table(
    "executions",
    METADATA,
    Column("trace_id", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("start_unix_ns", BigInteger, nullable=False),
    Column("duration_ns", BigInteger, nullable=False),
    Column("span_count", Integer, nullable=False),
    Column("finding_count", Integer, nullable=False),
    # Retention goes by this and not by the start: old traces may be replayed.
    Column("stored_unix_ns", BigInteger, nullable=False),
    # Last record of the log that was part of it: what a restart reads again is compared with it.
    Column("last_offset", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
    Index("executions_by_start", "start_unix_ns"),
    Index("executions_by_age", "stored_unix_ns"),
    Index("executions_by_workflow", "workflow", "start_unix_ns"),
)

# The other traces of executions that came in several, so that each of them leads there.
TRACES = Table(
    "traces",
    METADATA,
    Column("trace_id", String(32), primary_key=True),
    Column("execution_id", String(32), ForeignKey("executions.trace_id", ondelete="CASCADE"), nullable=False),
    Index("traces_by_execution", "execution_id"),
)

FINDINGS = Table(
    "findings",
    METADATA,
    Column("trace_id", String(32), ForeignKey("executions.trace_id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(16), primary_key=True),
    Column("detector", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("severity_rank", Integer, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("subject_kind", String(16), nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("saving_median_s", Float),
    Column("start_unix_ns", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
    Index("findings_by_start", "start_unix_ns"),
    Index("findings_by_fingerprint", "fingerprint"),
)

AGENTS = Table(
    "agents",
    METADATA,
    Column("trace_id", String(32), ForeignKey("executions.trace_id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("start_unix_ns", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("busy_s", Float, nullable=False),
    Column("wait_s", Float, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("errors", Integer, nullable=False),
    Index("agents_by_start", "start_unix_ns"),
)

# Distribution of durations (seconds) of one phase, agent, tool or model in one hour.
SKETCHES = Table(
    "sketches",
    METADATA,
    Column("workflow", Text, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("hour_unix_s", BigInteger, primary_key=True),
    Column("stored_unix_ns", BigInteger, nullable=False),
    Column("sketch", JSON, nullable=False),
)

CURSORS = Table(
    "cursors",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("log_id", String(32), nullable=False),
    Column("position", BigInteger, nullable=False),
)
