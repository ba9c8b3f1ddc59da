"""Trade days of a real grocery chain through ledgers, daemons, broker and head office, and prove it."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from datetime import date
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from central.cli.words import counted
from central.leases import LEASE_TTL_S
from invctl.clock import SystemClock
from invctl.console.command import output
from invctl.console.options import Parsed, whole
from invctl.errors import InvalidValueError
from invctl.ledger import seeding
from invctl.ledger.ledger import Ledger
from scripts.chain.broker import start_broker
from scripts.chain.command import A_SEED, run_script
from scripts.chain.folder import ChainFolder
from scripts.chain.groceries import Span, parse_store, product_names, trade_of
from scripts.chain.kills import WHAT_TO_KILL, Killer, ours_to_kill, refuse_idle_seed, told_seed
from scripts.chain.leftovers import clear_and_tell
from scripts.chain.runner import ChainRunner
from scripts.chain.schema import schema_of_its_own
from scripts.chain.tills import Tills
from scripts.chain.verdict import ask_for_proof, holds, print_proof
from scripts.chain.workspace import Workspace

if TYPE_CHECKING:
    from invctl.console.output import Output
    from scripts.chain.groceries import Trade

DEFAULT_DAY = Span(date(2017, 12, 23), date(2017, 12, 23))
YEAR = Span(date(2017, 1, 1), date(2018, 1, 1))
DRAIN_TIMEOUT_S = 900.0
"""It only ends a run that has failed: a year's end may be far behind on a slow machine."""
CENTRALS_MAX = 8
SHARDS_MAX = 64
UNDER_FIRE_S = 10.0
"""How long trade under kills takes at least: they need time to fall into."""
TAKE_OVER_S = 1.5 * LEASE_TTL_S
"""The same with several centrals: one takes over what a killed one held when its lease has ended."""


def _trade(
    ledgers: dict[str, Ledger], trade: Trade, runner: ChainRunner, killer: Killer, lasts_s: float, out: Output
) -> None:
    """Sell each basket, spread over so many seconds or as fast as that goes (0), and look after the daemons."""
    with out.progress("trading", total=len(trade.baskets)) as bar:

        def meanwhile(sold: int) -> None:
            killer.tick()
            runner.supervisor.tick()
            bar.update(sold)

        Tills(ledgers, runner.chain.journal, lasts_s=lasts_s).sell(trade.baskets, meanwhile)


def _drain(runner: ChainRunner, out: Output) -> None:
    """Let everything arrive, and stop the daemons. Nothing is killed any more."""
    total = runner.pending()
    with out.progress("draining", total=total) as bar:
        runner.drain(DRAIN_TIMEOUT_S, on_pending=lambda pending: bar.update(max(total - pending, 0)))


def replay(
    ctx: Context,
    days: Annotated[
        list[Span] | None,
        Option(
            "--day",
            click_type=Parsed("DAY", Span.parse),
            help="A day from 2017-01-01 to 2018-01-01, or DAY..DAY; may be repeated. 2017-12-23 by default.",
        ),
    ] = None,
    year: Annotated[bool, Option("--year", help="All there is: 155,848 baskets in 457 stores.")] = False,
    stores: Annotated[
        list[str] | None,
        Option("--store", click_type=Parsed("STORE", parse_store), help="This store alone; may be repeated."),
    ] = None,
    kill: Annotated[
        frozenset[str] | None,
        Option(
            "--kill",
            click_type=WHAT_TO_KILL,
            help="Kill these with -9 meanwhile, with commas between them; alone it means all.",
        ),
    ] = None,
    seed: Annotated[
        int | None, Option("--seed", click_type=A_SEED, help="What the moments of the kills are drawn from.")
    ] = None,
    central_url: Annotated[
        str | None,
        Option("--central-url", metavar="URL", help="Head office's PostgreSQL; the run has a schema of its own there."),
    ] = None,
    centrals: Annotated[
        int,
        Option("--centrals", click_type=whole(1, CENTRALS_MAX), help="How many serve; on SQLite the others stand by."),
    ] = 1,
    shards: Annotated[
        int | None,
        Option(
            "--shards",
            click_type=whole(1, SHARDS_MAX),
            help="Into how many the stores are divided, on PostgreSQL alone.",
        ),
    ] = None,
    keep: Annotated[bool, Option("--keep", help="Keep the run's folder, with its databases and logs.")] = False,
) -> None:
    """Open the stores that sold on DAY with enough stock, trade the day as fast as it goes, and print the proof.

    With --kill, trade is spread over ten seconds at least, and what was killed is started again. Of several centrals,
    a killed one stays away for longer than its lease each second time, so that another takes over.

    For example:

        scripts/replay --day 2017-12-23 -o json
        scripts/replay --day 2017-12-20..2017-12-24 --store 330 --kill invcentral
        scripts/replay --year --kill
        scripts/replay --kill --central-url postgresql://postgres@localhost/test --centrals 2
    """
    out = output(ctx)
    if shards and shards > 1 and not central_url:
        raise InvalidValueError("SQLite has one shard", hint="name a PostgreSQL with --central-url")
    refuse_idle_seed(seed, kill)
    clear_and_tell(out)
    if year and days:
        raise InvalidValueError("a year is all its days", hint="--year, or --day")
    spans = [YEAR] if year else days or [DEFAULT_DAY]
    trade = trade_of(spans, stores or ())
    with ExitStack() as held:
        workspace = held.enter_context(Workspace.create("replay", keep=keep))
        database_url = None
        if central_url:
            database_url = held.enter_context(schema_of_its_own(central_url, workspace.path, keep=keep, say=out.talk))
            # Before the schema goes, whoever uses it.
            held.callback(workspace.processes.stop_all)
        broker = start_broker(workspace.processes, workspace.path, os.environ, out.talk)
        out.talk(f"broker: {broker.description}")
        kinds = ours_to_kill(kill, broker, out.talk)
        chain = ChainFolder(workspace.path)
        began_s = time.monotonic()
        ledgers = _open_stores(chain, trade, out)
        runner = ChainRunner(
            chain,
            workspace.processes,
            broker,
            f"replay-{secrets.token_hex(4)}",
            database_url=database_url,
            say=out.talk,
        )
        runner.start_central(centrals, shards or (centrals if central_url else 1))
        runner.start_courier("all", chain.homes())
        runner.wait_for_links()
        since_us = SystemClock().now_us()
        killer = Killer(runner.supervisor, kinds, told_seed(seed, out.talk) if kinds else 0)
        lasts_s = TAKE_OVER_S if centrals > 1 else UNDER_FIRE_S
        _trade(ledgers, trade, runner, killer, lasts_s if kinds else 0.0, out)
        for ledger in ledgers.values():
            ledger.close()
        _drain(runner, out)
        ran_s = time.monotonic() - began_s
        proof = ask_for_proof(
            chain, runner.environ, since_us=since_us, broker=broker.description, seconds=ran_s, kills=killer.counts
        )
        baskets = len(trade.baskets) + trade.baskets_skipped
        out.talk(
            f"{', '.join(map(str, spans))}: {counted(baskets, 'basket')} of {counted(len(ledgers), 'store')}; left"
            f" out: {counted(trade.lines_skipped, 'line')} of quantity 0, and with them {trade.baskets_skipped} of the"
            " baskets"
        )
        print_proof(out, proof)
        if keep:
            out.talk(f"kept in {workspace.path}")
    raise Exit(0 if holds(proof) else 1)


def _open_stores(chain: ChainFolder, trade: Trade, out: Output) -> dict[str, Ledger]:
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


if __name__ == "__main__":
    run_script("replay", replay)
