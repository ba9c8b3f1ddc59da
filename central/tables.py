"""Central's tables, in SQLModel: what head office durably knows of all stores.

Instants are whole microseconds since the epoch, by the database's clock unless a column says otherwise. On SQLite
every table is STRICT. Constraints guard what central decides itself; a store's levels have none, because the store
owns its stock: what it reports is taken even where it should be impossible, and marked in `suspects`.

`stores` and `cursors` are two tables though they have the same key. What an operator decides and a ledger says once
changes a few times in a store's life, by whoever runs a command; a cursor moves many times a second, under its
shard's fence. So an admission never waits behind an apply for a row, and the hot rows stay narrow, which lets
PostgreSQL update them in place.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

from invctl.model.identifiers import SLOTS

PENDING = "pending"
ADMITTED = "admitted"

# A STRICT table of SQLite knows INTEGER and TEXT only; there, INTEGER has 64 bits.
BIG_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
STRICT: dict[str, Any] = {"sqlite_strict": True}
# A small row under a key of texts: kept in the key's own tree, and not in a second one.
BY_KEY: dict[str, Any] = {**STRICT, "sqlite_with_rowid": False}
OPEN_RESERVATION = text("status = 'pending'")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class CentralTable(SQLModel):
    """What every table of central shares: the metadata that the migrations are held to."""

    metadata = metadata
    # SQLAlchemy sets it on each mapped class; SQLModel does not declare it.
    __table__: ClassVar[Table]


class Meta(CentralTable, table=True):
    """Facts about the database itself: one row, written when it is founded."""

    __tablename__ = "meta"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint(f"shards BETWEEN 1 AND {SLOTS}", name="shards"),
        STRICT,
    )

    id: int = Field(primary_key=True, sa_type=BIG_INTEGER, sa_column_kwargs={"autoincrement": False})
    shards: int = Field(sa_type=BIG_INTEGER)
    founded_us: int = Field(sa_type=BIG_INTEGER)


class Shard(CentralTable, table=True):
    """A share of the slots. Each apply locks this row: it holds the fence, and counts the positions."""

    __tablename__ = "shards"
    __table_args__ = (CheckConstraint("position >= 0", name="position"), STRICT)

    shard: int = Field(primary_key=True, sa_type=BIG_INTEGER, sa_column_kwargs={"autoincrement": False})
    fence: str | None = Field(default=None, sa_type=Text)
    holder: str = Field(default="", sa_type=Text)
    fenced_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    position: int = Field(default=0, sa_type=BIG_INTEGER)


class Central(CentralTable, table=True):
    """A central that is at work, or was: written by itself, while both this database and the locks answer it.

    It is living from `seen_us` until `until_us`. `shards` are those that it serves, as a list in JSON; `metrics` is
    where it can be asked about itself, if anywhere.
    """

    __tablename__ = "centrals"
    __table_args__ = (BY_KEY,)

    holder: str = Field(primary_key=True, sa_type=Text)
    host: str = Field(sa_type=Text)
    pid: int = Field(sa_type=BIG_INTEGER)
    version: str = Field(sa_type=Text)
    since_us: int = Field(sa_type=BIG_INTEGER)
    seen_us: int = Field(sa_type=BIG_INTEGER)
    until_us: int = Field(sa_type=BIG_INTEGER)
    shards: str = Field(sa_type=Text)
    metrics: str | None = Field(default=None, sa_type=Text)


class Store(CentralTable, table=True):
    """A store that was heard of, or admitted before it spoke. `first_hash` is its ledger's identity."""

    __tablename__ = "stores"
    __table_args__ = (
        CheckConstraint(f"status IN ('{PENDING}', '{ADMITTED}')", name="status"),
        CheckConstraint(f"slot BETWEEN 0 AND {SLOTS - 1}", name="slot"),
        STRICT,
    )

    store: str = Field(primary_key=True, sa_type=Text)
    status: str = Field(sa_type=Text)
    slot: int = Field(sa_type=BIG_INTEGER)
    shard: int = Field(sa_type=BIG_INTEGER, foreign_key="shards.shard", index=True)
    first_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    first_heard_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    admitted_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    name: str | None = Field(default=None, sa_type=Text)
    currency: str | None = Field(default=None, sa_type=Text)
    timezone: str | None = Field(default=None, sa_type=Text)


class Rejoin(CentralTable, table=True):
    """What is known of a store that lost history, or of which a copy speaks, until it has rejoined.

    `copies_us` is when two of its daemons were seen to live at once, `readmitted` the boot of the one that an operator
    lets rejoin.
    """

    __tablename__ = "rejoins"
    __table_args__ = (BY_KEY,)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    copies_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    readmitted: str | None = Field(default=None, sa_type=Text)


class Asking(CentralTable, table=True):
    """A run of a store's daemon that asks to rejoin, as its ledger lost history: what it holds of ours, and since when.

    They end with the next rejoin.
    """

    __tablename__ = "asking"
    __table_args__ = (BY_KEY,)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    boot: str = Field(primary_key=True, sa_type=Text)
    held_seq: int = Field(sa_type=BIG_INTEGER)
    since_us: int = Field(sa_type=BIG_INTEGER)
    heard_us: int = Field(sa_type=BIG_INTEGER)


