"""Trade a day of a real grocery chain through ledgers, daemons, broker and head office, and prove it."""

from __future__ import annotations

import os
import secrets
import time
from datetime import date
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from invctl.clock import SystemClock
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.errors import InvalidValueError
from invctl.ledger import reservations, seeding
from invctl.ledger.ledger import Ledger
from scripts.chain.broker import start_broker
from scripts.chain.command import run_script
from scripts.chain.folder import ChainFolder
from scripts.chain.groceries import product_names, trading_day
from scripts.chain.runner import ChainRunner
from scripts.chain.verdict import ask_for_proof, holds, print_proof
from scripts.chain.workspace import Workspace, clear_leftovers

if TYPE_CHECKING:
    from invctl.console.output import Output
    from scripts.chain.groceries import TradingDay

DRAIN_TIMEOUT_S = 120.0
SHOW_EVERY = 20


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidValueError(f"{text!r} is not a day", hint="write it as 2017-12-23") from None


def replay(
    ctx: Context,
    day: Annotated[
        date, Option("--day", click_type=Parsed("DAY", _parse_day), help="A day from 2017-01-01 to 2018-01-01.")
    ] = date(2017, 12, 23),
    keep: Annotated[bool, Option("--keep", help="Keep the run's folder, with its databases and logs.")] = False,
) -> None:
    """Open the stores that sold on DAY with enough stock, trade the day as fast as it goes, and print the proof.

    Example: scripts/replay --day 2017-12-23 -o json
    """
    out = output(ctx)
    for left in clear_leftovers():
        out.talk(f"cleared what a killed run left in {left.path}")
    trade = trading_day(day)
    with Workspace.create("replay", keep=keep) as workspace:
        broker = start_broker(workspace.processes, workspace.path, os.environ, out.talk)
        out.talk(f"broker: {broker.description}")
        chain = ChainFolder(workspace.path)
        began_s = time.monotonic()
        ledgers = _open_stores(chain, trade, out)
        runner = ChainRunner(chain, workspace.processes, broker, f"replay-{secrets.token_hex(4)}")
        runner.start_central()
        runner.start_courier("all", chain.homes())
        runner.wait_for_links()
        since_us = SystemClock().now_us()
        _trade(ledgers, trade, out)
        for ledger in ledgers.values():
            ledger.close()
        _drain(runner, out)
        ran_s = time.monotonic() - began_s
        proof = ask_for_proof(chain, runner.environ, since_us=since_us, broker=broker.description, seconds=ran_s)
        out.talk(
            f"{day}: {len(trade.baskets) + trade.baskets_skipped} baskets of {len(ledgers)} stores; left out:"
            f" {trade.lines_skipped} lines of quantity 0, and with them {trade.baskets_skipped} of the baskets"
        )
        print_proof(out, proof)
        if keep:
            out.talk(f"kept in {workspace.path}")
    raise Exit(0 if holds(proof) else 1)


def _open_stores(chain: ChainFolder, trade: TradingDay, out: Output) -> dict[str, Ledger]:
    ledgers = {}
    demand = trade.demand()
    names = product_names({sku for wanted in demand.values() for sku in wanted})
    with out.progress("opening stores", total=len(demand)) as bar:
        for store, wanted in sorted(demand.items()):
            ledger = Ledger.create(chain.home(store), store, name=f"Grocery {store}")
            products = [
                seeding.SeedProduct(sku, names.get(sku, f"Product {sku}"), None, units) for sku, units in wanted.items()
            ]
            seeding.seed(ledger, products)
            ledgers[store] = ledger
            bar.update(len(ledgers))
    return ledgers


def _trade(ledgers: dict[str, Ledger], trade: TradingDay, out: Output) -> None:
    with out.progress("trading", total=len(trade.baskets)) as bar:
        for number, basket in enumerate(trade.baskets, 1):
            ledger = ledgers[basket.store]
            opened = reservations.reserve(ledger, basket.lines, order=basket.basket)
            reservations.confirm(ledger, opened.event.subject)
            if number % SHOW_EVERY == 0 or number == len(trade.baskets):
                bar.update(number)


def _drain(runner: ChainRunner, out: Output) -> None:
    total = runner.pending()
    with out.progress("draining", total=total) as bar:
        runner.drain(DRAIN_TIMEOUT_S, on_pending=lambda pending: bar.update(max(total - pending, 0)))


if __name__ == "__main__":
    run_script("replay", replay)
