"""`invcentral stores`: which there are, and who may join."""

from typing import Annotated, Any

from typer import Argument, Context, Option

from central.cli import words
from central.cli.columns import all_columns, telling
from central.cli.command import open_engine, read
from central.cli.parameters import STORE, Store
from central.cli.times import LocalTime
from central.database import now_us, writing
from central.lost_history import asking, copies_us
from central.lost_history import readmit as readmit_store
from central.reads import list_stores
from central.stores import Admission
from central.stores import admit as admit_store
from central.stores import remove as remove_store
from central.tables import ADMITTED
from central.views import StoreRow
from invctl.clock import format_time
from invctl.console.command import output
from invctl.console.output import Column
from invctl.errors import NotFoundError

HASH_SHOWN = 16

_PEOPLES = [
    Column("store", style="bold cyan"),
    Column("status"),
    Column("name", folds=True, drop=2),
    Column("currency", drop=1),
    Column("ledger"),
    Column("head_seq", "Head"),
    Column("as_of_seq", "Applied"),
    Column("first_heard", drop=3),
]


def list_(ctx: Context) -> None:
    """List the stores, and those that wait to be admitted, with the ledger that they speak for.

    For example:

        invcentral stores list
    """
    with read(ctx) as connection:
        rows = list_stores(connection)
        now = now_us(connection)
    out = output(ctx)
    if out.fmt != "table":
        out.rows(all_columns(StoreRow), [row.as_dict() for row in rows])
        return
    when = LocalTime(now)
    records = [_for_people(row, when) for row in rows]
    out.rows(_columns(records, when), records, empty="no store has spoken yet")
    for row in rows:
        for trouble in words.troubles(row, now):
            out.talk([("attention:", "bold yellow"), f" {trouble}"])
    waiting = [row for row in rows if row.status != ADMITTED]
    if waiting:
        out.talk(
            [
                ("hint:", "bold"),
                f" {waiting[0].store} waits to be admitted: `invcentral stores admit {waiting[0].store}`",
            ]
        )


def show(ctx: Context, store: Store) -> None:
    """Show one store, and, where its ledger lost history, which of its daemons ask to rejoin.

    For example:

        invcentral stores show downtown
    """
    with read(ctx) as connection:
        row = next((row for row in list_stores(connection) if row.store == store), None)
        if row is None:
            raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
        askers, copies = asking(connection, store), copies_us(connection, store)
        now = now_us(connection)
    out = output(ctx)
    when = LocalTime(now)
    if out.fmt != "table":
        record = row.as_dict() | {
            "copies_at": None if copies is None else format_time(copies),
            "asking": [
                {
                    "boot": asker.boot,
                    "held_seq": asker.held_seq,
                    "since": format_time(asker.since_us),
                    "heard": format_time(asker.heard_us),
                }
                for asker in askers
            ],
        }
        out.result(record, message=store, ident=store)
        return
    out.rows(_columns([_for_people(row, when)], when), [_for_people(row, when)])
    for trouble in words.troubles(row, now):
        out.talk([("attention:", "bold yellow"), f" {trouble}"])
    if copies is not None:
        seen = when.second(copies)
        said = f" two machines spoke for it at once, first seen {seen}: which of them rejoins is yours to say"
        out.talk([("attention:", "bold yellow"), said])
    for asker in askers:
        heard = words.duration(max(now - asker.heard_us, 0) / 1_000_000)
        out.talk(f"daemon {asker.boot} asks to rejoin, has events up to {asker.held_seq}, heard {heard} ago")
    if askers and copies is not None:
        hint = f" stop the machine that is not the store's, then `invcentral stores readmit {store}`"
        out.talk([("hint:", "bold"), hint + (" --boot BOOT" if len(askers) > 1 else "")])


def readmit(
    ctx: Context,
    store: Store,
    boot: Annotated[str, Option("--boot", help="Which daemon, where several ask: the beginning of its boot.")] = "",
) -> None:
    """Let a daemon rejoin whose ledger lost history, though another machine spoke for the store.

    Without copies nobody has to say this: a ledger that was restored rejoins by itself within seconds. What the other
    machine has decided since does not fit any more, so stop that one first.

    For example:

        invcentral stores readmit downtown
    """
    with open_engine(ctx) as engine, writing(engine) as connection:
        asker = readmit_store(connection, store, boot)
        connection.commit()
    record = {"store": store, "boot": asker.boot, "held_seq": asker.held_seq}
    said = f" may rejoin: daemon {asker.boot}, which has events up to {asker.held_seq}"
    output(ctx).result(record, message=[(store, "bold cyan"), said], ident=asker.boot)


def admit(
    ctx: Context,
    stores: Annotated[list[str], Argument(click_type=STORE, metavar="STORE", help="Their ids, such as downtown.")],
    unheard: Annotated[bool, Option("--unheard", help="Also one that has not spoken yet.")] = False,
) -> None:
    """Admit stores: from now on their events are applied. Each id is bound to the ledger that speaks for it.

    A running central serves them within seconds.

    For example:

        invcentral stores admit downtown midtown
    """
    with open_engine(ctx) as engine, writing(engine) as connection:
        admissions = [admit_store(connection, store, unheard=unheard) for store in stores]
        connection.commit()
    emit = output(ctx).stream([Column(name) for name in (*Admission._fields, "status")], ident="store")
    for admission in admissions:
        record = {**admission._asdict(), "status": ADMITTED, "first_hash": _hex(admission)}
        verb = "was admitted before" if admission.already else "is admitted"
        emit(record, [(admission.store, "bold cyan"), f" {verb}: {_bound(admission)}"])


def remove(ctx: Context, store: Store) -> None:
    """Take a store off the list: one that was admitted, or listed, by mistake. Not one whose events are applied.

    For example:

        invcentral stores remove downtwon
    """
    with open_engine(ctx) as engine, writing(engine) as connection:
        remove_store(connection, store)
        connection.commit()
    output(ctx).result({"store": store, "removed": True}, message=[(store, "bold cyan"), " is removed"], ident=store)


def _columns(records: list[dict[str, Any]], when: LocalTime) -> list[Column]:
    return [
        column._replace(title=f"First heard {when.zone}") if column.key == "first_heard" else column
        for column in telling(_PEOPLES, records, ("name", "currency"))
    ]


def _for_people(row: StoreRow, when: LocalTime) -> dict[str, Any]:
    return {
        **row.as_dict(),
        "status": row.status if row.status == ADMITTED else "waits",
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