class Cursor(CentralTable, table=True):
    """How far central is with a store, what the store last said of itself, and how fresh that makes the numbers.

    `fresh_us` is the moment up to which the numbers are proved complete. `head_*`, `boot` and `heard_us` come from
    the newest frame. `lacks_seq` is the applied event that the store's ledger does not have (0 or null: none is known),
    `other_ledger_us` when another ledger was last refused under the store's id.
    """

    __tablename__ = "cursors"
    __table_args__ = (CheckConstraint("applied_seq >= 0", name="applied_seq"), STRICT)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    epoch: int = Field(sa_type=BIG_INTEGER)
    applied_seq: int = Field(sa_type=BIG_INTEGER)
    applied_hash: bytes = Field(sa_type=LargeBinary)
    applied_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    head_seq: int = Field(default=0, sa_type=BIG_INTEGER)
    head_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    boot: str = Field(default="", sa_type=Text)
    heard_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    fresh_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    lacks_seq: int | None = Field(default=None, sa_type=BIG_INTEGER)
    other_ledger_us: int | None = Field(default=None, sa_type=BIG_INTEGER)


class ArchivedEvent(CentralTable, table=True):
    """An event as it came, byte for byte, and where it stands in its shard's stream.

    `event_id`, `type` and `time_us` (the event's own time, by the store's clock) are null where they cannot be read.
    """

    __tablename__ = "archive"
    __table_args__ = (Index(None, "shard", "position", unique=True), STRICT)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    seq: int = Field(primary_key=True, sa_type=BIG_INTEGER)
    event_id: str | None = Field(default=None, sa_type=Text)
    type: str | None = Field(default=None, sa_type=Text)
    time_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    hash: bytes = Field(sa_type=LargeBinary)
    shard: int = Field(sa_type=BIG_INTEGER)
    position: int = Field(sa_type=BIG_INTEGER)
    applied_us: int = Field(sa_type=BIG_INTEGER)
    body: bytes = Field(sa_type=LargeBinary)


class Product(CentralTable, table=True):
    """What a store sells. `price` is in minor units of the store's currency."""

    __tablename__ = "products"
    __table_args__ = (BY_KEY,)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    sku: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    price: int | None = Field(default=None, sa_type=BIG_INTEGER)
    seq: int = Field(sa_type=BIG_INTEGER)


class Level(CentralTable, table=True):
    """What one store has of one SKU, as event `seq` left it."""

    __tablename__ = "levels"
    __table_args__ = (Index(None, "sku"), BY_KEY)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    sku: str = Field(primary_key=True, sa_type=Text)
    on_hand: int = Field(sa_type=BIG_INTEGER)
    reserved: int = Field(sa_type=BIG_INTEGER)
    version: int = Field(sa_type=BIG_INTEGER)
    seq: int = Field(sa_type=BIG_INTEGER)


class Reservation(CentralTable, table=True):
    """A reservation as event `seq` left it. Its instants are the store's."""

    __tablename__ = "reservations"
    __table_args__ = (
        Index(
            "ix_reservations_open",
            "store",
            "expires_us",
            sqlite_where=OPEN_RESERVATION,
            postgresql_where=OPEN_RESERVATION,
        ),
        BY_KEY,
    )

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    reservation: str = Field(primary_key=True, sa_type=Text)
    status: str = Field(sa_type=Text)
    order_id: str = Field(sa_type=Text)
    clerk: str = Field(sa_type=Text)
    created_us: int = Field(sa_type=BIG_INTEGER)
    expires_us: int = Field(sa_type=BIG_INTEGER)
    ended_us: int | None = Field(default=None, sa_type=BIG_INTEGER)
    seq: int = Field(sa_type=BIG_INTEGER)


class ReservationLine(CentralTable, table=True):
    """One SKU of a reservation, at its place `line` among the others."""

    __tablename__ = "reservation_lines"
    __table_args__ = (
        ForeignKeyConstraint(["store", "reservation"], ["reservations.store", "reservations.reservation"]),
        BY_KEY,
    )

    store: str = Field(primary_key=True, sa_type=Text)
    reservation: str = Field(primary_key=True, sa_type=Text)
    line: int = Field(primary_key=True, sa_type=BIG_INTEGER)
    sku: str = Field(sa_type=Text)
    quantity: int = Field(sa_type=BIG_INTEGER)
    confirmed: int = Field(sa_type=BIG_INTEGER)
    released: int = Field(sa_type=BIG_INTEGER)


class Suspect(CentralTable, table=True):
    """A SKU whose level is in doubt since event `seq`, until somebody counts it."""

    __tablename__ = "suspects"
    __table_args__ = (BY_KEY,)

    store: str = Field(primary_key=True, sa_type=Text, foreign_key="stores.store")
    sku: str = Field(primary_key=True, sa_type=Text)
    reason: str = Field(sa_type=Text)
    seq: int = Field(sa_type=BIG_INTEGER)
    since_us: int = Field(sa_type=BIG_INTEGER)


meta = Meta.__table__
shards = Shard.__table__
centrals = Central.__table__
stores = Store.__table__
rejoins = Rejoin.__table__
asking = Asking.__table__
cursors = Cursor.__table__
archive = ArchivedEvent.__table__
products = Product.__table__
levels = Level.__table__
reservations = Reservation.__table__
reservation_lines = ReservationLine.__table__
suspects = Suspect.__table__
