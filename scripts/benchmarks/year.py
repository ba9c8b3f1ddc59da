"""A year of a real grocery chain: ledgers and head office together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING

from scripts.benchmarks import bare_year
from scripts.benchmarks.figure import Benchmark, Goal, figure_of
from scripts.chain.groceries import Span, trade_of
from scripts.chain.processes import stop_together
from scripts.chain.runner import ROOT

if TYPE_CHECKING:
    from scripts.benchmarks.figure import Figure, Lab

_FIRST, _DAYS = date(2017, 1, 1), 366


def year(lab: Lab) -> list[Figure]:
    """Measure from the opening of the first store to the last commit at head office, once."""
    span = Span(_FIRST, _FIRST + timedelta(days=lab.amount(_DAYS, 2) - 1))
    trade = trade_of([span])
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    lab.step("year, with the proof at its end")
    command = [sys.executable, "-P", "-m", "scripts.replay", "--day", str(span), "-o", "json"]
    said = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True).stdout
    proof = json.loads(said)
    lab.step("year, the reference")
    folder = lab.room("year")
    broker = lab.start_broker()
    module = [sys.executable, "-P", "-m"]
    events = str(bare_year.events_of(trade))
    receiver = subprocess.Popen(
        [*module, "scripts.benchmarks.bare_pipeline", "receive", broker.url, str(folder / "bare.db"), events],
        env=environ,
        stdout=subprocess.PIPE,
    )
    assert receiver.stdout is not None
    receiver.stdout.readline()
    began_s = time.perf_counter()
    bare_year.run(broker.url, folder, trade)
    if receiver.wait():
        raise AssertionError("the bare pipeline failed")
    took_s = time.perf_counter() - began_s
    stop_together(lab.processes.alive, 10.0)
    shutil.rmtree(folder)
    baskets = len(trade.baskets)
    beside = {
        "baskets": baskets,
        "stores": proof["stores"],
        "events": proof["events_committed"],
        "seconds": proof["seconds"],
        "reference_seconds": round(took_s, 1),
        "equal": proof["equal"],
    }
    rounds = [(baskets / proof["seconds"], baskets / took_s)]
    return [figure_of("year", rounds, unit="baskets/s", better="higher", goal=Goal(ratio=0.4), beside=beside)]


BENCHMARKS = (
    Benchmark(
        "year",
        "a year of a grocery chain: 155,848 baskets of 1,469,307 lines in 457 stores, ledgers and head office together",
        "bare ledger writes and the bare pipeline on the same data",
        year,
    ),
)
