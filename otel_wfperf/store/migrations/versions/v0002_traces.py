"""The other traces of executions that came in several."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table, and fill it from what is stored."""
    traces = op.create_table(
        "traces",
        sa.Column("trace_id", sa.String(32), primary_key=True),
        sa.Column(
            "execution_id", sa.String(32), sa.ForeignKey("executions.trace_id", ondelete="CASCADE"), nullable=False
        ),
    )
    op.create_index("traces_by_execution", "traces", ["execution_id"])
    executions = sa.table("executions", sa.column("trace_id", sa.String), sa.column("document", sa.JSON))
    stored = op.get_bind().execute(sa.select(executions.c.trace_id, executions.c.document["trace_ids"]))
    # A trace that two executions name, which nothing forbade, leads to one of them.
    found = {each: execution_id for execution_id, trace_ids in stored for each in (trace_ids or ())[1:]}
    if found:
        rows = [{"trace_id": each, "execution_id": execution_id} for each, execution_id in found.items()]
        op.bulk_insert(traces, rows)
