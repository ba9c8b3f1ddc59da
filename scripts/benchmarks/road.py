"""On the way: how long an event takes to head office, how fast a backlog drains, what an idle daemon costs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import redis
from pysqlite3 import dbapi2

from invctl.clock import parse_time
from invctl.ledger import reservations
from invctl.ledger.ledger import Ledger
from scripts.benchmarks import ledgers
from scripts.benchmarks.figure import Benchmark, Goal, figure_of, quantile, take_turns
from scripts.chain.folder import ChainFolder
from scripts.chain.processes import stop_together
from scripts.chain.runner import ROOT, ChainRunner
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.benchmarks.figure import Figure, Lab

EVENTS_A_SECOND = 200
_TIMEOUT_S = 300.0
_STORES = 20


@contextmanager
def _chain(lab: Lab, folder: ChainFolder, *, log_level: str = "info", couriers: bool = True) -> Iterator[ChainRunner]:
    """Run head office, and one `invd` for the ledgers in a folder, on a broker of their own."""
    broker = lab.start_broker()
    runner = ChainRunner(folder, lab.processes, broker, f"bench-{folder.path.name}")
    runner.start_central(log_level=log_level)
    if couriers:
        runner.start_courier("all", folder.homes())
        runner.wait_for_links()
    try:
        yield runner
    finally:
        stop_together(lab.processes.alive, 10.0)


def latency(lab: Lab) -> list[Figure]:
    """Measure from a commit at the store to the commit at head office, event by event."""
    lab.step("latency, opening a chain")
    folder = ChainFolder(lab.room("latency"))
    ledgers.opened(folder.home("downtown"), "downtown", 1).close()
    seconds = max(8 * lab.scale, 0.5)
    with _chain(lab, folder, log_level="debug") as runner, Ledger.open(folder.home("downtown")) as ledger:
        bare = _BareJourney(lab.room("latency"), runner.environ["INVCTL_REDIS_URL"])
        log = next(child.log for child in lab.processes.alive if child.name.startswith("invcentral"))

        def ours() -> list[float]:
            committed_us = {}

            def once() -> None:
                receipt = reservations.reserve(ledger, {ledgers.sku_of(0): 1})
                committed_us[receipt.seq] = time.time_ns() // 1000

            _paced(once, seconds)
            last = max(committed_us)
            if not wait_until(lambda: last in _commits_us(log), timeout_s=_TIMEOUT_S):
                raise AssertionError("head office did not commit the last event")
            at_central_us = _commits_us(log)
            return sorted((at_central_us[seq] - moment) / 1000 for seq, moment in committed_us.items())

        def reference() -> list[float]:
            took_ms: list[float] = []

            def once() -> None:
                began_s = time.perf_counter()
                bare.once()
                took_ms.append((time.perf_counter() - began_s) * 1000)

            _paced(once, seconds)
            return sorted(took_ms)

        _paced(lambda: reservations.reserve(ledger, {ledgers.sku_of(0): 1}), 0.5)
        pairs = []
        for number in range(lab.rounds(3)):
            lab.step(f"latency, round {number + 1} of {lab.rounds(3)}")
            pairs.append((ours(), reference()))
        bare.close()
    figures = []
    for name, share in (("latency_p50", 0.5), ("latency_p99", 0.99)):
        rounds = [(quantile(mine, share), quantile(other, share)) for mine, other in pairs]
        beside = {"events_per_second": EVENTS_A_SECOND}
        figures.append(figure_of(name, rounds, unit="ms", better="lower", goal=Goal(ratio=4), beside=beside))
    return figures


class _BareJourney:
    """Two durable commits, and a round trip to the broker between them."""

    def __init__(self, folder: Path, url: str) -> None:
        self._store = apsw.Connection(str(folder / "store.db"))
        self._store.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
        self._store.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body)")
        self._central = dbapi2.connect(folder / "central.db", isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._central.execute(f"PRAGMA {pragma}")
        self._central.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body)")
        self._client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
        self._body = b"x" * 500

    def once(self) -> None:
        """Take one event there."""
        self._store.execute("INSERT INTO events (body) VALUES (?)", (self._body,))
        self._client.publish("bare", self._body)
        self._central.execute("INSERT INTO events (body) VALUES (?)", (self._body,))

    def close(self) -> None:
        """Let go of everything."""
        self._store.close()
        self._central.close()
        self._client.close()


def _paced(once: Callable[[], object], seconds: float) -> None:
    """Call it `EVENTS_A_SECOND` times a second. What comes late does not move the ones after it."""
    began_s = time.perf_counter()
    for number in range(round(seconds * EVENTS_A_SECOND)):
        left_s = began_s + number / EVENTS_A_SECOND - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        once()


def _commits_us(log: Path) -> dict[int, int]:
    """Return when each event of the only store was committed, as head office logs it just after its commit."""
    found: dict[int, int] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"events.committed"' in line:
            said = json.loads(line)
            moment_us = parse_time(said["time"])
            for seq in range(said["seq"] - said["events"] + 1, said["seq"] + 1):
                found[seq] = moment_us
    return found


def drain(lab: Lab) -> list[Figure]:
    """Measure how fast head office takes what twenty stores have waiting."""
    lab.step("drain, filling ledgers")
    events = lab.amount(200_000, 400)
    filled = ChainFolder(lab.room("drain"))
    for number in range(_STORES):
        home = filled.home(f"store-{number:02d}")
        with ledgers.opened(home, home.name, 100) as ledger:
            ledgers.hasten(ledger)
            ledgers.trade(ledger, events // _STORES, [ledgers.sku_of(sku) for sku in range(100)])
    total = sum(_head(home) for home in filled.homes())

    def ours() -> float:
        folder = ChainFolder(lab.room("drain"))
        for home in filled.homes():
            ledgers.copied(home, folder.home(home.name))
        with _chain(lab, folder, couriers=False) as runner, closing(_Eye(folder.central_file)) as eye:
            _until_served(lab, eye)
            runner.start_courier("all", folder.homes())
            log = next(child.log for child in lab.processes.alive if child.name.startswith("invd"))
            if not wait_until(lambda: b'"bus.subscribed"' in log.read_bytes(), timeout_s=_TIMEOUT_S, every_s=0.005):
                raise AssertionError("the daemon does not come up")
            began_s = time.perf_counter()
            if not wait_until(lambda: eye.position() >= total, timeout_s=_TIMEOUT_S, every_s=0.005):
                raise AssertionError(f"{eye.position()} of {total} events arrived")
            rate = total / (time.perf_counter() - began_s)
        shutil.rmtree(folder.path)
        return rate

    def bare() -> float:
        folder = lab.room("bare")
        broker = lab.start_broker()
        command = [sys.executable, "-P", "-m", "scripts.benchmarks.bare_pipeline"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        receiver = subprocess.Popen(
            [*command, "receive", broker.url, str(folder / "bare.db"), str(total)], env=environ, stdout=subprocess.PIPE
        )
        assert receiver.stdout is not None
        receiver.stdout.readline()
        sender = subprocess.Popen([*command, "send", broker.url, *map(str, filled.homes())], env=environ)
        # From its first row on: what a program takes to start is no part of it, there or here.
        database = folder / "bare.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as eye:
            wait_until(lambda: _any_row(eye), timeout_s=_TIMEOUT_S, every_s=0.001)
            began_s = time.perf_counter()
        if sender.wait() or receiver.wait():
            raise AssertionError("the bare pipeline failed")
        took_s = time.perf_counter() - began_s
        stop_together(lab.processes.alive, 10.0)
        shutil.rmtree(folder)
        return total / took_s

    rounds = take_turns(lab.rounds(3), ours, bare, lab.step, "drain")
    return [
        figure_of("drain", rounds, unit="events/s", better="higher", goal=Goal(0.5, 27_000), beside={"events": total})
    ]


class _Eye:
    """Looks at head office's database, past the product."""

    def __init__(self, path: Path) -> None:
        self._connection = dbapi2.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def position(self) -> int:
        """Return how many events were committed."""
        return int(self._connection.execute("SELECT position FROM shards").fetchone()[0])

    def is_held(self) -> bool:
        """Tell whether a central has taken the shard."""
        return self._connection.execute("SELECT fence FROM shards").fetchone()[0] is not None

    def close(self) -> None:
        """Look no more."""
        self._connection.close()


