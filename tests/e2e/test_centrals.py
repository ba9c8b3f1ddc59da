"""Several centrals on one PostgreSQL, as real processes, while the stores of a chain trade."""

from __future__ import annotations

import random
import secrets
import shutil
import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest
from sqlalchemy import create_engine, make_url, text

from central.database import reading
from central.reads import status
from invctl.errors import BusyError, NotEnoughStockError
from invctl.ledger import adjustments, reads, reservations
from invctl.ledger.ledger import Ledger
from scripts.chain.catalogue import catalogue
from scripts.chain.folder import ChainFolder
from scripts.chain.proof import prove
from scripts.seed import seed_store
from tests import watching
from tests.e2e.head_office import Office, Process, eventually
from tests.servers import postgres_url_of_a_server, schema_of_its_own, shared_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from central.views import Status

pytestmark = [pytest.mark.concurrency, pytest.mark.fault_tolerance, pytest.mark.slow]

SHARDS = 8
STORES = 16
SHORT_TTL_S = 3
LONG_TTL_S = 300
"""Longer than a test is waited for: what happens all the same did not wait for a lease to end."""


class Trade:
    """Clerks at work in every store, until they are told to stop."""

    def __init__(self, chain: ChainFolder) -> None:
        self._chain = chain
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(part,)) for part in range(2)]

    def _work(self, part: int) -> None:
        chance = random.Random(part)
        try:
            with ExitStack() as opened:
                ledgers = [opened.enter_context(Ledger.open(home)) for home in self._chain.homes()[part::2]]
                while not self._stop.wait(0.02):
                    self._step(chance.choice(ledgers), chance)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            self._failed.append(error)

    def _step(self, ledger: Ledger, chance: random.Random) -> None:
        try:
            if chance.random() < 0.3:
                adjustments.adjust(ledger, {"MOUSE-001": 5}, "received")
                return
            held = reservations.reserve(ledger, {"MOUSE-001": chance.randint(1, 3)}).event.subject
            if chance.random() < 0.5:
                reservations.confirm(ledger, held)
        except (NotEnoughStockError, BusyError):
            pass

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self._failed == []


class Chain:
    """A chain with several centrals, each in a home of its own, on one database and one broker."""

    def __init__(self, folder: Path, url: str, redis_url: str, running: ExitStack, capsys: Any) -> None:
        self.stores = ChainFolder(folder)
        self.url = url
        self.offices = {name: Office(folder / name, redis_url, running, capsys, url) for name in "abc"}
        first = self.offices["a"]
        for office in self.offices.values():
            office.environ = {**first.environ, "INVCENTRAL_HOME": str(office.home)}

    def open(self, ttl_s: float) -> None:
        """Found head office, for several centrals."""
        for office in self.offices.values():
            office.environ["INVCENTRAL_LEASE_TTL_S"] = str(ttl_s)
            office.home.mkdir()
        assert self.offices["a"].start("init", "--shards", str(SHARDS)).end() == 0

    def central(self, name: str) -> Process:
        return self.offices[name].start("run", "--admit-any", "--log-format", "json")

    def invd(self) -> Process:
        argv = ["run", "--stores", str(self.stores.stores), "--log-format", "json"]
        daemon = self.offices["a"].start(*argv, module="daemon")
        daemon.until("bus.subscribed")
        return daemon

    def status(self) -> Status:
        with self.offices["a"].engine() as engine, reading(engine) as connection:
            return status(connection)

    def served(self) -> list[int]:
        """How many shards each living central serves, the longest at work first. They are in no two hands."""
        living = [each for each in self.status().centrals if each.living]
        return [len(each.shards) for each in living]

    def shards_of(self, central: Process) -> list[int]:
        """The shards that a central serves, and of which it minted the fence."""
        now = self.status()
        [holder] = [each.holder for each in now.centrals if each.pid == central.pid] or [""]
        return [shard.shard for shard in now.shards if now.served_by.get(shard.shard) == shard.holder == holder]

    def told(self, name: str, code: int = 0) -> str:
        """What `invcentral status` tells in a central's home, ending with this code."""
        status = self.offices[name].start("status")
        assert status.end() == code, status.err()
        return status.text()

    def until_served(self, *shares: int) -> None:
        eventually(lambda: self.served() == list(shares), lambda: str(self.status().centrals))

    def pending(self) -> int:
        found = 0
        for home in self.stores.homes():
            with Ledger.open(home) as ledger:
                now = reads.status(ledger)
            found += now.head_seq - now.link.acked_seq
        return found

    def drain(self, daemon: Process) -> None:
        """Let everything arrive, end the daemon, and prove head office equal to the stores."""
        eventually(lambda: self.pending() == 0)
        assert daemon.send(signal.SIGTERM) == 0
        proof = prove(self.stores.homes(), self.url, since_us=0)
        assert proof.differences == []
        assert proof.holds
        assert proof.events_applied > STORES * 3


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with shared_broker() as url:
        yield url


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> ChainFolder:
    """Stores that were just seeded. To be copied."""
    stores = ChainFolder(tmp_path_factory.mktemp("seeded"))
    for wanted in catalogue(stores=STORES, products=2):
        seed_store(stores.home(wanted.store), wanted)
    return stores


