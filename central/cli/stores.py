"""`invcentral stores`: which there are, and who may join."""

from typing import Any

from typer import Context

from central.cli.columns import all_columns
from central.cli.command import open_engine, read
from central.cli.parameters import Store
from central.cli.times import LocalTime
from central.database import now_us, writing
from central.reads import list_stores
from central.stores import Admission
from central.stores import admit as admit_store
from central.tables import ADMITTED
from central.views import StoreRow
from invctl.console.command import output
from invctl.console.output import Column

HASH_SHOWN = 16

_PEOPLES = [
    Column("store", style="bold cyan"),
    Column("status"),
    Column("name"),
    Column("currency"),
    Column("ledger"),
    Column("head_seq", "Head"),
    Column("as_of_seq", "Applied"),
    Column("first_heard"),
]


def list_(ctx: Context) -> None:
    """List the stores, and those that wait to be admitted, with the ledger that they speak for.

    For example:

        invcentral stores list
    """
    with read(ctx) as connection:
        rows = list_stores(connection)
        when = LocalTime(now_us(connection))
    out = output(ctx)
    if out.fmt != "table":
        out.rows(all_columns(StoreRow), [row.as_dict() for row in rows])
        return
    out.rows(_PEOPLES, [_for_people(row, when) for row in rows], empty="no store has spoken yet")
    waiting = [row for row in rows if row.status != ADMITTED]
    if waiting:
        out.talk([("hint:", "bold"), f" `invcentral stores admit {waiting[0].store}` admits it, with the ledger shown"])


def admit(ctx: Context, store: Store) -> None:
    """Admit a store: from now on its events are applied. Its id is bound to the ledger that speaks for it.

    A running central serves it within seconds.

    For example:

        invcentral stores admit downtown
    """
    with open_engine(ctx) as engine, writing(engine) as connection:
        admission = admit_store(connection, store)
        connection.commit()
    record = {**admission._asdict(), "status": ADMITTED, "first_hash": _hex(admission)}
    verb = "was admitted before" if admission.already else "is admitted"
    output(ctx).result(record, message=[(store, "bold cyan"), f" {verb}: {_bound(admission)}"], ident=store)


def _for_people(row: StoreRow, when: LocalTime) -> dict[str, Any]:
    return {
        **row.as_dict(),
        "status": row.status if row.status == ADMITTED else "waits to be admitted",
        "ledger": row.first_hash and row.first_hash[:HASH_SHOWN],
        "first_heard": row.first_heard_us and when.second(row.first_heard_us),
    }


def _bound(admission: Admission) -> str:
    first_hash = _hex(admission)
    if first_hash:
        return f"its ledger is {first_hash[:HASH_SHOWN]}"
    return "its ledger will be the first that speaks under this id" + ("" if admission.heard else "; none has yet")


def _hex(admission: Admission) -> str | None:
    return admission.first_hash.hex() if admission.first_hash else None
