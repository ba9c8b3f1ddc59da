"""Begin anew: empty stores, head office, or both. A reset is in the ledger like everything else."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from invctl.console.command import output
from invctl.console.output import Column
from invctl.errors import InvalidValueError, NotFoundError, RefusedError
from invctl.ledger import seeding
from invctl.ledger.ledger import Ledger
from invctl.settings import LOCK_FILE, RUN
from scripts.chain.command import run_script
from scripts.chain.folder import ChainFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CENTRAL = "central"

_COLUMNS = [
    Column("name"),
    Column("reset"),
    Column("levels", "Levels to 0"),
    Column("reservations", "Reservations cancelled"),
    Column("events", "Events forgotten"),
]


def reset(
    ctx: Context,
    folder: Annotated[str | None, Argument(metavar="DIR", help="The chain's folder; by default ./chain.")] = None,
    store: Annotated[
        list[str] | None, Option("--store", metavar="STORE", help="Empty this store; may be repeated.")
    ] = None,
    all_stores: Annotated[bool, Option("--all-stores", help="Empty every store.")] = False,
    central: Annotated[bool, Option("--central", help="Empty head office's database.")] = False,
    forget_stores: Annotated[
        bool, Option("--forget-stores", help="With --central: stores must be admitted again.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Empty stores, head office, or both. Resetting again changes nothing.

    A store's open reservations are cancelled and its levels set to 0, by events: its history stays, and its products.
    Head office forgets everything but which stores it admitted; it comes back by itself from the stores' ledgers.
    Refused while a daemon runs there.

    Example: scripts/reset --store downtown --central
    """
    chain = ChainFolder.named(folder)
    out = output(ctx)
    homes = chain.homes() if all_stores else [chain.home(name) for name in store or []]
    if (all_stores or store) and not chain.path.is_dir():
        raise NotFoundError(f"there is no folder {chain.path}", hint="`scripts/seed` makes one")
    if all_stores and not homes:
        raise NotFoundError(f"there is no store in {chain.stores}", hint="`scripts/seed` opens stores")
    if not homes and not central:
        raise InvalidValueError("nothing to reset", hint="say --store STORE, --all-stores or --central")
    for home in homes:
        if home not in chain.homes():
            raise NotFoundError(f"there is no store in {home}", hint="`scripts/seed` opens stores")
    if not yes and not dry_run:
        _ask([home.name for home in homes] + ([CENTRAL] if central else []))
    done = [_reset_store(home, dry_run=dry_run) for home in homes]
    if central:
        done.append(_reset_central(chain, forget_stores=forget_stores, dry_run=dry_run))
    out.rows(_COLUMNS, done)


def _ask(names: list[str]) -> None:
    """Let the user type each name. Raises InvalidValueError where it is another, or where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InvalidValueError("a reset has to be agreed to", hint="say --yes where nobody can be asked")
    for name in names:
        print(f"type {name} to reset it: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != name:
            raise InvalidValueError("that is another name; nothing was reset")


def _reset_store(home: Path, *, dry_run: bool) -> dict[str, Any]:
    with _held(home / RUN / LOCK_FILE, f"invd serves {home.name}"), Ledger.open(home) as ledger:
        changed = seeding.reset(ledger, dry_run=dry_run)
    return {
        "name": home.name,
        "reset": _said(any(changed), dry_run=dry_run),
        "levels": changed.levels,
        "reservations": changed.reservations,
        "events": 0,
    }


def _reset_central(chain: ChainFolder, *, forget_stores: bool, dry_run: bool) -> dict[str, Any]:
    from central.database import open_database  # noqa: PLC0415 - a store's reset needs no SQLAlchemy
    from central.migrations import require_current  # noqa: PLC0415
    from central.reset import reset_central  # noqa: PLC0415
    from central.settings import LOCK_FILE as CENTRAL_LOCK_FILE  # noqa: PLC0415
    from central.settings import load  # noqa: PLC0415
    from invctl.clock import SystemClock  # noqa: PLC0415

    url = load(chain.central, os.environ).database_url
    if url == chain.central_database and not chain.central_file.exists():
        raise NotFoundError(f"there is no head office in {chain.central}", hint="it was never set up, so it is empty")
    with _held(chain.central / CENTRAL_LOCK_FILE, "invcentral runs"):
        engine = open_database(url, clock=SystemClock())
        require_current(engine)
        counted = reset_central(engine, forget_stores=forget_stores, dry_run=dry_run)
        engine.dispose()
    return {
        "name": CENTRAL,
        "reset": _said(any(counted), dry_run=dry_run),
        "levels": counted.levels,
        "reservations": counted.reservations,
        "events": counted.events,
    }


def _said(something: bool, *, dry_run: bool) -> str:
    if not something:
        return "nothing to do"
    return "would be" if dry_run else "yes"


@contextmanager
def _held(lock: Path, who: str) -> Iterator[None]:
    """Hold the lock that a daemon would hold. Raises RefusedError where one does."""
    if not lock.exists():
        yield
        return
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"{who}: nothing was reset there", hint="stop it first") from None
        yield


if __name__ == "__main__":
    run_script("reset", reset)
