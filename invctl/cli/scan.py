"""`invctl scan`: a counter with a scanner, in one process, so that each scan answers at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from invctl.cli import sheet as sheets
from invctl.cli.basket import Basket, parse_scan
from invctl.cli.command import open_ledger
from invctl.cli.holding import sentence, store_time
from invctl.cli.money import format_price
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk  # noqa: TC001 - Typer reads it
from invctl.cli.scanner import words
from invctl.cli.undo import as_record
from invctl.cli.undo import sentence as undone
from invctl.cli.words import named
from invctl.console.command import output
from invctl.errors import InvalidValueError, InventoryError, NotFoundError
from invctl.language import _, _n, marked, number
from invctl.ledger import barcodes, reads, reservations, undoing
from invctl.model.barcodes import is_gtin, parse_barcode
from invctl.model.identifiers import parse_sku
from invctl.model.reservation import after_event

if TYPE_CHECKING:
    from invctl.console.output import Output
    from invctl.console.style import Part
    from invctl.ledger.ledger import Ledger
    from invctl.ledger.reads import StockRow
    from invctl.ledger.writing import Receipt

COMMANDS = {
    "SELL": marked("sell what is in the basket"),
    "RESERVE": marked("hold it for a customer"),
    "CANCEL": marked("empty the basket"),
    "UNDO": marked("take the last scan back; with an empty basket, the last action"),
    "BASKET": marked("show what is in it"),
    "HELP": marked("show this"),
    "QUIT": marked("go"),
}
MARK = "!"
"""Before a command on its barcode: no item's code begins so."""
ASSIGN = "="
"""Before the item that an unknown code is for: typed, so that whatever is scanned next does not become it."""
TAKE_OUT = "-"
"""Before an item that is to leave the basket: no SKU begins so."""
BEFORE_ITEMS = {
    "3*": marked("before an item: three of it"),
    TAKE_OUT: marked("before an item: take all of it out of the basket"),
    ASSIGN: marked("before an item: the code that nobody knew stands for it"),
}


def scan(
    ctx: Context,
    order: Annotated[str | None, Option("--order", metavar="TEXT", help="The customer's reference.")] = None,
    clerk: Clerk = None,
    sheet: Annotated[
        str | None,
        Option("--sheet", metavar="FILE", help="Write a page of command barcodes to print, as HTML, and end."),
    ] = None,
) -> None:
    """Serve the counter with a scanner: scan items, then sell, reserve or cancel.

    A scanner is a keyboard that ends each code with Enter or Tab. `3*` before an item means three of it, `-` takes it
    out of the basket. A word that is a command is one: sell, reserve, cancel, undo, basket, help, quit, typed or
    scanned from the sheet. A code that nobody knows can be given to an item at once: `=MOUSE-001`.

    For example:

        invctl scan
        invctl scan --sheet commands.html
    """
    out = output(ctx)
    if sheet is not None:
        written = sheets.write(sheet, {MARK + name: _(text) for name, text in COMMANDS.items()})
        out.result(
            {"sheet": str(written)}, message=_("print {written}, and scan from it", written=written), ident=str(written)
        )
        return
    with open_ledger(ctx) as ledger:
        counter = Counter(ledger, out, order=order or "", clerk=clerk)
        counter.help(short=True)
        try:
            for word in words("scan> "):
                if not counter.take(word):
                    break
        finally:
            # Also after Ctrl-C.
            counter.leave()


