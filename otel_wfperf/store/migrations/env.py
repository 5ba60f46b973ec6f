"""Run by Alembic; the connection comes from :mod:`otel_wfperf.store.migration`."""

from alembic import context

from otel_wfperf.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
