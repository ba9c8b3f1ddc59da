"""Counting the shelves while trade goes on.

Each line keeps the seq of the ledger's last event at the moment when it was counted. What is posted in the end is the
difference to the level as of that event, so whatever is sold or received in between is right. Nothing is posted before
`finish`, and until then the lines are this ledger's own business: they are no events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import WrongStateError
from invctl.language import _, _n, marked
from invctl.ledger import adjustments
from invctl.ledger.checks import check_origin, check_text
from invctl.ledger.database import first, rows
from invctl.ledger.shortage import Shortage, not_enough
from invctl.ledger.writing import NOBODY, Move, Origin, Receipt, Write
from invctl.model import events
from invctl.model.stock import check_quantity

if TYPE_CHECKING:
    import apsw

    from invctl.ledger.ledger import Ledger

STALE_S = 24 * 3600
"""After this long a line says little of what is on the shelf: somebody may have moved things without a word."""

_LINES = """
SELECT sku, name, counted.quantity, counted.seq, counted.at_us, counted.clerk, stock.on_hand, stock.reserved,
    coalesce((SELECT movements.on_hand FROM movements WHERE movements.sku = counted.sku AND movements.seq <= counted.seq
              ORDER BY movements.seq DESC LIMIT 1), 0)
FROM counted JOIN products USING (sku) JOIN stock USING (sku) ORDER BY sku
"""


class Count(NamedTuple):
    """The count that is under way: since when, by whom, and what for."""

    started_us: int
    clerk: str
    note: str
    epoch: int


class Line(NamedTuple):
    """What was counted of one SKU, after event `seq`, when there should have been `expected`.

    `stale` says why the line is not to be trusted, empty where it is. Of a line that was just added to,
    `found_before` is what it was before, and `moved` the change of the stock between.
    """

    sku: str
    name: str
    counted: int
    expected: int
    on_hand: int
    reserved: int
    seq: int
    at_us: int
    clerk: str
    stale: str
    found_before: int | None = None
    moved: int = 0

    @property
    def variance(self) -> int:
        """Units more than there should have been, below zero where some are missing."""
        return self.counted - self.expected


def start(ledger: Ledger, *, note: str = "", origin: Origin = NOBODY) -> Count:
    """Begin a count. Raises WrongStateError where one is under way."""
    check_text(note, marked("note"), adjustments.NOTE_CHARS_MAX)
    check_origin(origin)
    with ledger.write() as write:
        if _under_way(write) is not None:
            raise WrongStateError(
                _("a count is under way"),
                hint=_("`invctl count status` shows it; count finish or count cancel ends it"),
            )
        count = Count(write.now_us, origin.clerk, note, _epoch(write.connection))
        write.connection.execute("INSERT INTO counting VALUES (1, ?, ?, ?, ?)", count)
        write.commit()
    return count


def line(ledger: Ledger, sku: str, quantity: int, *, more: bool = False, origin: Origin = NOBODY) -> Line:
    """Note what is on the shelf of one SKU now; with `more`, that so many were found elsewhere, too.

    Raises NotFoundError where the store does not carry the SKU, WrongStateError where no count is under way.
    """
    check_quantity(quantity, least=0)
    check_origin(origin)
    with ledger.write() as write:
        if _under_way(write) is None:
            raise _none()
        write.level(sku)
        before = first(write.connection, "SELECT quantity, seq FROM counted WHERE sku = ?", (sku,)) if more else None
        found_before, moved = None, 0
        if before is not None:
            # Both shelves are of one moment then: what moved between them is taken off what was found first.
            found_before, moved = before[0], _moved(write, sku, before[1])
            quantity = check_quantity(quantity + found_before + moved, least=0)
        write.connection.execute(
            "INSERT OR REPLACE INTO counted VALUES (?, ?, ?, ?, ?)",
            (sku, quantity, write.head.seq, write.now_us, origin.clerk),
        )
        write.commit()
    counted = next(each for each in lines(ledger) if each.sku == sku)
    return counted._replace(found_before=found_before, moved=moved)


def current(ledger: Ledger) -> Count | None:
    """Return the count that is under way, None where there is none."""
    row = ledger.row("SELECT started_us, clerk, note, epoch FROM counting")
    return Count(*row) if row else None


def lines(ledger: Ledger) -> list[Line]:
    """Return what was counted so far, by SKU. Raises WrongStateError where no count is under way."""
    with ledger.read():
        count = current(ledger)
        if count is None:
            raise _none()
        return _lines(ledger.connection, count, ledger.now_us())


def finish(ledger: Ledger, *, anyway: bool = False, origin: Origin = NOBODY) -> tuple[list[Line], Receipt]:
    """Post the differences, and end the count. Returns its lines, and the receipt of the last event.

    Every SKU that was counted is in it, also one that was found to be right: somebody saw it. Stale lines are refused
    unless they are to be posted `anyway`; lines from before this ledger took another history are never posted.

    Raises:
        WrongStateError: no count is under way, nothing was counted, or lines are stale.
        NotEnoughStockError: more is missing than is available: it is reserved for somebody.

    """
    check_origin(origin)
    with ledger.write() as write:
        # Looked at within the transaction: nobody counts, or takes another history, between the look and the posting.
        count = _under_way(write)
        if count is None:
            raise _none()
        found = _lines(write.connection, count, write.now_us)
        _refuse_stale(found, anyway=anyway)
        receipt = _post(write, found, count.note, origin)
        _clear(write)
        write.commit()
    return found, receipt


def _refuse_stale(found: list[Line], *, anyway: bool) -> None:
    if not found:
        raise WrongStateError(_("nothing was counted"), hint=_("`invctl count line SKU N`, or count cancel"))
    stale = [each for each in found if each.stale]
    if stale and (not anyway or any(each.stale == _OTHER_HISTORY for each in stale)):
        named = ", ".join(f"{each.sku} ({_(each.stale)})" for each in stale[:5])
        hint = _("count them again") + ("" if anyway else _("; --anyway posts them as they are"))
        raise WrongStateError(
            _n("{n:,} line is stale: {named}", "{n:,} lines are stale: {named}", len(stale), named=named), hint=hint
        )


def _post(write: Write, found: list[Line], note: str, origin: Origin) -> Receipt:
    write.expire_due([each.sku for each in found])
    short = [
        Shortage(each.sku, -each.variance, write.level(each.sku))
        for each in found
        if write.level(each.sku).available + each.variance < 0
    ]
    if short:
        raise not_enough(write, short)
    receipt = Receipt(0, b"")
    by_sku = {each.sku: each for each in found}
    for skus in events.split_by_size(list(by_sku)):
        moves = [
            Move(sku, by_sku[sku].variance, 0, {"counted": by_sku[sku].counted, "counted_seq": by_sku[sku].seq})
            for sku in skus
        ]
        receipt = adjustments.append(write, moves, "cycle_count", note, origin)
    return receipt


def cancel(ledger: Ledger) -> int:
    """End the count without posting anything. Returns how many lines are dropped. Raises WrongStateError."""
    with ledger.write() as write:
        if _under_way(write) is None:
            raise _none()
        (dropped,) = first(write.connection, "SELECT count(*) FROM counted")
        _clear(write)
        write.commit()
    return int(dropped)


_OTHER_HISTORY = marked("the ledger took another history since")


def _lines(connection: apsw.Connection, count: Count, now_us: int) -> list[Line]:
    epoch = _epoch(connection)
    return [_line(row, count, epoch, now_us) for row in rows(connection, _LINES)]


def _epoch(connection: apsw.Connection) -> int:
    # From the file: the daemon may have given it another since this process opened it.
    return int(first(connection, "SELECT epoch FROM ledger")[0])


def _line(row: tuple[object, ...], count: Count, epoch: int, now_us: int) -> Line:
    sku, name, counted, seq, at_us, clerk, on_hand, reserved, expected = row
    assert isinstance(at_us, int)
    stale = ""
    if count.epoch != epoch:
        stale = _OTHER_HISTORY
    elif now_us - at_us > STALE_S * 1_000_000:
        stale = marked("counted more than a day ago")
    return Line(sku, name, counted, expected, on_hand, reserved, seq, at_us, clerk, stale)  # type: ignore[arg-type]


def _moved(write: Write, sku: str, since_seq: int) -> int:
    row = first(
        write.connection,
        "SELECT sum(on_hand_change) FROM movements WHERE sku = ? AND seq > ?",
        (sku, since_seq),
    )
    return int(row[0] or 0)


def _under_way(write: Write) -> Count | None:
    row = first(write.connection, "SELECT started_us, clerk, note, epoch FROM counting")
    return Count(*row) if row else None


def _clear(write: Write) -> None:
    write.connection.execute("DELETE FROM counted")
    write.connection.execute("DELETE FROM counting")


def _none() -> WrongStateError:
    return WrongStateError(_("no count is under way"), hint=_("`invctl count start` begins one"))
