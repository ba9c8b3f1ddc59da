"""A small chain for one fault: a broker, two stores with clerks, head office, each a real process in our hands."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import redis

from central.database import open_database, reading
from central.reads import list_stores
from invctl.clock import SystemClock
from invctl.ledger import reads
from invctl.ledger.ledger import FILE, Ledger
from invctl.sync import channels
from scripts.chain.broker import start_broker
from scripts.chain.catalogue import catalogue
from scripts.chain.folder import ChainFolder
from scripts.chain.journal import Journal
from scripts.chain.runner import ROOT, environment
from scripts.chain.schema import schema_of_its_own
from scripts.chain.verdict import ask_for_proof
from scripts.chain.waiting import wait_until
from scripts.seed import seed_store
from scripts.trouble.failing_calls import failing
from scripts.trouble.far_side import FarSide
from scripts.trouble.postgres_server import LOOPBACK, PostgresServer
from scripts.trouble.scenario import LackingError, OtherwiseError
from scripts.trouble.victim import MODULE as VICTIM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

    from scripts.chain.processes import Child
    from scripts.chain.workspace import Workspace
    from scripts.trouble.failing_calls import Failing

STORE, OTHER_STORE = "downtown", "midtown"
PATIENCE_S = 60.0
"""It only ends a run that has failed."""
LEASE_TTL_S = 3.0
BACKLOG = 20_000
RATE_EACH = 8.0
_COMMAND_TIMEOUT_S = 90.0
# It replays all that a store ever did: of a large backlog that takes minutes.
_VERIFY_TIMEOUT_S = 900.0
_CLERK_ENDS_S = 60.0
_DAEMON_ENDS_S = 15.0
_SHARDS = 2
_FAKE = "fakeredis"


class Trap(NamedTuple):
    """A signal that a process is to get at a point of its own code (see `victim`), at the nth time."""

    point: str
    nth: int = 1
    signal: str = "SIGKILL"


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        """The line of JSON that it wrote: its result, or its error."""
        text = (self.out if self.code == 0 else self.err).strip()
        try:
            return json.loads(text.splitlines()[-1])
        except (IndexError, ValueError):
            raise OtherwiseError(f"not the JSON of a command (exit code {self.code}): {text[-400:]}") from None


class Scene:
    """Everything that one fault needs. What it starts ends with its workspace."""

    def __init__(
        self, workspace: Workspace, held: ExitStack, postgres_url: str | None, *, backlog: int = BACKLOG
    ) -> None:
        """Open two stores, and start a broker.

        Args:
            workspace: the folder, and the processes.
            held: what is to be given back in the end.
            postgres_url: a server for the faults that take one.
            backlog: how many events wait in a store that was away for long.

        """
        self.path = workspace.path
        self.held = held
        self.backlog = backlog
        self.remarks: list[str] = []
        self._processes = workspace.processes
        self._postgres_url = postgres_url
        self.chain = ChainFolder(self.path)
        self._brought: list[str] = []
        self._clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("INVCTL_", "INVCENTRAL_"))
        }
        self.broker = start_broker(workspace.processes, self.path, self._clean, self._brought.append)
        self._broker_process = self.broker.process
        self.namespace = f"chaos-{secrets.token_hex(4)}"
        self._environ = environment(self.broker.url, self.namespace, self.chain)
        self._environ["INVCENTRAL_LEASE_TTL_S"] = str(LEASE_TTL_S)
        self._starts: Counter[str] = Counter()
        self._clerks: list[Child] = []
        self._daemons: list[Child] = []
        self._centrals: list[Child] = []
        self._since_us = SystemClock().now_us()
        self._began_s = SystemClock().monotonic_s()
        for wanted in catalogue(stores=2, products=3):
            seed_store(self.chain.home(wanted.store), wanted)

    # What is expected

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises OtherwiseError, with `what` was waited for, where it does not come."""
        if not wait_until(condition, timeout_s=PATIENCE_S, every_s=0.05):
            raise OtherwiseError(f"it did not come: {what}; {self.last_words()}")

    @staticmethod
    def expect(holds: bool, what: str) -> None:
        """Raise OtherwiseError where something is not so."""
        if not holds:
            raise OtherwiseError(f"not so: {what}")

    def remark(self, what: str) -> None:
        """Tell a figure, beside the outcome."""
        self.remarks.append(what)

    def last_words(self) -> str:
        """Return the last line that each daemon logged."""
        return "; ".join(f"{child.name}: {child.log_tail(1)[-300:]}" for child in [*self._daemons, *self._centrals])

    # Head office

    def use_postgres(self) -> None:
        """Keep head office's database in a PostgreSQL, so that two centrals can be at work. Before `found`."""
        if self._postgres_url is None:
            raise LackingError("needs a PostgreSQL: --central-url")
        own = schema_of_its_own(self._postgres_url, self.path, keep=False, say=self._brought.append)
        self._environ["INVCENTRAL_DATABASE_URL"] = self.held.enter_context(own)

    def use_postgres_of_its_own(self, host: str = LOOPBACK, *, through: Sequence[str] = ()) -> PostgresServer:
        """Keep head office's database in a PostgreSQL that is started for this fault. Before `found`.

        It listens at `host` alone, and `through` is what runs it.
        """

        def start(command: list[str]) -> Child:
            return self._processes.start([*through, *command], name="postgres", env=self._clean)

        server = PostgresServer(self.path / "postgres", start, host)
        self.held.callback(server.close)
        self._environ["INVCENTRAL_DATABASE_URL"] = server.url
        return server

    def found(self) -> None:
        """Found head office's database."""
        shards = ["--shards", str(_SHARDS)] if self._environ["INVCENTRAL_DATABASE_URL"].startswith("postgres") else []
        done = self.office("init", *shards)
        self.expect(done.code == 0, f"head office is founded: {done.err.strip()}")

    def central(self, trap: Trap | None = None, *, number: int = 1, through: Sequence[str] = (), **more: str) -> Child:
        """Start a central, which admits any store. `through` is what runs it, `more` is added to its environment."""
        home = self.chain.central_home(number)
        home.mkdir(exist_ok=True)
        arguments = ["--home", str(home), "run", "--admit-any", "--log-format", "json"]
        command = [*through, *_command("central", arguments, trap)]
        child = self._start(self._log_name(f"invcentral-{number}"), command, more)
        self._centrals.append(child)
        return child

    def office(self, *argv: str) -> Done:
        """Run a command of `invcentral`."""
        return self._run("central", argv)

    def applied(self, store: str = STORE) -> int:
        """Return the last event of a store that is committed at head office; -1 where it does not know the store."""
        engine = open_database(self.database_url, clock=SystemClock())
        try:
            with reading(engine) as connection:
                return next((row.fresh.as_of_seq for row in list_stores(connection) if row.store == store), -1)
        finally:
            engine.dispose()

    def until_applied(self, store: str, seq: int) -> None:
        """Wait until head office has a store's events up to this one."""
        self.until(lambda: self.applied(store) >= seq, f"head office applies event {seq} of {store}")

    @property
    def database_url(self) -> str:
        """Head office's database."""
        return self._environ["INVCENTRAL_DATABASE_URL"]

    def reset_central(self, *more: str) -> None:
        """Empty head office's database."""
        done = self._run("scripts.reset", (str(self.path), "--central", "--yes", *more))
        self.expect(done.code == 0, f"head office is reset: {done.err.strip()}")

    # The stores

    def invd(
        self,
        store: str = STORE,
        trap: Trap | None = None,
        *,
        home: Path | None = None,
        through: Sequence[str] = (),
        **more: str,
    ) -> Child:
        """Start a store's daemon. `through` is what runs it, `more` is added to its environment."""
        home = home or self.chain.home(store)
        arguments = ["run", str(home), "--log-format", "json"]
        command = [*through, *_command("daemon", arguments, trap)]
        child = self._start(self._log_name(f"invd-{home.name}"), command, more)
        self._daemons.append(child)
        return child

    def clerk(
        self,
        *argv: str,
        store: str = STORE,
        home: Path | None = None,
        trap: Trap | None = None,
        through: Sequence[str] = (),
    ) -> Done:
        """Run a command of `invctl`, with `-o json`. `through` is what runs it."""
        place = {"INVCTL_HOME": str(home or self.chain.home(store))}
        return self._run("invctl", (*argv, "-o", "json"), place, trap, through)

    def status(self, store: str = STORE, *, home: Path | None = None) -> Any:
        """Return what `invctl status` says."""
        return self.clerk("status", store=store, home=home).record

    def sell(self, request_id: str, store: str = STORE) -> Done:
        """Receive one unit more, by a request that is noted as done where the clerk was told so."""
        done = self.clerk("receive", self.sku, "1", "--request-id", request_id, store=store)
        if done.code == 0:
            with Journal(self.chain.journal(store)) as told:
                told.note(request_id)
        return done

    @property
    def sku(self) -> str:
        """An item that each store carries."""
        return catalogue()[0].products[0].sku

    def stock(self, store: str = STORE, *, home: Path | None = None) -> tuple[int, int]:
        """Return what is on hand and what is reserved of `sku`."""
        (row,) = self.clerk("stock", self.sku, store=store, home=home).record
        return row["on_hand"], row["reserved"]

    def head_seq(self, store: str = STORE) -> int:
        """Return the last event of a ledger."""
        with Ledger.open(self.chain.home(store)) as ledger:
            return reads.status(ledger).head_seq

    def acked_seq(self, store: str = STORE) -> int:
        """Return the last event that head office is known to have."""
        with Ledger.open(self.chain.home(store)) as ledger:
            return reads.status(ledger).link.acked_seq

    def is_level(self, store: str = STORE) -> bool:
        """Whether head office has all that the store has, and the store knows it."""
        with Ledger.open(self.chain.home(store)) as ledger:
            now = reads.status(ledger)
        return bool(now.link.state == "up" and self.applied(store) == now.head_seq == now.link.acked_seq)

    def until_level(self, *stores: str) -> None:
        """Wait until everything of these stores, by default of all, has arrived."""
        for store in stores or (STORE, OTHER_STORE):
            self.until(partial(self.is_level, store), f"everything of {store} is at head office")

    def copy_ledger(self, to: Path, *, home: Path | None = None) -> Path:
        """Copy a ledger as it is now, as `cp` of a snapshot does: no word of it goes to anybody."""
        to.mkdir(parents=True)
        copy_database((home or self.chain.home(STORE)) / FILE, to / FILE)
        return to

    def put_back(self, copy: Path, store: str = STORE) -> None:
        """Put a copied ledger in the place of the one that is there, with no word to anybody."""
        put_database_back(copy / FILE, self.chain.home(store) / FILE)

    def become(self, home: Path, store: str = STORE) -> None:
        """Let the ledger in another folder be the store's from now on. Nobody may be at work in either."""
        self.put_back(self.copy_ledger(home.with_name(f"{home.name}-now"), home=home), store)

    def daemon_of(self, name: str) -> Child:
        """Return the daemon that was started last for a home of this name."""
        return next(child for child in reversed(self._daemons) if child.name.startswith(f"invd-{name}."))

    # Clerks at work

    def trade(self, *stores: str) -> None:
        """Let clerks work in these stores, by default in both, until `stop_trading`: commands and calls, at random."""
        for store in stores or (STORE, OTHER_STORE):
            home, journal = self.chain.home(store), self.chain.journal(store)
            arguments = [str(home), str(journal), "--rate", str(RATE_EACH), "--seed", str(len(self._clerks))]
            command = _command("scripts.chain.clerks", arguments, None)
            self._clerks.append(self._start(f"clerk-{store}", command, {}))

    def stop_trading(self) -> None:
        """Let the clerks finish what they are at, and go home."""
        for clerk in self._clerks:
            clerk.ask_to_end()
        for clerk in self._clerks:
            if clerk.wait(_CLERK_ENDS_S) not in {0, -signal.SIGTERM}:
                raise OtherwiseError(f"{clerk.name} did not go home in order: {clerk.log_tail(3)}")
        self._clerks.clear()

    # Processes

    def stop(self, child: Child) -> None:
        """Ask a daemon to end, and see that it does."""
        # One that has only begun to start would die of the signal, as anything does.
        self.until_logged(child, ".started")
        child.ask_to_end()
        code = child.wait(_DAEMON_ENDS_S)
        if code != 0:
            raise OtherwiseError(f"{child.name} did not end in order (exit code {code}): {child.log_tail(3)}")

    def until_killed(self, child: Child) -> None:
        """Wait until a process has walked into its trap."""
        self.until(lambda: not child.alive(), f"{child.name} is killed at its point")
        self.expect(child.returncode == -signal.SIGKILL, f"{child.name} was killed by its trap: {child.log_tail(3)}")

    def until_ended(self, central: Child, code: int) -> None:
        """Wait until a central has ended by itself, as it should, with this exit code."""
        self.until(lambda: not central.alive(), f"{central.name} ends")
        self.expect(central.returncode == code, f"{central.name} ends with {code}: {central.log_tail(3)}")
        self._centrals.remove(central)

    def until_logged(self, child: Child, action: str, times: int = 1) -> None:
        """Wait until a daemon has logged an action, given by the end of its name, so many times."""
        mark = f'{action}"'

        def logged() -> bool:
            return child.log.read_text(encoding="utf-8", errors="replace").count(mark) >= times

        self.until(logged, f"{child.name} logs {action}")

    def kill_broker(self) -> None:
        """Kill the broker (-9)."""
        assert self._broker_process is not None
        self._broker_process.kill()

    def restart_broker(self) -> None:
        """Start the broker anew, on its old port, and empty."""
        assert self.broker.start is not None
        self._broker_process = self.broker.start()

    def far_side(self) -> FarSide:
        """Make a network of its own, at the far end of a cable. Raises LackingError."""
        far = FarSide(lambda command: self._processes.start(command, name="far-side", env=self._clean))
        self.held.callback(far.close)
        return far

    def broker_for(self, far: FarSide) -> str:
        """Let the broker be reached from the far side, too. Returns its URL there. Raises LackingError."""
        url = self.real_broker_url
        with closing(redis.Redis.from_url(url)) as client:
            # There is no password, so it would serve its own machine alone.
            client.config_set("protected-mode", "no")
            client.config_set("bind", f"{LOOPBACK} {far.near}")
        return url.replace(LOOPBACK, far.near)

    def failing(self, pids: Callable[[], Sequence[int]], how: Failing, log: Path) -> AbstractContextManager[None]:
        """Let system calls of running processes fail meanwhile. Raises LackingError."""
        return failing(pids, how, log, lambda command: self._processes.start(command, name="strace", env=self._clean))

    @property
    def real_broker_url(self) -> str:
        """The URL of the broker. Raises LackingError where that is only a fake one."""
        if self.broker.description.startswith(_FAKE):
            raise LackingError("needs a real broker: " + "; ".join(self._brought))
        return self.broker.url

    def up(self, store: str = STORE) -> str:
        """Return the name of the channel on which a store speaks."""
        return channels.up(self.namespace, store)

    def down(self, store: str = STORE) -> str:
        """Return the name of the channel on which a store is answered."""
        return channels.down(self.namespace, store)

    # The end

    def prove(self) -> Mapping[str, Any]:
        """Let everything arrive, end all processes, and prove that it holds. Returns the proof.

        The proof is the one of `scripts/demo`: every ledger against head office, byte for byte. Then `invctl verify`
        has to hold in each store, and `invcentral verify` for all. Raises OtherwiseError.
        """
        self.stop_trading()
        self.until_level()
        for child in [*self._daemons, *self._centrals]:
            if child.alive():
                self.stop(child)
        self._expect_no_crash()
        # A daemon lets reservations expire until its last moment.
        if any(self.head_seq(store) != self.acked_seq(store) for store in (STORE, OTHER_STORE)):
            late = [self.central(), self.invd(STORE), self.invd(OTHER_STORE)]
            self.until_level()
            for child in reversed(late):
                self.stop(child)
        proof = ask_for_proof(
            self.chain,
            self._environ,
            since_us=self._since_us,
            broker=self.broker.description,
            seconds=SystemClock().monotonic_s() - self._began_s,
            kills={},
        )
        for name in ("lost", "applied_twice", "oversold", "acknowledged_missing"):
            self.expect(proof[name] == 0, f"the proof says {name} 0; it says {proof[name]}")
        self.expect(bool(proof["equal"]), "head office equals the stores, byte for byte")
        for store in (STORE, OTHER_STORE):
            verdict = self.clerk("verify", store=store)
            self.expect(verdict.code == 0, f"`invctl verify` holds in {store}: {verdict.out}{verdict.err}")
        verdict = self.office("verify", "-o", "json")
        self.expect(verdict.code == 0, f"`invcentral verify` holds: {verdict.out}{verdict.err}")
        return proof

    def _expect_no_crash(self) -> None:
        for child in [*self._daemons, *self._centrals]:
            ended = f"{child.name} ended with {child.returncode}: {child.log_tail(3)}"
            self.expect(child.returncode in {0, -signal.SIGKILL}, f"a daemon ends when it is told to; {ended}")
        for log in sorted((self.path / "logs").glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace").lower()
            self.expect("traceback" not in text, f"nobody meets what nobody expected; {log.name} tells of a traceback")

    def _log_name(self, name: str) -> str:
        """Return a name under which this start has a log of its own."""
        self._starts[name] += 1
        return f"{name}.{self._starts[name]}"

    def _start(self, name: str, command: list[str], more: Mapping[str, str]) -> Child:
        return self._processes.start(command, name=name, env={**self._environ, **more})

    def _run(
        self,
        module: str,
        argv: tuple[str, ...],
        more: Mapping[str, str] | None = None,
        trap: Trap | None = None,
        through: Sequence[str] = (),
    ) -> Done:
        timeout_s = _VERIFY_TIMEOUT_S if argv[0] == "verify" else _COMMAND_TIMEOUT_S
        try:
            done = subprocess.run(
                [*through, *_command(module, list(argv), trap)],
                env={**self._environ, **(more or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                cwd=ROOT,
            )
        except subprocess.TimeoutExpired:
            raise OtherwiseError(f"{module} {' '.join(argv)} did not end in {timeout_s:g} s") from None
        return Done(done.returncode, done.stdout, done.stderr)


def copy_database(file: Path, to: Path) -> None:
    """Copy an SQLite file as of one moment, while others write to it."""
    with closing(apsw.Connection(str(file))) as connection:
        connection.set_busy_timeout(5000)
        connection.execute("VACUUM INTO ?", (str(to),))


def put_database_back(copy: Path, file: Path) -> None:
    """Put a copy in the place of an SQLite file, whose log goes."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, file)


def _command(module: str, arguments: list[str], trap: Trap | None) -> list[str]:
    if trap:
        arguments = [trap.point, trap.signal, str(trap.nth), module, *arguments]
        module = VICTIM
    return [sys.executable, "-P", "-m", module, *arguments]
