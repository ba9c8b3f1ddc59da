"""Know which stores lost history, and of which a copy speaks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A STRICT table of SQLite knows INTEGER, which has 64 bits there, and no BIGINT.
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Keep who asks to rejoin, and what an operator said to that."""
    op.create_table(
        "rejoins",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("copies_us", WHOLE, nullable=True),
        sa.Column("readmitted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_rejoins_stores"),
        sa.PrimaryKeyConstraint("store", name="pk_rejoins"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "asking",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("held_seq", WHOLE, nullable=False),
        sa.Column("since_us", WHOLE, nullable=False),
        sa.Column("heard_us", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_asking_stores"),
        sa.PrimaryKeyConstraint("store", "boot", name="pk_asking"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
