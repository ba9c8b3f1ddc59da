"""Alembic runs this for each of its commands: the migrations, on the connection that the caller handed in."""

from __future__ import annotations

from alembic import context

from central.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
    # Also on SQLite, where Alembic does not count on it: `writing` has begun the transaction.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
