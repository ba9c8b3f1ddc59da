"""Open a chain of stores and stock them. Twice equals once; a store that has traded is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from invctl.console.command import output
from invctl.console.options import whole
from invctl.console.output import Column
from invctl.errors import NotFoundError, WrongStateError
from invctl.ledger import seeding
from invctl.ledger.ledger import Ledger
from invctl.settings import CONFIG_FILE, config_text
from scripts.chain.catalogue import SeedStore, catalogue
from scripts.chain.command import A_SEED, run_script
from scripts.chain.folder import ChainFolder

if TYPE_CHECKING:
    from pathlib import Path

STORES_MAX = 10_000
PRODUCTS_MAX = 100_000

_COLUMNS = [
    Column("store"),
    Column("name"),
    Column("home", style="dim"),
    Column("seeded"),
    Column("products", "New products"),
    Column("levels", "Levels set"),
    Column("seq", "Seq"),
]


def seed_store(home: Path, wanted: SeedStore) -> dict[str, Any]:
    """Open a store in `home` if need be, and stock it. Returns what was done; `seeded` says whether, or why not."""
    try:
        ledger = Ledger.open(home)
    except NotFoundError:
        ledger = Ledger.create(home, wanted.store, name=wanted.name)
    config = home / CONFIG_FILE
    if not config.exists():
        config.write_text(config_text(), encoding="utf-8")
    with ledger:
        try:
            changed = seeding.seed(ledger, wanted.products)
        except WrongStateError:
            changed, seeded = seeding.Changed(0, 0, 0), "left alone: it has traded"
        else:
            seeded = "yes" if any(changed) else "nothing new"
        seq = ledger.row("SELECT max(seq) FROM events")[0]
    return {
        "store": wanted.store,
        "name": wanted.name,
        "home": str(home),
        "seeded": seeded,
        "products": changed.products,
        "levels": changed.levels,
        "seq": seq,
    }


def seed(
    ctx: Context,
    folder: Annotated[str | None, Argument(metavar="DIR", help="The chain's folder; by default ./chain.")] = None,
    number: Annotated[int, Option("--seed", click_type=A_SEED, help="What the quantities are drawn from.")] = 1,
    stores: Annotated[int, Option("--stores", click_type=whole(1, STORES_MAX, "N"), help="How many stores.")] = 3,
    products: Annotated[
        int, Option("--products", click_type=whole(1, PRODUCTS_MAX, "N"), help="How many products in each.")
    ] = 5,
) -> None:
    """Open a chain of stores under DIR/stores, with 10 to 100 of each product on hand.

    Seeding again changes nothing. A store that has traded is left alone, and that is said.

    Example: scripts/seed --stores 5 --products 20
    """
    chain = ChainFolder.named(folder)
    out = output(ctx)
    wanted = catalogue(stores=stores, products=products, seed=number)
    done = []
    with out.progress("seeding", total=len(wanted)) as bar:
        for each in wanted:
            done.append(seed_store(chain.home(each.store), each))
            bar.update(len(done))
    out.rows(_COLUMNS, done)


if __name__ == "__main__":
    run_script("seed", seed)
