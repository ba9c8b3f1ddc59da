"""`invcentral check`: is all well, as a monitor asks it."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

from typer import Context, Option

from central.cli import words
from central.cli.check_command import Verdict, conclude
from central.cli.command import read
from central.cli.parameters import AnyStore
from central.reads import list_stores
from central.tables import ADMITTED
from central.views import StoreRow
from invctl.console.command import output
from invctl.console.options import whole
from invctl.errors import InvalidValueError, NotFoundError

_N = whole(0, 1_000_000_000, "N")

Warn = Annotated[int, Option("--warn", click_type=_N, help="More than N is a warning, and the exit code 1.")]
Crit = Annotated[int, Option("--crit", click_type=_N, help="More than N is critical, and the exit code 2.")]


class _Measure(NamedTuple):
    """What is measured of a store, None where nobody knows it; how that is said; and its unit in performance data.

    Where it adds up, all stores make one number; else the worst store is what counts.
    """

    name: str
    of: Callable[[StoreRow], float | None]
    told: Callable[[StoreRow], str]
    unit: str = ""
    adds_up: bool = False


def _age(row: StoreRow) -> str:
    if row.fresh.age_s is None:
        return "never proved complete"
    return f"complete up to {words.duration(row.fresh.age_s)} ago"


_LAG = _Measure("lag", lambda row: row.lag, lambda row: f"{words.counted(row.lag, 'event')} behind")
_FRESHNESS = _Measure("freshness", lambda row: row.fresh.age_s, _age, unit="s")
_SUSPECTS = _Measure(
    "suspects", lambda row: row.suspects, lambda row: f"{words.counted(row.suspects, 'SKU')} in doubt", adds_up=True
)


def lag(ctx: Context, warn: Warn, crit: Crit, store: AnyStore = None) -> None:
    """Check by how many events the worst store is known to be ahead of what head office has.

    One line on stdout, as Nagios has them; the exit code is 0 for OK, 1 for WARNING, 2 for CRITICAL, and 3 for UNKNOWN,
    also where the database does not answer. What a silent store does, head office cannot know: that is for
    `check freshness`.

    For example:

        invcentral check lag --warn 100 --crit 1000
    """
    _check(ctx, _LAG, warn, crit, store)


def freshness(ctx: Context, warn: Warn, crit: Crit, store: AnyStore = None) -> None:
    """Check up to how many seconds ago the numbers of the worst store are proved complete.

    It grows whatever fails: the store's daemon, the broker, or head office itself. A store that was never proved
    complete is critical. One line and four exit codes, as `check lag` has them.

    For example:

        invcentral check freshness --warn 30 --crit 300
        invcentral check freshness --warn 30 --crit 300 --store downtown
    """
    _check(ctx, _FRESHNESS, warn, crit, store)


def suspects(ctx: Context, warn: Warn, crit: Crit, store: AnyStore = None) -> None:
    """Check how many SKUs have a level that is in doubt, at all stores together.

    One line and four exit codes, as `check lag` has them.

    For example:

        invcentral check suspects --warn 0 --crit 20
    """
    _check(ctx, _SUSPECTS, warn, crit, store)


def _check(ctx: Context, measure: _Measure, warn: int, crit: int, store: str | None) -> None:
    if warn > crit:
        raise InvalidValueError(f"--warn {warn} is beyond --crit {crit}", hint="what is critical is a warning before")
    with read(ctx) as connection:
        rows = _admitted(list_stores(connection), store)
    worst_first = sorted(rows, key=lambda row: _rank(measure.of(row)), reverse=True)
    values = [measure.of(row) for row in worst_first]
    value = sum(map(_rank, values)) if measure.adds_up else values[0]
    verdict = _verdict(value, warn, crit)
    least = 0 if measure.adds_up else warn
    bad = [row for row in worst_first if _rank(measure.of(row)) > least] if verdict else worst_first[:1]
    told = words.listed([f"{row.store} {measure.told(row)}" for row in bad], "; ")
    among = f"{value} in all, " if measure.adds_up else ""
    among += f"{len(bad)} of {words.counted(len(rows), 'store')}" if verdict else f"worst of {len(rows)}"
    shown = "U" if value is None else f"{value}{measure.unit}"
    conclude(
        output(ctx),
        verdict,
        told if len(rows) == 1 else f"{among}: {told}",
        {
            "check": measure.name,
            "value": value,
            "warn": warn,
            "crit": crit,
            "stores": [{"store": row.store, "value": measure.of(row)} for row in worst_first],
        },
        measured=f"{measure.name}={shown};{warn};{crit};0",
    )


def _admitted(rows: list[StoreRow], store: str | None) -> list[StoreRow]:
    """Return the stores to look at. Raises NotFoundError where there is none: nothing to see is not well."""
    if store is not None and all(row.store != store for row in rows):
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    found = [row for row in rows if row.status == ADMITTED and store in (None, row.store)]
    if not found:
        what = f"{store} is not admitted" if store else "no store is admitted"
        raise NotFoundError(what, hint="invcentral stores list")
    return found


def _rank(value: float | None) -> float:
    """Return what a value counts for: what nobody knows is the worst."""
    return float("inf") if value is None else value


def _verdict(value: float | None, warn: int, crit: int) -> Verdict:
    if _rank(value) > crit:
        return Verdict.CRITICAL
    return Verdict.WARNING if _rank(value) > warn else Verdict.OK
