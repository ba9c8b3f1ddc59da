"""Arguments and options that several commands take, and how their values are read.

Nothing is guessed: what is not exactly of the form asked for is refused before the ledger is touched.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from typer import Argument, Option

from invctl.console.options import Parsed
from invctl.console.units import parse_duration
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.model.identifiers import check_request_id, parse_sku
from invctl.model.stock import check_quantity


class Item(NamedTuple):
    """Units of one SKU, as typed: `MOUSE-001=2`."""

    sku: str
    quantity: int


def parse_whole(text: str) -> int:
    """Read a whole number, with a sign or without. Raises InvalidValueError."""
    # int() takes more than a clerk means: "1_0", " 1 " and the digits of other scripts.
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", text):
        raise InvalidValueError(
            _("{text!r} is not a whole number", text=text), hint=_("write it in digits, such as 12")
        )
    return int(text)


def parse_quantity(text: str) -> int:
    """Read a quantity, 1 or more. Raises InvalidValueError."""
    return check_quantity(parse_whole(text))


def parse_item(text: str) -> Item:
    """Read `MOUSE-001` or `MOUSE-001=2`. Raises InvalidValueError."""
    sku, equals, quantity = text.partition("=")
    try:
        return Item(parse_sku(sku), parse_quantity(quantity) if equals else 1)
    except InvalidValueError as error:
        where = _(" (in {text!r})", text=text) if equals else ""
        raise InvalidValueError(error.message + where, hint=error.hint) from None


def parse_sku_alone(text: str) -> str:
    """Read the SKU of a command that takes the number as a word of its own. Raises InvalidValueError."""
    sku, equals, number = text.partition("=")
    if equals:
        hint = _("the number is a word of its own here: {sku} {number}", sku=sku or "SKU", number=number or "N")
        raise InvalidValueError(_("{text!r} is not a SKU", text=text), hint=hint)
    return parse_sku(text)


def parse_hold(text: str) -> int:
    """Read how long to hold stock, such as `30m`. Returns seconds. Raises InvalidValueError, in the words typed."""
    hold_s = parse_duration(text)
    from invctl.ledger.reservations import check_hold  # noqa: PLC0415 - only those who hold stock load it

    return check_hold(hold_s, text)


def parse_part(text: str) -> Item:
    """Read `MOUSE-001=2`: where part of a reservation is meant, how much has to be said. Raises InvalidValueError."""
    if "=" not in text:
        raise InvalidValueError(
            _("{text!r} does not say how many", text=text),
            hint=_("write {text}=1; lines that are not named are released", text=text),
        )
    return parse_item(text)


SKU = Parsed("SKU", parse_sku)
SKU_ALONE = Parsed("SKU", parse_sku_alone)
QUANTITY = Parsed("QUANTITY", parse_quantity)
WHOLE = Parsed("CHANGE", parse_whole)
HOLD = Parsed("DURATION", parse_hold)

Sku = Annotated[str, Argument(click_type=SKU, help="The item, such as MOUSE-001.")]
SkuAlone = Annotated[str, Argument(click_type=SKU_ALONE, metavar="SKU", help="The item, such as MOUSE-001.")]
AnySku = Annotated[str | None, Argument(click_type=SKU, metavar="SKU", help="One item alone.")]
Reservation = Annotated[str, Argument(help="Its id, such as R-7K4QMQ, or the first three characters or more.")]
Clerk = Annotated[str | None, Option("--clerk", envvar="INVCTL_CLERK", metavar="NAME", help="Who does it.")]
RequestId = Annotated[
    str | None,
    Option(
        "--request-id",
        click_type=Parsed("ID", check_request_id),
        help="Names this request: the same one again gives the first outcome again, and does nothing.",
    ),
]
Document = Annotated[
    str | None,
    Option("--document", metavar="TEXT", help="The number of its paper, such as a delivery note's or a receipt's."),
]
Note = Annotated[str | None, Option("--note", metavar="TEXT", help="Free text.")]
Hold = Annotated[int, Option("--for", click_type=HOLD, show_default=False, help="How long, from now: 30m by default.")]