class Counter:
    """One clerk at one counter: a basket, and what the next word means."""

    def __init__(self, ledger: Ledger, out: Output, *, order: str, clerk: str | None) -> None:
        """Begin with an empty basket."""
        self._ledger = ledger
        self._out = out
        self._order = order
        self._clerk = clerk
        self._basket = Basket()
        self._times = 1
        self._unknown = ""

    def take(self, word: str) -> bool:
        """Do what a word says. Returns False to go. What cannot be done is told, with a bell; nothing is lost."""
        try:
            return self._do(word)
        except InventoryError as error:
            from invctl.cli.refusals import for_people  # noqa: PLC0415 - costs, and is rare

            if not self._unknown:
                self._times = 1
            self._complain(for_people(error, self._ledger))
            return True

    def leave(self) -> None:
        """Say what is left in the basket: nothing of it is held."""
        if self._basket:
            self._out.talk(
                _n(
                    "left {n:,} unit in the basket, neither sold nor held",
                    "left {n:,} units in the basket, neither sold nor held",
                    self._basket.units,
                )
            )

    def help(self, *, short: bool = False) -> None:
        """Say what can be said."""
        if short:
            self._out.talk(_("scan items, then: {names}", names=", ".join(name.lower() for name in COMMANDS)))
            return
        for name, text in COMMANDS.items():
            self._out.talk(f"  {name.lower():9}{_(text)}")
        for mark, text in BEFORE_ITEMS.items():
            self._out.talk(f"  {mark:9}{_(text)}")

    def _do(self, word: str) -> bool:
        unknown, self._unknown = self._unknown, ""
        if word.startswith(ASSIGN):
            self._assign(unknown, word.removeprefix(ASSIGN))
            return True
        if not word:
            return True
        command = word.upper().removeprefix(MARK)
        if command in COMMANDS and (word.startswith(MARK) or not self._is_item(command)):
            return self._command(command)
        if word.startswith(TAKE_OUT) and not self._is_known(word):
            self._take_out(word.removeprefix(TAKE_OUT))
            return True
        if found := parse_scan(word):
            self._times = found.quantity
            word = found.code
            if not word:
                self._out.talk(_("{n:,} of the next item", n=self._times))
                return True
        self._item(word)
        return True

    def _command(self, command: str) -> bool:
        if command == "QUIT":
            return False
        if command == "HELP":
            self.help()
        elif command == "BASKET":
            self._show()
        elif command == "UNDO":
            self._undo()
        elif not self._basket:
            raise InvalidValueError(_("the basket is empty"), hint=_("scan an item first"))
        elif command == "CANCEL":
            self._basket.clear()
            self._out.talk(_("the basket is empty again"))
        else:
            self._close(command)
        return True

    def _item(self, code: str) -> None:
        try:
            row = self._row(code)
        except NotFoundError as error:
            if is_gtin(code):
                # Misread or mistyped is not unknown: it says which digit should be the last.
                parse_barcode(code)
            self._unknown = code
            self._bell()
            hint = _(": {mark}SKU gives it to an item, such as {mark}MOUSE-001", mark=ASSIGN)
            self._out.talk([(_("nobody knows {code}", code=code), "bold yellow"), hint])
            near = _nearest(error, self._ledger)
            if "nearest" in near.details:
                self._out.talk(f"  {near.hint}")
            return
        self._put(row)

    def _take_out(self, code: str) -> None:
        self._times = 1
        row = self._row(code)
        quantity = self._basket.take_out(row.sku)
        if not quantity:
            raise InvalidValueError(_("there is no {sku} in the basket", sku=row.sku))
        self._out.talk(_("{quantity:,} {sku} taken out of the basket", quantity=quantity, sku=row.sku))

    def _put(self, row: StockRow) -> None:
        times, self._times = self._times, 1
        total = self._basket.add(row, times)
        left = row.available - total
        stock = (
            (_n("{n:,} left", "{n:,} left", left), "dim")
            if left >= 0
            else (_n("only {n:,} available", "only {n:,} available", row.available), "bold red")
        )
        self._out.talk([*self._line(row, total), "  ", stock])
        if left < 0:
            self._bell()

    def _assign(self, code: str, word: str) -> None:
        if not code:
            raise InvalidValueError(_("there is no code to give to an item"), hint=_("scan it first"))
        # A SKU that is mistyped is typed again, without the code being scanned again.
        self._unknown = code
        row = self._row(word)
        self._unknown = ""
        barcodes.assign(self._ledger, row.sku, code, origin(self._clerk, None))
        self._out.talk([(code, "bold cyan"), _(" stands for {sku} from now on", sku=row.sku)])
        self._put(row)

    def _close(self, command: str) -> None:
        asked = origin(self._clerk, None)
        act = reservations.sell if command == "SELL" else reservations.reserve
        receipt = act(self._ledger, self._basket.lines, order=self._order, origin=asked)
        self._tell(receipt)
        self._basket.clear()

    def _tell(self, receipt: Receipt) -> None:
        done = after_event(receipt.seq, receipt.event)
        record = {**done.as_dict(), "total": self._basket.total, "currency": self._ledger.store.currency}
        message = [*sentence(done, store_time(self._ledger)), self._comes_to()]
        self._out.result(record, message=message, ident=done.reservation)

    def _undo(self) -> None:
        if taken := self._basket.take_back():
            sku, quantity = taken
            self._out.talk(_("{quantity:,} {sku} taken out of the basket", quantity=quantity, sku=sku))
            return
        done = undoing.undo(self._ledger, clerk=self._clerk, origin=origin(self._clerk, None))
        self._out.result(as_record(done), message=undone(done), ident=str(done.receipt.seq))

    def _show(self) -> None:
        for row, quantity in self._basket.rows():
            self._out.talk(["  ", *self._line(row, quantity)])
        self._out.talk(
            _n("{n:,} unit in the basket", "{n:,} units in the basket", self._basket.units) + self._comes_to()
        )

    def _line(self, row: StockRow, quantity: int) -> list[Part]:
        price = "" if row.price is None else f"  {format_price(row.price * quantity, self._ledger.store.currency)}"
        return [f"{number(quantity)} x ", (row.sku, "bold cyan"), f"  {row.name}{price}"]

    def _comes_to(self) -> str:
        """Return what it comes to, or which items keep that from being known; nothing where none has a price."""
        currency = self._ledger.store.currency
        if self._basket and (total := self._basket.total) is not None:
            return f", {format_price(total, currency)} {currency}"
        rows = [row for row, _quantity in self._basket.rows()]
        unpriced = [row.sku for row in rows if row.price is None]
        return _(", no total: {skus} without a price", skus=named(unpriced)) if len(unpriced) < len(rows) else ""

    def _row(self, code: str) -> StockRow:
        return reads.stock(self._ledger, barcodes.meant(self._ledger, _as_code(code)))[0][0]

    def _is_known(self, code: str) -> bool:
        return self._is_item(barcodes.meant(self._ledger, _as_code(code)))

    def _is_item(self, word: str) -> bool:
        return bool(self._ledger.row("SELECT 1 FROM products WHERE sku = ?", (word,)))

    def _complain(self, error: InventoryError) -> None:
        if isinstance(error, NotFoundError):
            error = _nearest(error, self._ledger)
        self._bell()
        # Behind a list a hint would look as if it were of its last line.
        hint = f"\n  {error.hint}" if "\n" in error.message else f" ({error.hint})"
        self._out.talk([(error.message, "bold red"), hint if error.hint else ""])

    def _bell(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\a")
            sys.stderr.flush()


def _as_code(text: str) -> str:
    """Return a code as a SKU is written, or as it is where it cannot be one."""
    try:
        return parse_sku(text)
    except InvalidValueError:
        return text


def _nearest(error: NotFoundError, ledger: Ledger) -> NotFoundError:
    from invctl.cli.nearest import with_nearest  # noqa: PLC0415 - costs, and is rare

    return with_nearest(error, ledger) if "sku" in error.details else error
