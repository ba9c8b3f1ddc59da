"""`invctl show`."""

from typer import Context

from invctl.cli.command import open_ledger
from invctl.cli.holding import sentence, store_time
from invctl.cli.parameters import Reservation
from invctl.cli.telling import expiry, steps
from invctl.console.command import output
from invctl.ledger import reads


def show(ctx: Context, reservation: Reservation) -> None:
    """Show a reservation and its story.

    For example:

        invctl show R-7K4QMQ
    """
    with open_ledger(ctx) as ledger:
        held = reads.reservation(ledger, reservation)
        story = reads.story(ledger, held.reservation)
        when = store_time(ledger)
    told = steps(story, when)
    if held.status == "expired" and story[-1].event != "reservation.expired":
        told.append(expiry(held, when))
    message = [*sentence(held, when), *("\n" + line for line in told)]
    record = {**held.as_dict(), "history": [row._asdict() for row in story]}
    output(ctx).result(record, message=message, ident=held.reservation)
