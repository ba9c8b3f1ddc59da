"""`invctl confirm`, `invctl cancel` and `invctl extend`: what may become of an open reservation."""

from typing import Annotated

from typer import Argument, Context

from invctl.cli.command import meant_lines, open_ledger
from invctl.cli.holding import tell
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, Hold, Item, RequestId, Reservation, parse_part
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.ledger import reservations
from invctl.model.stock import sum_lines

PART = Parsed("SKU=N", parse_part)


def confirm(
    ctx: Context,
    reservation: Reservation,
    parts: Annotated[
        list[Item] | None,
        Argument(click_type=PART, metavar="SKU=N", help="What is sold of it; by default all. The rest is released."),
    ] = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Post the sale of a reservation, whole or in part.

    What is sold leaves the stock. Of a part, the rest is released in the same moment: a reservation ends once.

    For example:

        invctl confirm R-7K4QMQ
        invctl confirm R-7K4QMQ MOUSE-001=1
    """
    typed = sum_lines([*parts]) if parts else None
    with open_ledger(ctx) as ledger:
        quantities = None if typed is None else meant_lines(ledger, typed)
        receipt = reservations.confirm(ledger, reservation, quantities, origin=origin(clerk, request_id))
        tell(output(ctx), ledger, receipt)


def cancel(ctx: Context, reservation: Reservation, clerk: Clerk = None, request_id: RequestId = None) -> None:
    """Release a reservation: what it held is available again.

    For example:

        invctl cancel R-7K4QMQ
    """
    with open_ledger(ctx) as ledger:
        receipt = reservations.cancel(ledger, reservation, origin=origin(clerk, request_id))
        tell(output(ctx), ledger, receipt)


def extend(
    ctx: Context,
    reservation: Reservation,
    hold_s: Hold = reservations.HOLD_S,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Hold an open reservation for longer, counted from now.

    For example:

        invctl extend R-7K4QMQ --for 2h
    """
    with open_ledger(ctx) as ledger:
        receipt = reservations.extend(ledger, reservation, hold_s, origin=origin(clerk, request_id))
        tell(output(ctx), ledger, receipt)
