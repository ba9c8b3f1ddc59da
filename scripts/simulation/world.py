"""A few stores, head office and a bad bus, in virtual time and from one seed. It watches what must always hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from central.database import open_database, reading, writing
from central.migrations import migrate
from central.shards import found
from central.verify import verify_store
from invctl.bus.faults import Faults
from invctl.clock import ManualClock
from invctl.errors import InventoryError
from invctl.ledger import checkpoints
from invctl.ledger import database as ledger_database
from invctl.ledger import migrations as ledger_migrations
from invctl.ledger.ledger import FILE as LEDGER_FILE
from invctl.ledger.rebase import rebase
from invctl.ledger.verify import verify
from invctl.locks.memory import MemoryLeases, MemoryLocks
from invctl.sync import frames
from invctl.sync.shipper import Link, Shipper
from scripts.simulation.agenda import START_S, Agenda, ViolationError
from scripts.simulation.clocks import VirtualClock
from scripts.simulation.crash import Commits, CrashedError
from scripts.simulation.machine import Machine
from scripts.simulation.model import Model
from scripts.simulation.office import LEASE_TTL_S, Database, Operator, SimCentral
from scripts.simulation.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.ledger.rebase import Rebased
    from invctl.ledger.writing import Receipt

NAMES = ("brooklyn", "downtown", "midtown")
TROUBLE_S = 15.0
DELAY_MAX_S = 3.0
DRAIN_MAX_S = 180.0
"""The longest wait before trying again, some leases, and the heartbeats of a rejoin: there is no wedge."""
QUIET_S = 6.0
OPERATOR_EVERY_S = 3.0
LOOK_EVERY_S = 1.0
STEPS_MAX = 60_000


class Templates(NamedTuple):
    """The bytes of databases that were just set up: to make each anew would take most of the time."""

    ledger: bytes
    central: bytes


@cache
def templates() -> Templates:
    """Return them, made once in this process."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / LEDGER_FILE
        connection = ledger_database.connect(path, create=True)
        connection.execute("PRAGMA journal_mode = WAL")
        ledger_migrations.migrate(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        central = Path(folder) / "central.db"
        engine = open_database(f"sqlite:///{central}", clock=ManualClock(), create=True)
        migrate(engine)
        with writing(engine) as writer:
            found(writer)
            writer.commit()
        with engine.connect() as last:
            last.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()
        return Templates(path.read_bytes(), central.read_bytes())


@dataclass(frozen=True)
class Bugs:
    """Which sides to run: the real ones, or one with a bug planted in it."""

    shipper: Callable[..., Shipper] = Shipper
    locks: Callable[..., MemoryLocks] = MemoryLocks
    rebase: Callable[..., Rebased] = rebase


class World:
    """Everything that happens in it comes from `seed`."""

    def __init__(self, seed: int, folder: Path, *, stores: int = 3, bugs: Bugs | None = None) -> None:
        """Set up stores and head office in a folder, which is theirs alone."""
        self.seed = seed
        self.chance = Random(seed)
        self.bugs = bugs or Bugs()
        self.met: Counter[str] = Counter()
        self.trace: Callable[[str], None] | None = None
        self.agenda = Agenda(STEPS_MAX)
        self.commits = Commits()
        self.templates = templates()
        self.crash_rate = self.commit_failure_rate = self.pause_rate = 0.0
        self.folder = folder
        self.wire = Wire(self.agenda, self._weather(), Random(self.chance.getrandbits(64)), self.met)
        self.leases = MemoryLeases(VirtualClock(self.agenda))
        self.database = Database(self, folder / "office", self.templates.central)
        self.operator = Operator(self)
        self.centrals: list[SimCentral] = []
        self.must_have: dict[str, set[str]] = {name: set() for name in NAMES[:stores]}
        self.ever_applied = dict.fromkeys(self.must_have, 0)
        self.events = 0
        self.is_time_known = True
        """Nobody has set the database's clock, or gone back in time otherwise: claims of freshness can be judged."""
        self.machines = [Machine(self, name, folder / name) for name in self.must_have]
        self.crash_rate = self.chance.choice([0.0, 0.01, 0.05])
        self.commit_failure_rate = self.chance.choice([0.0, 0.02, 0.2])
        self.pause_rate = self.chance.choice([0.0, 0.005, 0.03])
        for machine in self.machines:
            self.wire.listeners[machine.up].append(partial(self._at_centrals, machine.up))

    def run(self) -> World:
        """Trouble, then peace: by the end everything has drained, or ViolationError says what has not."""
        with self.commits.watched():
            try:
                self._run()
            except ViolationError:
                raise
            except Exception as error:
                # Whatever the product raises that nobody here expects.
                raise ViolationError(f"{type(error).__name__}: {error}", "unexpected") from error
            finally:
                self.commits.spare()
        return self

    def close(self) -> None:
        """Give all files back."""
        for machine in self.machines:
            machine.close()
        self.database.close()

    def note(self, channel: str, payload: bytes) -> None:
        """Tell of a frame that is sent."""
        if len(payload) > frames.FRAME_BYTES_MAX:
            raise ViolationError(f"a frame of {len(payload)} bytes", "bounded")
        if self.trace:
            self.tell(f"{channel} {payload.decode(errors='replace')}")

    def tell(self, what: str) -> None:
        """Write a line of the trace."""
        if self.trace:
            self.trace(f"{self.agenda.now_s - START_S:9.4f} {what}")

    def start_central(self) -> None:
        """Start a process of head office, unless there are two."""
        self.centrals = [central for central in self.centrals if central.alive]
        if len(self.centrals) < 2:
            self.centrals.append(SimCentral(self))

    # What must always hold.

    def acknowledge(self, machine: Machine, receipt: Receipt) -> None:
        """Note that a clerk was told that something is done: it must not be forgotten."""
        if receipt.seq:
            self.must_have[machine.store].add(receipt.event.id)
            if not receipt.replayed:
                machine.committed_us.append(self.database.clock.now_us())
            self.tell(f"{machine.home.name} {receipt.seq} {receipt.event.type} {receipt.event.data}")

    def check_acknowledged(self, machine: Machine, acked_seq: int) -> None:
        """See that a store takes nothing for delivered that head office never had."""
        applied = self.ever_applied[machine.store] = max(
            self.ever_applied[machine.store], self.database.applied(machine.store)
        )
        if acked_seq > applied:
            raise ViolationError(f"{machine.store} takes {acked_seq} for acknowledged, {applied} was applied", "acked")

    def check_answer(self, payload: bytes) -> None:
        """See that an answer tells only what is committed."""
        answer = frames.decode_down(payload)
        if isinstance(answer, frames.Ack):
            self.met["gap asked for"] += answer.want_from is not None
            applied = self.database.applied(answer.store)
            self.ever_applied[answer.store] = max(self.ever_applied[answer.store], applied)
            if answer.applied_seq > self.ever_applied[answer.store]:
                raise ViolationError(f"{answer.store} was told {answer.applied_seq}, committed is {applied}", "acked")

    def check_fresh(self) -> None:
        """See that whatever a store had committed by the moment up to which its numbers are proved is applied."""
        if self.is_time_known:
            for machine in self.machines:
                fresh_us = self.database.fresh_us(machine.store)
                committed = sum(at_us <= fresh_us for at_us in machine.committed_us)
                if committed > self.database.applied(machine.store):
                    raise ViolationError(
                        f"{machine.store} is shown as of {fresh_us}, when it had committed {committed} events", "fresh"
                    )

    def check_drained(self) -> None:
        """Hold everything against everything, now that there was peace for long enough."""
        for machine in self._in_service():
            store, shipper = machine.store, machine.shipper
            assert shipper is not None
            state, bodies = shipper.state, machine.bodies()
            archive = self.database.archive(store)
            if archive != bodies:
                raise ViolationError(f"{store}: {len(archive)} of {len(bodies)} events have come; {state}", "drained")
            if (state.acked_seq, state.link) != (len(bodies), Link.UP):
                raise ViolationError(f"{store} does not know that all has come: {state}", "drained")
            if machine.ledger.frozen():
                raise ViolationError(f"{store} is still frozen: {machine.ledger.frozen()}", "drained")

    def check_histories(self) -> None:
        """Work each history out again, by the product's own replay and by a model that shares nothing with it."""
        for machine in self._in_service():
            self._check_history(machine)
            self._check_shown(machine)
            if findings := verify(machine.ledger).findings:
                raise ViolationError(f"the ledger of {machine.store}: {findings[0]}", "verify")
        for store in self.must_have:
            with reading(self.database.engine) as connection:
                findings = verify_store(connection, store).findings
            if findings:
                raise ViolationError(f"head office, of {store}: {findings[0]}", "central_verify")

    def _check_history(self, machine: Machine) -> None:
        store = machine.store
        model = Model(store)
        for seq, body in enumerate(machine.bodies(), 1):
            model.take(seq, body)
        model.close()
        if model.wrong:
            raise ViolationError(model.wrong[1], model.wrong[0])
        if missing := self.must_have[store] - model.ids:
            raise ViolationError(f"{store} forgot {len(missing)} events that clerks were told of", "nothing_lost")
        if machine.levels() != model.levels:
            raise ViolationError(f"the levels of {store} are not what its events come to", "projection")
        self.events += len(model.ids)

    def _check_shown(self, machine: Machine) -> None:
        """Hold what head office shows of a store against the store's own tables."""
        store = machine.store
        if self.database.levels(store) != machine.levels():
            raise ViolationError(f"head office shows other levels of {store}", "central_projection")
        statuses = dict(machine.ledger.rows("SELECT reservation, status FROM reservations"))
        if self.database.reservations(store) != statuses:
            raise ViolationError(f"head office shows other reservations of {store}", "central_projection")

    # Trade, trouble and peace.

    def _run(self) -> None:
        for name in self.must_have:
            if self.chance.random() < 0.9:
                self._try(partial(self.operator.admit, name))
        for _ in range(2):
            self.start_central()
        for machine in self.machines:
            machine.start()
        self.agenda.after(0.1, self._trade)
        self.agenda.after(0.5, self._trouble)
        self.agenda.run(START_S + TROUBLE_S)
        self.tell("PEACE")
        self._heal()
        self._drain()
        # What was delayed in the trouble has come by then.
        self.agenda.run(self.agenda.now_s + max(QUIET_S, DELAY_MAX_S))
        self._end_holds()
        self.agenda.run(self.agenda.now_s + QUIET_S)
        self._drain()
        self.check_histories()

    def _drain(self) -> None:
        until_s = self.agenda.now_s + DRAIN_MAX_S
        while self.agenda.now_s < until_s and not self._has_drained():
            self.agenda.run(self.agenda.now_s + LOOK_EVERY_S)
        self.check_drained()

    def _trade(self) -> None:
        if self.agenda.now_s < START_S + TROUBLE_S:
            self.chance.choice(self.machines).work()
            self.agenda.after(self.chance.expovariate(8.0), self._trade)

    def _end_holds(self) -> None:
        """Trade goes on after all that."""
        for machine in self._in_service():
            for _ in range(3):
                machine.work()
            checkpoints.append(machine.ledger)

    def _heal(self) -> None:
        """From now on nothing goes wrong, whoever was down comes back, and the operator does what is his to do."""
        self.crash_rate = self.commit_failure_rate = self.pause_rate = 0.0
        self.wire.heal()
        self.leases.start()
        for central in self.centrals:
            central.locks.heal()
        self.start_central()
        self.start_central()
        for store in self.must_have:
            of_store = [machine for machine in self.machines if machine.store == store and not machine.is_stopped]
            kept = self.chance.choice(of_store)
            self._destroying(store, [machine.stop for machine in of_store if machine is not kept])
        for machine in self._in_service():
            machine.start()
        self._operate()

    def _operate(self) -> None:
        for machine in self._in_service():
            if not self.database.is_admitted(machine.store):
                self.operator.admit(machine.store)
            self.operator.readmit(machine)
        self.agenda.after(OPERATOR_EVERY_S, self._operate)

    def _in_service(self) -> list[Machine]:
        return [machine for machine in self.machines if not machine.is_stopped]

    def _has_drained(self) -> bool:
        for machine in self._in_service():
            shipper = machine.shipper
            if shipper is None or shipper.state.link is not Link.UP:
                return False
            if self.database.applied(machine.store) != machine.ledger.row("SELECT max(seq) FROM events")[0]:
                return False
        try:
            self.check_drained()
        except ViolationError:
            return False
        return True

    def _destroying(self, store: str, actions: list[Callable[[], None]]) -> None:
        """Do what destroys copies of events; those of which none is left cannot be had again."""
        if not actions:
            return
        before = self._surviving(store)
        for action in actions:
            action()
        self.must_have[store] -= before - self._surviving(store)

    def _surviving(self, store: str) -> set[str]:
        machines = [machine for machine in self.machines if machine.store == store and not machine.is_stopped]
        return self.database.ids(store).union(*(machine.ids() for machine in machines))

    def _at_centrals(self, channel: str, payload: bytes) -> None:
        for central in self.centrals:
            central.hear(channel, payload)

    def _weather(self) -> Faults:
        def rate(*rates: float) -> float:
            return self.chance.choice([0.0, *rates])

        return Faults(
            drop=rate(0.05, 0.3),
            double=rate(0.1, 0.4),
            delay=rate(0.02, 0.1),
            reorder=rate(0.1, 0.4),
            truncate=rate(0.03, 0.1),
            flip=rate(0.03, 0.1),
            latency_s=self.chance.choice([0.001, 0.02, 0.2]),
            delay_max_s=DELAY_MAX_S,
            reorder_max_s=0.5,
        )

    # What goes wrong.

    def _trouble(self) -> None:
        if self.agenda.now_s < START_S + TROUBLE_S:
            happens, weight = zip(*self._troubles(), strict=True)
            trouble = self.chance.choices(happens, weight)[0]
            self.tell(trouble.__name__)
            self._try(lambda: trouble(self.chance.choice(self._in_service())))
            self.agenda.after(self.chance.expovariate(1.0), self._trouble)

    def _try(self, action: Callable[[], object]) -> None:
        """Do something at head office that its database may refuse just then."""
        try:
            action()
        except (InventoryError, CrashedError) as error:
            self.met[f"an operator's command failed: {type(error).__name__}"] += 1

    def _troubles(self) -> list[tuple[Callable[[Machine], None], float]]:
        return [
            (self._cut_off, 2),
            (self._kill_daemon, 2),
            (self._kill_central, 1),
            (self._pause_central, 1),
            (self._empty_the_broker, 1),
            (self._old_frame, 3),
            (self._move_a_clock, 1),
            (self._take_copies, 2),
            (self._restore_store, 1),
            (self._clone_store, 0.5),
            (self._restore_central, 0.7),
            (self._reset_central, 0.3),
            (self._cut_central_off, 1),
            (self._spoil_a_level, 1),
            (self._admit, 1),
        ]

    def _cut_off(self, machine: Machine) -> None:
        """Partition a store, in, out or both; whether a publish fails or vanishes, nobody says."""
        ways = self.chance.choice([[machine.up], [machine.down], [machine.up, machine.down]])
        cut = self.chance.choice([self.wire.black_holes, self.wire.closed])
        self.met["store cut off"] += 1
        cut.update(ways)

        def join() -> None:
            cut.difference_update(ways)
            if self.chance.random() < 0.5:
                machine.subscribed()

        self.agenda.after(self.chance.uniform(0.5, 8.0), join)

    def _kill_daemon(self, machine: Machine) -> None:
        self.met["daemon killed"] += 1
        machine.kill()
        self.agenda.after(self.chance.uniform(0.0, 3.0), machine.start)

    def _kill_central(self, _: Machine) -> None:
        self.met["central killed"] += 1
        self.chance.choice(self.centrals).kill()
        self.agenda.after(self.chance.uniform(0.0, 5.0), self.start_central)

    def _pause_central(self, _: Machine) -> None:
        self.met["central paused"] += 1
        self.chance.choice(self.centrals).pause(self.chance.uniform(0.5, 3.0) * LEASE_TTL_S)

    def _cut_central_off(self, _: Machine) -> None:
        """Keep a central from the leases for a while."""
        self.met["central cut off from the leases"] += 1
        central = self.chance.choice(self.centrals)
        central.locks.cut_off()
        self.agenda.after(self.chance.uniform(0.3, 2.0) * LEASE_TTL_S, central.locks.heal)

    def _empty_the_broker(self, _: Machine) -> None:
        """Kill the broker and start it again: leases are forgotten, and every subscription is new."""
        self.met["broker restarted empty"] += 1
        self.leases.stop()

        def start() -> None:
            self.leases.start()
            for machine in self._in_service():
                machine.subscribed()
            for central in self.centrals:
                central.subscribed()

        self.agenda.after(self.chance.uniform(0.1, 3.0), start)

    def _old_frame(self, _: Machine) -> None:
        self.wire.replay_old()

    def _move_a_clock(self, machine: Machine) -> None:
        """Set a clock an hour off, either way: a store's, or the database's."""
        self.met["clock moved"] += 1
        clock = self.chance.choice([machine.clock, self.database.clock])
        clock.offset_s = self.chance.choice([-3600.0, 0.0, 3600.0])
        self.is_time_known &= clock is not self.database.clock

    def _take_copies(self, machine: Machine) -> None:
        machine.copies.append(machine.copy())
        self.database.copies.append(self.database.copy())

    def _restore_store(self, machine: Machine) -> None:
        self.met["store restored from a copy"] += 1
        self.is_time_known = False
        copy, says_so = self.chance.choice(machine.copies), self.chance.random() < 0.5
        self._destroying(machine.store, [lambda: machine.put_back(copy, says_so=says_so)])

    def _clone_store(self, machine: Machine) -> None:
        if sum(other.store == machine.store for other in self.machines) > 1:
            return
        self.met["store cloned"] += 1
        self.is_time_known = False
        clone = Machine(self, machine.store, self.folder / f"{machine.store}-clone", machine.copy())
        self.machines.append(clone)
        clone.start()

    def _restore_central(self, _: Machine) -> None:
        self.met["central restored from a copy"] += 1
        self._put_central_back(self.chance.choice(self.database.copies))

    def _reset_central(self, _: Machine) -> None:
        self.met["central reset"] += 1
        self._put_central_back(self.database.founded)

    def _put_central_back(self, copy: dict[str, bytes]) -> None:
        """Stop every central, put its database back to an older copy, and start them."""
        self.is_time_known = False
        for central in self.centrals:
            central.kill()
        before = {store: self._surviving(store) for store in self.must_have}
        self.database.put_back(copy)
        for store, known in before.items():
            self.must_have[store] -= known - self._surviving(store)
        for _ in range(2):
            self.start_central()
        # The operator admits again what the copy does not know.
        for name in self.must_have:
            admitting = partial(self._try, partial(self.operator.admit, name))
            self.agenda.after(self.chance.uniform(0.0, 5.0), admitting)

    def _spoil_a_level(self, machine: Machine) -> None:
        """Let a level drift at head office, as by a bug: the next line of the SKU, or a checkpoint, puts it right."""
        self.met["level spoilt at head office"] += self.database.spoil_level(machine.store, self.chance)

    def _admit(self, machine: Machine) -> None:
        self.operator.admit(machine.store)


__all__ = ["NAMES", "Bugs", "World"]
