"""See which centrals are at work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A STRICT table of SQLite knows INTEGER, which has 64 bits there, and no BIGINT.
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table in which each central says that it lives."""
    op.create_table(
        "centrals",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", WHOLE, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("since_us", WHOLE, nullable=False),
        sa.Column("seen_us", WHOLE, nullable=False),
        sa.Column("until_us", WHOLE, nullable=False),
        sa.Column("shards", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("holder", name="pk_centrals"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
