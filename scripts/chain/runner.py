"""Runs a chain's daemons and head office as real processes, and drains them."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invctl.clock import SystemClock
from invctl.errors import UnreachableError
from invctl.ledger import reads
from invctl.ledger.ledger import Ledger
from scripts.chain.kills import BROKER, INVCENTRAL, INVD
from scripts.chain.processes import stop_together
from scripts.chain.supervision import Supervisor
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scripts.chain.broker import Broker
    from scripts.chain.folder import ChainFolder
    from scripts.chain.processes import Child, ProcessTable

ROOT = Path(__file__).parents[2]
LINK_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_DRAIN_ROUNDS = 5


class ChainRunner:
    """One or several `invcentral`, and one `invd` for each group of stores: kept running until they have drained."""

    def __init__(
        self,
        chain: ChainFolder,
        processes: ProcessTable,
        broker: Broker,
        namespace: str,
        *,
        database_url: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the chain's folder, whose stores are open already.

        Args:
            chain: where the stores and head office are.
            processes: starts the daemons.
            broker: carries their frames; where the run started it, it is kept running as well.
            namespace: what the names of channels begin with.
            database_url: head office's database, by default a SQLite file in the chain's folder.
            say: is told of each process that died, and was started again.

        """
        self.chain = chain
        self._processes = processes
        self.environ = environment(broker.url, namespace, chain, database_url)
        self.supervisor = Supervisor(say)
        self._couriers: dict[str, Sequence[Path]] = {}
        self._centrals: list[str] = []
        self._since_us = SystemClock().now_us()
        if broker.start:
            self.supervisor.add("broker", BROKER, broker.start, broker.process)

    def start_central(self, centrals: int = 1, shards: int | None = None, *, log_level: str = "info") -> None:
        """Found head office's database, with so many shards, and start as many `invcentral`, which admit any store."""
        for number in range(1, centrals + 1):
            # A home of its own for each: that is what tells them apart. They share the database.
            home = self.chain.central_home(number)
            name = home.name.replace("central", "invcentral")
            more = ["--shards", str(shards)] if shards and number == 1 else []
            self._run_to_its_end(f"{name}-init", "central", "--home", str(home), "init", *more)
            arguments = ("--home", str(home), "run", "--admit-any", "--log-format", "json", "--log-level", log_level)
            self.supervisor.add(name, INVCENTRAL, partial(self._start, name, "central", *arguments))
            self._centrals.append(name)

    def start_courier(self, name: str, homes: Sequence[Path]) -> None:
        """Start one `invd` for these stores."""
        name = f"invd-{name}"
        start = partial(self._start, name, "daemon", "run", *map(str, homes), "--log-format", "json")
        self.supervisor.add(name, INVD, start)
        self._couriers[name] = homes

    def wait_for_links(self) -> None:
        """Wait until central has answered every store. Raises UnreachableError when that takes too long."""
        if not self._wait(lambda: not self._without_link(), LINK_TIMEOUT_S):
            raise UnreachableError(
                f"head office does not answer {', '.join(self._without_link()[:5])}: {self.supervisor.last_words()}",
                hint="--keep keeps the folder with its logs",
            )

    def pending(self) -> int:
        """Return how many events central has not acknowledged, over all stores."""
        return sum(_pending(home) for home in self.chain.homes())

    def drain(self, timeout_s: float, *, on_pending: Callable[[int], None] = lambda _: None) -> None:
        """Let everything arrive, then stop all daemons. Nobody else may write to the ledgers any more.

        `on_pending` is told, now and then, how many events are still to arrive.

        A daemon ends reservations that are due until its last moment, so what it wrote then is fetched by another
        round. Raises UnreachableError when it does not drain in time.
        """

        def drained() -> bool:
            on_pending(pending := self.pending())
            return not pending

        for _ in range(_DRAIN_ROUNDS):
            if not self._wait(drained, timeout_s):
                raise UnreachableError(
                    f"{self.pending()} events have not arrived after {timeout_s:g} s: {self.supervisor.last_words()}",
                    hint="--keep keeps the folder with its logs",
                )
            self._stop(self._couriers)
            late = {name: homes for name, homes in self._couriers.items() if any(map(_pending, homes))}
            if not late:
                break
            for name, homes in late.items():
                self.start_courier(name.removeprefix("invd-"), homes)
            self._couriers = late
        self._stop(self._centrals)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition while everything is kept running. Tells whether it held."""

        def looked() -> bool:
            self.supervisor.tick()
            return condition()

        return wait_until(looked, timeout_s=timeout_s, every_s=0.05)

    def _stop(self, names: Iterable[str]) -> None:
        # Once each: a daemon takes a second signal for haste.
        stop_together([self.supervisor.release(name) for name in names], STOP_TIMEOUT_S)

    def _without_link(self) -> list[str]:
        return [home.name for home in self.chain.homes() if not _is_linked(home, self._since_us)]

    def _start(self, name: str, module: str, *arguments: str) -> Child:
        return self._processes.start([sys.executable, "-P", "-m", module, *arguments], name=name, env=self.environ)

    def _run_to_its_end(self, name: str, module: str, *arguments: str) -> None:
        child = self._start(name, module, *arguments)
        if child.wait(LINK_TIMEOUT_S) != 0:
            child.kill()
            raise UnreachableError(f"{name} failed: {child.log_tail(3)}")


def environment(redis_url: str, namespace: str, chain: ChainFolder, database_url: str | None = None) -> dict[str, str]:
    """Return the environment of a run's processes: nothing of the user's own settings reaches them."""
    kept: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("INVCTL_", "INVCENTRAL_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "INVCTL_REDIS_URL": redis_url,
        "INVCTL_NAMESPACE": namespace,
        "INVCENTRAL_HOME": str(chain.central),
        "INVCENTRAL_DATABASE_URL": database_url or chain.central_database,
    }


def _pending(home: Path) -> int:
    with Ledger.open(home) as ledger:
        status = reads.status(ledger)
    return status.head_seq - status.link.acked_seq


def _is_linked(home: Path, since_us: int) -> bool:
    """Say whether central has answered a store in this run: what an earlier run wrote down is no answer."""
    with Ledger.open(home) as ledger:
        link = reads.link(ledger)
    return link.state == "up" and link.acked_us >= since_us
