"""`invctl reserve`."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated

from typer import Argument, Context, Option

from invctl.cli.command import meant_lines, open_ledger
from invctl.cli.holding import tell
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, Hold, Item, RequestId, parse_item
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.errors import NotFoundError
from invctl.language import _
from invctl.ledger import reservations
from invctl.model.stock import sum_lines

ITEM = Parsed("SKU[=N]", parse_item)


def reserve(
    ctx: Context,
    items: Annotated[list[Item], Argument(click_type=ITEM, metavar="SKU[=N]", help="An item, and how many of it.")],
    order: Annotated[str | None, Option("--order", metavar="TEXT", help="The customer's reference.")] = None,
    hold_s: Hold = reservations.HOLD_S,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Hold stock for a customer, all lines or none.

    One unit is meant where no number is given; the same item twice is summed. What is held is not available to
    others until the reservation is confirmed, cancelled, or its time is over.

    For example:

        invctl reserve MOUSE-001=2 LAPTOP-001 --order A-17 --for 30m
    """
    lines = sum_lines([*items])
    with open_ledger(ctx) as ledger:
        asked = origin(clerk, request_id)
        with as_typed(items):
            wanted = meant_lines(ledger, lines)
            receipt = reservations.reserve(ledger, wanted, order=order or "", hold_s=hold_s, origin=asked)
        tell(output(ctx), ledger, receipt)


@contextmanager
def as_typed(items: list[Item]) -> Iterator[None]:
    """Tell whoever typed these items, and one that there is not, the form that was meant perhaps."""
    try:
        yield
    except NotFoundError as error:
        raise _as_meant(error, items) from error


def _as_meant(error: NotFoundError, items: list[Item]) -> NotFoundError:
    """Return the same error, with the right form where `MOUSE-001 3` was typed for `MOUSE-001=3`."""
    sku = error.details["sku"]
    for before, item in pairwise(items):
        if item == (sku, 1) and sku.isdigit():
            hint = _("for {sku} of {first} write {first}={sku}", sku=sku, first=before.sku)
            return NotFoundError(error.message, hint=hint, **error.details)
    return error
