"""`invctl verify`."""

from typer import Context, Exit

from invctl.cli.command import open_ledger
from invctl.console.command import output
from invctl.console.exits import VERIFY_FAILED
from invctl.console.style import Part
from invctl.language import _, _n
from invctl.ledger import reads
from invctl.ledger import verify as verifying
from invctl.ledger.verify import Verdict


def verify(ctx: Context) -> None:
    """Replay the ledger from its first event and check that it holds: hash chain, movements, sums, levels.

    Exits 8 where something does not hold, and says what. From then on nothing is written to it.

    For example:

        invctl verify
    """
    out = output(ctx)
    with open_ledger(ctx) as ledger, out.progress(_("replaying"), total=reads.head_seq(ledger)) as bar:
        verdict = verifying.examine(ledger, progress=bar.update)
    record = {**verdict._asdict(), "head_hash": verdict.head_hash.hex(), "sound": not verdict.findings}
    out.result(record, message=_message(verdict), ident=verdict.store)
    if verdict.findings:
        raise Exit(VERIFY_FAILED)


def _message(verdict: Verdict) -> list[Part]:
    store = (verdict.store, "bold cyan")
    if not verdict.findings:
        replayed = ", ".join(
            [
                _n("{n:,} event", "{n:,} events", verdict.events),
                _n("{n:,} SKU", "{n:,} SKUs", verdict.skus),
                _n("{n:,} reservation", "{n:,} reservations", verdict.reservations),
            ]
        )
        told = _(": {replayed} replayed; head {head}", replayed=replayed, head=verdict.head_hash.hex()[:16])
        return [store, " ", (_("holds"), "bold green"), told]
    found = "".join(f"\n  {finding}" for finding in verdict.findings)
    more = _("\n  and there may be more") if len(verdict.findings) == verifying.FINDINGS_MAX else ""
    return [
        *(store, " ", (_("does not hold"), "bold red"), f":{found}{more}"),
        (_("\nwhat it means"), "bold"),
        _("\n  The file was damaged, or changed by other means than these commands. What it shows may be wrong."),
        (_("\nwhat to do"), "bold"),
        _("\n  Nothing is written to it any more. End its daemon: `invctl daemon stop`. Put a backup in its place:"),
        _("\n  `invctl restore FILE` keeps what is there. Count the items that are named here."),
    ]
