"""Runs a chain's daemons and head office as real processes, and drains them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invctl.clock import SystemClock
from invctl.errors import UnreachableError
from invctl.ledger import reads
from invctl.ledger.ledger import Ledger
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.chain.broker import Broker
    from scripts.chain.folder import ChainFolder
    from scripts.chain.processes import Child, ProcessTable

ROOT = Path(__file__).parents[2]
LINK_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_DRAIN_ROUNDS = 5


class ChainRunner:
    """One `invcentral`, and one `invd` for each group of stores."""

    def __init__(self, chain: ChainFolder, processes: ProcessTable, broker: Broker, namespace: str) -> None:
        """Take the chain's folder, whose stores are open already."""
        self._chain = chain
        self._processes = processes
        self.environ = environment(broker.url, namespace, chain)
        self._couriers: dict[str, tuple[Child, Sequence[Path]]] = {}
        self._central: Child | None = None
        self._since_us = SystemClock().now_us()

    def start_central(self) -> None:
        """Found head office's database and start `invcentral`, which admits any store."""
        self._run_to_its_end("invcentral-init", "central", "init")
        self._central = self._start("invcentral", "central", "run", "--admit-any", "--log-format", "json")

    def start_courier(self, name: str, homes: Sequence[Path]) -> None:
        """Start one `invd` for these stores."""
        child = self._start(f"invd-{name}", "daemon", "run", *map(str, homes), "--log-format", "json")
        self._couriers[name] = (child, homes)

    def wait_for_links(self) -> None:
        """Wait until central has answered every store. Raises UnreachableError when that takes too long."""
        if not wait_until(lambda: not self._without_link(), timeout_s=LINK_TIMEOUT_S, every_s=0.05):
            raise UnreachableError(
                f"head office does not answer {', '.join(self._without_link()[:5])}: {self.last_words()}",
                hint="--keep keeps the folder with its logs",
            )

    def pending(self) -> int:
        """Return how many events central has not acknowledged, over all stores."""
        return sum(_pending(home) for home in self._chain.homes())

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
            if not wait_until(drained, timeout_s=timeout_s, every_s=0.05):
                raise UnreachableError(
                    f"{self.pending()} events have not arrived after {timeout_s:g} s: {self.last_words()}",
                    hint="--keep keeps the folder with its logs",
                )
            for child, _ in self._couriers.values():
                child.ask_to_end()
            for child, _ in self._couriers.values():
                child.stop(STOP_TIMEOUT_S)
            late = [name for name, (_, homes) in self._couriers.items() if any(map(_pending, homes))]
            if not late:
                break
            for name in late:
                self.start_courier(name, self._couriers[name][1])
        if self._central:
            self._central.stop(STOP_TIMEOUT_S)

    def ended(self) -> list[str]:
        """Return the names of processes that should run and do not."""
        children = [child for child, _ in self._couriers.values()] + ([self._central] if self._central else [])
        return [child.name for child in children if not child.alive()]

    def last_words(self) -> str:
        """Return the last line that each process logged."""
        children = [child for child, _ in self._couriers.values()] + ([self._central] if self._central else [])
        return "; ".join(f"{child.name}: {child.log_tail(1)}" for child in children[:4])

    def _without_link(self) -> list[str]:
        return [home.name for home in self._chain.homes() if not _is_linked(home, self._since_us)]

    def _start(self, name: str, module: str, *arguments: str) -> Child:
        return self._processes.start([sys.executable, "-P", "-m", module, *arguments], name=name, env=self.environ)

    def _run_to_its_end(self, name: str, module: str, *arguments: str) -> None:
        child = self._start(name, module, *arguments)
        if child.wait(LINK_TIMEOUT_S) != 0:
            child.kill()
            raise UnreachableError(f"{name} failed: {child.log_tail(3)}")


def environment(redis_url: str, namespace: str, chain: ChainFolder) -> dict[str, str]:
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
        "INVCENTRAL_DATABASE_URL": chain.central_database,
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
