"""Alembic runs this for each of its commands: the migrations, on the connection that the caller handed in.

The caller has begun a transaction, and commits it: so also on SQLite all migrations happen together, or none.
"""

from __future__ import annotations

from alembic import context

from central.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