@pytest.fixture
def chain(seeded: ChainFolder, tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Chain]:
    shutil.copytree(seeded.stores, tmp_path / "stores")
    with ExitStack() as running:
        url = running.enter_context(schema_of_its_own(postgres_url_of_a_server()))
        yield Chain(tmp_path, url, redis_url, running, capsys)


def test_two_share_evenly_a_third_joins_and_what_a_killed_one_held_is_served_again(chain: Chain) -> None:
    chain.open(SHORT_TTL_S)
    first = chain.central("a")
    chain.until_served(8)
    second = chain.central("b")
    chain.until_served(4, 4)
    daemon = chain.invd()
    tail = chain.offices["b"].start("tail", "--from", "0", "-o", "ndjson")
    with Trade(chain.stores):
        third = chain.central("c")
        chain.until_served(3, 3, 2)
        first.send(signal.SIGKILL)
        chain.until_served(4, 4)
        second.send(signal.SIGKILL)
        second = chain.central("b")
        chain.until_served(4, 4)
    chain.drain(daemon)
    # A tail over eight streams saw it all once, whoever committed it.
    total = sum(store.fresh.as_of_seq for store in chain.status().stores)
    eventually(lambda: len(tail.lines()) == total, tail.err)
    for shard in range(SHARDS):
        positions = [line["position"] for line in tail.lines() if line["shard"] == shard]
        assert positions == list(range(1, len(positions) + 1))
    # On a screen each line has its own position alone; where to go on in every shard is in `resume`.
    latest = tail.lines()[-1]
    assert latest["resume"].count(":") == SHARDS
    told = chain.offices["b"].start("tail", "--no-follow", "-o", "table")
    assert told.end() == 0
    shown = sorted(line.split()[0] for line in told.text().splitlines())
    assert shown == sorted(f"{line['shard']}:{line['position']}" for line in tail.lines())
    second.send(signal.SIGKILL)
    third.send(signal.SIGKILL)
    eventually(lambda: "\nattention    nobody serves 8 shards (0, 1, 2, 3, 4, and 3 more) now" in chain.told("c"))


def test_what_an_orderly_stop_or_a_newcomer_moves_waits_for_no_lease(chain: Chain) -> None:
    chain.open(LONG_TTL_S)
    first, second = chain.central("a"), chain.central("b")
    chain.until_served(4, 4)
    daemon = chain.invd()
    with Trade(chain.stores):
        assert first.send(signal.SIGTERM) == 0
        chain.until_served(8)
        chain.central("c")
        chain.until_served(4, 4)
        assert second.send(signal.SIGTERM) == 0
        chain.until_served(8)
    chain.drain(daemon)
    # What is handed over was released when its last round was done, and not lost to anybody.
    assert "lease.handed_over" in second.actions()
    assert "lease.lost" not in second.actions()


@contextmanager
def frozen_inside_a_transaction(chain: Chain, central: Process) -> Iterator[None]:
    """Stop a central, the only one, at a moment when it holds a shard's row."""
    engine = create_engine(chain.url)
    inside = text(
        "SELECT pid, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE relation = to_regclass('shards')"
        " AND mode = 'RowShareLock' AND wait_event_type = 'Client'"
    )

    def holders() -> set[Any]:
        with engine.connect() as connection:
            return {tuple(row) for row in connection.execute(inside)}

    def stopped_inside() -> bool:
        central.deliver(signal.SIGSTOP)
        found = holders()
        # What it sent just before is still done.
        for _ in range(20):
            found &= holders()
        if not found:
            central.deliver(signal.SIGCONT)
        return bool(found)

    eventually(stopped_inside)
    engine.dispose()
    try:
        yield
    finally:
        central.deliver(signal.SIGCONT)


