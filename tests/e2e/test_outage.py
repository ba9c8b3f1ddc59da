"""A store without a broker for an hour of clerk's work: served as ever, and caught up in seconds, by itself."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from invctl.clock import ManualClock, SystemClock
from invctl.ledger import adjustments, reads, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Origin
from scripts.chain.broker import Broker
from scripts.chain.catalogue import catalogue
from scripts.chain.folder import ChainFolder
from scripts.chain.processes import ProcessTable
from scripts.chain.proof import prove
from scripts.chain.runner import ChainRunner
from scripts.chain.waiting import wait_until
from scripts.seed import seed_store
from tests.servers import real_broker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.servers import Broker as Server

pytestmark = [pytest.mark.fault_tolerance, pytest.mark.slow]

HOUR_S = 3600
OPERATIONS = 4000
COMMANDS = 8
WAIT_S = 60
STORE = "downtown"


@pytest.fixture
def server() -> Iterator[Server]:
    with real_broker() as server:
        yield server


@pytest.fixture
def chain(tmp_path: Path) -> ChainFolder:
    chain = ChainFolder(tmp_path)
    for wanted in catalogue(stores=2):
        seed_store(chain.home(wanted.store), wanted)
    return chain


@pytest.fixture
def runner(chain: ChainFolder, server: Server) -> Iterator[ChainRunner]:
    """Head office and both stores' daemons, each connected."""
    with ProcessTable(chain.path / "processes.json", chain.path / "logs") as processes:
        runner = ChainRunner(chain, processes, Broker(server.url, "for tests"), f"test-{secrets.token_hex(4)}")
        runner.start_central()
        for home in chain.homes():
            runner.start_courier(home.name, [home])
        runner.wait_for_links()
        yield runner


class Shop:
    """A store's clerks, through one hour: most of their work by calls whose clock is moved, some by real commands."""

    def __init__(self, chain: ChainFolder, environ: Mapping[str, str]) -> None:
        self._home = chain.home(STORE)
        self._environ = {**environ, "INVCTL_HOME": str(self._home)}
        self._clock = ManualClock(SystemClock().now_us())
        self._chance = Random(1)
        self.told: set[str] = set()

    def work(self, operations: int, seconds: float) -> None:
        """Do so much, spread over so many seconds of the ledger's clock."""
        with Ledger.open(self._home, clock=self._clock) as ledger:
            skus = [row.sku for row in reads.stock(ledger)[0]]
            for _ in range(operations // 4):
                sku = self._chance.choice(skus)
                adjustments.adjust(ledger, {sku: 3}, "received", origin=self._request())
                opened = [
                    reservations.reserve(ledger, {sku: 1}, origin=self._request()).event.subject for _ in range(2)
                ]
                reservations.confirm(ledger, opened[0], origin=self._request())
                self._clock.advance(seconds / (operations // 4))

    def command(self, *words: str) -> Any:
        """Run a command of `invctl` as a process, which must succeed, and give its JSON."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "invctl", *words, "-o", "json"],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sell(self) -> None:
        """Sell one unit of something by two commands."""
        reserve, confirm = self._request().request_id, self._request().request_id
        opened = self.command("reserve", "MOUSE-001", "--request-id", reserve)
        self.command("confirm", opened["reservation"], "--request-id", confirm)

    def _request(self) -> Origin:
        request_id = f"hour-{len(self.told)}"
        self.told.add(request_id)
        return Origin(clerk="ana", request_id=request_id)


def test_after_an_hour_without_a_broker_a_store_catches_up_by_itself(
    chain: ChainFolder,
    server: Server,
    runner: ChainRunner,
    record_property: Any,
) -> None:
    assert wait_until(lambda: not runner.pending(), timeout_s=WAIT_S)
    shop = Shop(chain, runner.environ)
    server.kill()
    assert wait_until(lambda: shop.command("status")["daemon"]["connection"] == "lost", timeout_s=WAIT_S)
    for _ in range(COMMANDS):
        shop.work(OPERATIONS // COMMANDS, HOUR_S / COMMANDS)
        shop.sell()
    assert wait_until(lambda: shop.command("status")["link"] == "unknown", timeout_s=WAIT_S)
    behind = shop.command("status")["pending_events"]
    assert behind == runner.pending() >= OPERATIONS + 2 * COMMANDS
    processes = [(ward.name, ward.child.pid) for ward in runner.supervisor.wards]
    server.start()
    began_s = time.monotonic()
    assert wait_until(lambda: not runner.pending(), timeout_s=WAIT_S)
    drained_s = time.monotonic() - began_s
    # Nobody was started again, nor asked for anything.
    assert [(ward.name, ward.child.pid) for ward in runner.supervisor.wards if ward.child.alive()] == processes
    runner.drain(WAIT_S)
    proof = prove(chain.homes(), chain.central_database, since_us=0, told={STORE: shop.told})
    assert proof.differences == []
    assert proof.holds
    assert proof.acknowledged == OPERATIONS + 2 * COMMANDS
    with Ledger.open(chain.home(STORE)) as ledger:
        first_us, last_us = ledger.row("SELECT min(time_us), max(time_us) FROM events")
    assert last_us - first_us >= (HOUR_S - HOUR_S // COMMANDS) * 1_000_000
    record_property("drained_s", round(drained_s, 2))
    sys.stdout.write(f"{behind} events of an hour, at head office {drained_s:.1f} s after the broker was back\n")
