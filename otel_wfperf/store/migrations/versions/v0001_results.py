"""Executions, findings, agents, sketches and cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "executions",
        sa.Column("trace_id", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("start_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("duration_ns", sa.BigInteger, nullable=False),
        sa.Column("span_count", sa.Integer, nullable=False),
        sa.Column("finding_count", sa.Integer, nullable=False),
        sa.Column("stored_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("last_offset", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_index("executions_by_start", "executions", ["start_unix_ns"])
    op.create_index("executions_by_age", "executions", ["stored_unix_ns"])
    op.create_index("executions_by_workflow", "executions", ["workflow", "start_unix_ns"])
    _create_findings()
    _create_agents()
    op.create_table(
        "sketches",
        sa.Column("workflow", sa.Text, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("hour_unix_s", sa.BigInteger, primary_key=True),
        sa.Column("stored_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("sketch", sa.JSON, nullable=False),
    )
    op.create_table(
        "cursors",
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("log_id", sa.String(32), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
    )


def _create_findings() -> None:
    op.create_table(
        "findings",
        sa.Column(
            "trace_id", sa.String(32), sa.ForeignKey("executions.trace_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("detector", sa.Text, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("severity_rank", sa.Integer, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("subject_name", sa.Text, nullable=False),
        sa.Column("saving_median_s", sa.Float),
        sa.Column("start_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_index("findings_by_start", "findings", ["start_unix_ns"])
    op.create_index("findings_by_fingerprint", "findings", ["fingerprint"])


def _create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column(
            "trace_id", sa.String(32), sa.ForeignKey("executions.trace_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("start_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("busy_s", sa.Float, nullable=False),
        sa.Column("wait_s", sa.Float, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.Integer, nullable=False),
    )
    op.create_index("agents_by_start", "agents", ["start_unix_ns"])