def test_one_that_is_stopped_inside_a_transaction_past_its_lease_commits_nothing_and_rejoins(chain: Chain) -> None:
    chain.open(SHORT_TTL_S)
    paused = chain.central("a")
    chain.until_served(8)
    daemon = chain.invd()
    with Trade(chain.stores):
        with frozen_inside_a_transaction(chain, paused):
            other = chain.central("b")
            # Also the shard whose row the stopped one had locked: the server cut it off.
            eventually(lambda: chain.shards_of(other) == list(range(SHARDS)), other.err)
        eventually(lambda: "lease.ended" in paused.actions(), paused.err)
        assert scrape(paused)['invcentral_leases_lost_total{reason="ended"}'] >= 1
        chain.until_served(4, 4)
    chain.drain(daemon)
    assert paused.alive()


def scrape(central: Process) -> dict[str, float]:
    [url] = [line["url"] for line in central.told() if line["action"] == "watch.serving"]
    return watching.scrape(url)


@contextmanager
def user_of_its_own(url: str) -> Iterator[tuple[str, Callable[[bool], None]]]:
    """Give a URL with a user of its own, and what lets that user in, or cuts it off."""
    name = f"invctl_test_{secrets.token_hex(8)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def run(*statements: str) -> None:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def let_in(may: bool) -> None:
        if may:
            run(f"ALTER ROLE {name} LOGIN")
        else:
            cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
            run(f"ALTER ROLE {name} NOLOGIN", cut)

    run(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{name}'")
    try:
        yield make_url(url).set(username=name, password=name).render_as_string(hide_password=False), let_in
    finally:
        run(f"DROP ROLE {name}")
        engine.dispose()


def test_one_that_reaches_the_broker_alone_leaves_its_shards_to_the_other_and_comes_back(chain: Chain) -> None:
    chain.open(SHORT_TTL_S)
    with user_of_its_own(chain.url) as (url, let_in):
        chain.offices["b"].environ["INVCENTRAL_DATABASE_URL"] = url
        whole, half = chain.central("a"), chain.central("b")
        eventually(lambda: len(chain.shards_of(whole)) == len(chain.shards_of(half)) == SHARDS // 2)
        daemon = chain.invd()
        with Trade(chain.stores):
            let_in(False)
            eventually(lambda: chain.shards_of(whole) == list(range(SHARDS)), half.err)
            shown = scrape(half)
            assert (shown["invcentral_shards_held"], shown["invcentral_centrals"], shown["invctl_ready"]) == (0, 0, 0)
            assert not any(name.startswith("invcentral_store_") for name in shown)
            assert scrape(whole)["invcentral_shards_held"] == SHARDS
            # Its operator is told what it does, although the database cannot be asked.
            eventually(lambda: "\npaused       database failed " in chain.told("b", 7), half.err)
            assert "\nprocess      waits for a lease, runs since " in chain.told("b", 7)
            let_in(True)
            eventually(lambda: len(chain.shards_of(whole)) == len(chain.shards_of(half)) == SHARDS // 2, half.err)
        chain.drain(daemon)
        # It handed over what it could not serve: no lease was left to its time.
        assert "lease.handed_over" in half.actions()
        half.send(signal.SIGKILL)


def test_a_central_that_finds_a_newer_schema_says_so_and_ends(chain: Chain) -> None:
    """As an upgrade leaves it: the newer revision, and no fence."""
    chain.open(LONG_TTL_S)
    central = chain.central("a")
    chain.until_served(8)
    daemon = chain.invd()
    engine = create_engine(chain.url)
    with Trade(chain.stores):
        eventually(lambda: chain.status().events > 0)
        with engine.begin() as connection:
            [current] = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            connection.execute(text("UPDATE shards SET fence = NULL"))
        assert central.end() == 8
    # Up to the last line it is a log.
    last = central.told()[-1]
    assert last["action"] == "central.failed"
    assert "made by a newer invcentral" in last["message"]
    assert "upgrade this program" in last["hint"]
    assert chain.offices["a"].start("run").end() == 8
    # Nobody had to wait for its leases, or to count it any longer.
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :current"), {"current": current})
    assert chain.served() == []
    chain.central("b")
    chain.until_served(8)
    chain.drain(daemon)
    engine.dispose()
