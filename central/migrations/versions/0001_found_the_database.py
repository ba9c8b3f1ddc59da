"""Found the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A STRICT table of SQLite knows INTEGER, which has 64 bits there, and no BIGINT.
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _database()
    _stores()
    _stock()
    _reservations()


def _database() -> None:
    """Create what the database says of itself."""
    op.create_table(
        "meta",
        sa.Column("id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("shards", WHOLE, nullable=False),
        sa.Column("founded_us", WHOLE, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_meta_one_row")),
        sa.CheckConstraint("shards BETWEEN 1 AND 64", name=op.f("ck_meta_shards")),
        sa.PrimaryKeyConstraint("id", name="pk_meta"),
        sqlite_strict=True,
    )
    op.create_table(
        "shards",
        sa.Column("shard", WHOLE, autoincrement=False, nullable=False),
        sa.Column("fence", sa.Text(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fenced_us", WHOLE, nullable=True),
        sa.Column("position", WHOLE, nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_shards_position")),
        sa.PrimaryKeyConstraint("shard", name="pk_shards"),
        sqlite_strict=True,
    )


def _stores() -> None:
    """Create what is kept of each store, and of what it sent."""
    op.create_table(
        "stores",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("slot", WHOLE, nullable=False),
        sa.Column("shard", WHOLE, nullable=False),
        sa.Column("first_hash", sa.LargeBinary(), nullable=True),
        sa.Column("first_heard_us", WHOLE, nullable=True),
        sa.Column("admitted_us", WHOLE, nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'admitted')", name=op.f("ck_stores_status")),
        sa.CheckConstraint("slot BETWEEN 0 AND 63", name=op.f("ck_stores_slot")),
        sa.ForeignKeyConstraint(["shard"], ["shards.shard"], name="fk_stores_shards"),
        sa.PrimaryKeyConstraint("store", name="pk_stores"),
        sqlite_strict=True,
    )
    op.create_index("ix_stores_shard", "stores", ["shard"])
    op.create_table(
        "cursors",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("applied_seq", WHOLE, nullable=False),
        sa.Column("applied_hash", sa.LargeBinary(), nullable=False),
        sa.Column("applied_us", WHOLE, nullable=True),
        sa.Column("head_seq", WHOLE, nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=True),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("heard_us", WHOLE, nullable=True),
        sa.Column("fresh_us", WHOLE, nullable=True),
        sa.Column("lacks_seq", WHOLE, nullable=True),
        sa.Column("other_ledger_us", WHOLE, nullable=True),
        sa.CheckConstraint("applied_seq >= 0", name=op.f("ck_cursors_applied_seq")),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_cursors_stores"),
        sa.PrimaryKeyConstraint("store", name="pk_cursors"),
        sqlite_strict=True,
    )
    op.create_table(
        "archive",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("seq", WHOLE, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("time_us", WHOLE, nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("shard", WHOLE, nullable=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("applied_us", WHOLE, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_archive_stores"),
        sa.PrimaryKeyConstraint("store", "seq", name="pk_archive"),
        sqlite_strict=True,
    )
    op.create_index("ix_archive_shard_position", "archive", ["shard", "position"], unique=True)


def _stock() -> None:
    """Create what the stores have."""
    op.create_table(
        "products",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price", WHOLE, nullable=True),
        sa.Column("seq", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_products_stores"),
        sa.PrimaryKeyConstraint("store", "sku", name="pk_products"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "levels",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand", WHOLE, nullable=False),
        sa.Column("reserved", WHOLE, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("seq", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_levels_stores"),
        sa.PrimaryKeyConstraint("store", "sku", name="pk_levels"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_levels_sku", "levels", ["sku"])
    op.create_table(
        "suspects",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seq", WHOLE, nullable=False),
        sa.Column("since_us", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_suspects_stores"),
        sa.PrimaryKeyConstraint("store", "sku", name="pk_suspects"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _reservations() -> None:
    """Create what the stores hold for customers."""
    op.create_table(
        "reservations",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("clerk", sa.Text(), nullable=False),
        sa.Column("created_us", WHOLE, nullable=False),
        sa.Column("expires_us", WHOLE, nullable=False),
        sa.Column("ended_us", WHOLE, nullable=True),
        sa.Column("seq", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["store"], ["stores.store"], name="fk_reservations_stores"),
        sa.PrimaryKeyConstraint("store", "reservation", name="pk_reservations"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_reservations_open",
        "reservations",
        ["store", "expires_us"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "reservation_lines",
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("line", WHOLE, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("quantity", WHOLE, nullable=False),
        sa.Column("confirmed", WHOLE, nullable=False),
        sa.Column("released", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(
            ["store", "reservation"],
            ["reservations.store", "reservations.reservation"],
            name="fk_reservation_lines_reservations",
        ),
        sa.PrimaryKeyConstraint("store", "reservation", "line", name="pk_reservation_lines"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