def _until_served(lab: Lab, eye: _Eye) -> None:
    if not wait_until(eye.is_held, timeout_s=_TIMEOUT_S):
        raise AssertionError(f"head office does not come up: {lab.processes.alive[-1].log_tail(3)}")


def _any_row(eye: sqlite3.Connection) -> bool:
    return eye.execute("SELECT 1 FROM archive LIMIT 1").fetchone() is not None


def _head(home: Path) -> int:
    with Ledger.open(home) as ledger:
        return int(ledger.row("SELECT max(seq) FROM events")[0])


def idle(lab: Lab) -> list[Figure]:
    """Measure what a daemon takes of a core while nothing happens."""
    lab.step("idle, opening a chain")
    folder = ChainFolder(lab.room("idle"))
    ledgers.opened(folder.home("downtown"), "downtown", 5).close()
    seconds = max(20 * lab.scale, 1)
    with _chain(lab, folder) as runner, ExitStack() as held:
        daemon = next(child for child in lab.processes.alive if child.name.startswith("invd"))
        code = (
            "import sys, redis; client = redis.Redis.from_url(sys.argv[1]); frames = client.pubsub();"
            "frames.subscribe('bare'); frames.get_message(timeout=5); print('ready', flush=True); sys.stdin.readline()"
        )
        bare = held.enter_context(
            subprocess.Popen(
                [sys.executable, "-P", "-c", code, runner.environ["INVCTL_REDIS_URL"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert bare.stdout is not None
        bare.stdout.readline()
        lab.step("idle, waiting")
        time.sleep(min(3.0, seconds))
        pids = (daemon.pid, bare.pid)
        before = [_cpu_s(pid) for pid in pids]
        began_s = time.perf_counter()
        time.sleep(seconds)
        passed_s = time.perf_counter() - began_s
        ours, reference = ((_cpu_s(pid) - was) / passed_s * 100 for pid, was in zip(pids, before, strict=True))
        memory = {"memory_mb": _memory_mb(daemon.pid), "reference_memory_mb": _memory_mb(bare.pid)}
        bare.communicate(b"\n")
    rounds = [(ours, reference)]
    return [figure_of("idle", rounds, unit="% of a core", better="lower", goal=Goal(ours=0.5), beside=memory)]


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process and its threads, in the kernel's ticks of a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (resident,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return round(int(resident) / 1024, 1)


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        "latency",
        f"commit at the store to committed at head office, at {EVENTS_A_SECOND} events a second",
        "one Redis round trip and two durable commits",
        latency,
    ),
    Benchmark(
        "drain",
        f"200,000 events that {_STORES} stores have waiting, until head office has committed them, all checks on",
        "a bare pipeline: read rows, frame, Pub/Sub, decode, bulk upsert and archive, commit",
        drain,
    ),
    Benchmark("idle", "an `invd` with nothing to do", "an idle Python process with redis-py connected", idle),
)
