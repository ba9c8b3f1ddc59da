"""At the counter: a clerk's command, reservations a second, eight clerks on one item, a ledger that has grown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import apsw

from invctl.ledger import reads, reservations
from invctl.ledger.ledger import Ledger
from scripts.benchmarks import ledgers
from scripts.benchmarks.bare_ledger import BareLedger
from scripts.benchmarks.figure import Benchmark, Goal, figure_of, quantile, take_turns
from scripts.chain.runner import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmarks.figure import Figure, Lab

CLERKS = 8
_WRITER = "scripts.benchmarks.contender"


def cli_reserve(lab: Lab) -> list[Figure]:
    """Measure whole processes, one after the other."""
    lab.step("cli_reserve, filling a ledger")
    home = lab.room("cli")
    skus = lab.amount(10_000, 100)
    with ledgers.opened(home / "store", "downtown", skus) as ledger:
        ledgers.hasten(ledger)
        ledgers.hold(ledger, lab.amount(100_000, 100), [ledgers.sku_of(number) for number in range(skus)])
    bare = home / "bare.db"
    with closing(apsw.Connection(str(bare))) as connection:
        connection.execute("PRAGMA journal_mode = WAL; CREATE TABLE rows (body TEXT, hash BLOB)").fetchall()
    words = ["reserve", f"{ledgers.sku_of(skus // 2)}=1", "--order", "A-17", "-o", "json"]
    ours = [sys.executable, "-P", "-m", "invctl", "--home", str(home / "store"), *words]
    reference = [sys.executable, "-P", str(Path(__file__).with_name("bare_command.py"))]
    reference += [*words[1:], "--home", str(bare)]
    # Modules are compiled by the first call, as on anybody's machine, also where this one is told to keep nothing.
    left_out = ("INVCTL_", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environ["PYTHONPATH"] = str(ROOT)

    def timed(command: list[str]) -> Callable[[], float]:
        def once() -> float:
            began_s = time.perf_counter()
            done = subprocess.run(command, env=environ, capture_output=True, check=False, cwd=home)
            took_ms = (time.perf_counter() - began_s) * 1000
            if done.returncode != 0:
                raise AssertionError(f"{command} failed: {done.stderr.decode()}")
            return took_ms

        return once

    for command in (ours, reference):
        timed(command)()
    rounds = take_turns(lab.amount(60, 2), timed(ours), timed(reference), lambda _: None, "cli_reserve")
    return [figure_of("cli_reserve", rounds, unit="ms", better="lower", goal=Goal(ratio=1.25))]


def reserve(lab: Lab) -> list[Figure]:
    """Measure one process that reserves as fast as it can."""
    count = lab.amount(4000, 50)

    def rate(once: Callable[[], object]) -> float:
        began_s = time.perf_counter()
        for _ in range(count):
            once()
        return count / (time.perf_counter() - began_s)

    def ours() -> float:
        home = lab.room("reserve")
        with ledgers.opened(home, "downtown", 1) as ledger:
            return rate(lambda: reservations.reserve(ledger, {ledgers.sku_of(0): 1}))

    def bare() -> float:
        home = lab.room("reserve")
        ledgers.opened(home, "downtown", 1).close()
        with closing(BareLedger(home)) as ledger:
            return rate(lambda: ledger.reserve(ledgers.sku_of(0)))

    rounds = take_turns(lab.rounds(5), ours, bare, lab.step, "reserve")
    return [figure_of("reserve", rounds, unit="reservations/s", better="higher", goal=Goal(0.6, 4000))]


def reserve_contended(lab: Lab) -> list[Figure]:
    """Measure eight processes that reserve one SKU as fast as they can."""
    beside: list[dict[str, Any]] = []
    seconds = max(10 * lab.scale, 0.5)

    def together(kind: str) -> dict[str, Any]:
        home = lab.room("contended")
        ledgers.opened(home, "downtown", 1).close()
        command = [sys.executable, "-P", "-m", _WRITER, kind, str(home), ledgers.sku_of(0), str(seconds)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        clerks = [
            subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(CLERKS)
        ]
        for clerk in clerks:
            assert clerk.stdout is not None
            clerk.stdout.readline()
        for clerk in clerks:
            assert clerk.stdin is not None
            clerk.stdin.write(b"\n")
            clerk.stdin.flush()
        said = [json.loads(clerk.communicate()[0]) for clerk in clerks]
        waits = sorted(wait for each in said for wait in each["waits_ms"])
        decided = [len(each["waits_ms"]) for each in said]
        return {
            "rate": sum(decided) / seconds,
            "p99_ms": round(quantile(waits, 0.99), 2),
            "longest_ms": round(waits[-1], 1),
            "jain": round(sum(decided) ** 2 / (len(decided) * sum(count**2 for count in decided)), 3),
            "refused_though_in_stock": sum(each["refused"] for each in said),
        }

    def ours() -> float:
        beside.append(together("ours"))
        return float(beside[-1]["rate"])

    rounds = take_turns(lab.rounds(3), ours, lambda: float(together("bare")["rate"]), lab.step, "reserve_contended")
    worst = {
        "p99_ms": median(each["p99_ms"] for each in beside),
        "longest_ms": max(each["longest_ms"] for each in beside),
        "jain": min(each["jain"] for each in beside),
        "refused_though_in_stock": sum(each["refused_though_in_stock"] for each in beside),
    }
    return [
        figure_of("reserve_contended", rounds, unit="decided/s", better="higher", goal=Goal(ratio=0.6), beside=worst)
    ]


def history(lab: Lab) -> list[Figure]:
    """Measure what a clerk asks of a ledger that has grown, and of one that is new."""
    lab.step("history, filling a ledger")
    skus = [ledgers.sku_of(number) for number in range(100)]
    grown, new = lab.room("history"), lab.room("history")
    for home, events in ((grown, lab.amount(1_000_000, 1000)), (new, 100)):
        with ledgers.opened(home, "downtown", len(skus)) as ledger:
            ledgers.hasten(ledger)
            ledgers.adjust(ledger, events, skus)
            ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    count = lab.amount(500, 20)

    def asked(home: Path) -> Callable[[], float]:
        def once() -> float:
            with Ledger.open(home) as ledger:
                began_s = time.perf_counter()
                for number in range(count):
                    reservations.reserve(ledger, {skus[number % len(skus)]: 1})
                    reads.stock(ledger, skus[number % len(skus)])
                return (time.perf_counter() - began_s) / count * 1000

        return once

    rounds = take_turns(lab.rounds(5), asked(grown), asked(new), lab.step, "history")
    return [figure_of("history", rounds, unit="ms", better="lower", goal=Goal(ratio=1.2))]


BENCHMARKS = (
    Benchmark(
        "cli_reserve",
        "`invctl reserve` as a whole process, on a ledger of 10,000 products and 100,000 open reservations",
        "a Typer command with the same options that imports apsw, json and hashlib and commits one row durably",
        cli_reserve,
    ),
    Benchmark(
        "reserve",
        "durable reservations through the ledger's API, one line each, one process",
        "the same row writes in bare apsw",
        reserve,
    ),
    Benchmark(
        "reserve_contended",
        "eight processes that reserve one SKU for ten seconds",
        "the same row writes in bare apsw, in the same queue",
        reserve_contended,
    ),
    Benchmark(
        "history",
        "a reservation and a look at the stock, with 1,000,000 events in the ledger",
        "the same with 100",
        history,
    ),
)
