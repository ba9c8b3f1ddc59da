"""Head office in a simulated world: a real database, which outlives everything, and centrals, which do not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import structlog
from pysqlite3 import dbapi2
from sqlalchemy import event

from central.database import open_database, writing
from central.fence import FenceLostError, take_over
from central.latency import Latencies
from central.leases import Leases
from central.lost_history import asking, readmit
from central.shard_server import PASSING, Frame, ShardServer
from central.stores import admit
from invctl.errors import BusyError, UnreachableError
from invctl.sync import channels
from scripts.simulation.agenda import ViolationError
from scripts.simulation.clocks import VirtualClock
from scripts.simulation.crash import CrashedError
from scripts.simulation.machine import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from sqlalchemy import Engine

    from scripts.simulation.machine import Copy, Machine
    from scripts.simulation.world import World

LEASE_TTL_S = 3.0
"""Shorter than in life, so that a short world sees many of them end."""
LEASES_EVERY_S = 0.5
UPKEEP_EVERY_S = 2.0
LEASE = f"{NAMESPACE}:lease:shard:0"
FILE = "central.db"
_FILES = (FILE, FILE + "-wal")
SILENT = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never has to wait, and return what it gives."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


class Database:
    """Central's database, in a file that may be put back to an older copy."""

    def __init__(self, world: World, folder: Path, template: bytes) -> None:
        """Begin with a database that was just founded."""
        self.world = world
        self.clock = VirtualClock(world.agenda)
        self._folder = folder
        self.founded: Copy = {FILE: template}
        folder.mkdir()
        self.put_back(self.founded)
        self.copies = [self.copy()]

    def put_back(self, copy: Copy) -> None:
        """Put a copy in the place of the file. Nobody may have it open."""
        if hasattr(self, "engine"):
            self.close()
        for name in (*_FILES, FILE + "-shm"):
            (self._folder / name).unlink(missing_ok=True)
        for name, content in copy.items():
            (self._folder / name).write_bytes(content)
        self.engine: Engine = open_database(f"sqlite:///{self._folder / FILE}", clock=self.clock)
        event.listen(self.engine, "commit", self._committing)
        self._eyes = dbapi2.connect(f"file:{self._folder / FILE}?mode=ro", uri=True, isolation_level=None)

    def copy(self) -> Copy:
        """Return the files as they are."""
        return {name: (self._folder / name).read_bytes() for name in _FILES if (self._folder / name).exists()}

    def archive(self, store: str) -> list[bytes]:
        """Return all that is archived of a store."""
        return [bytes(body) for (body,) in self._look("SELECT body FROM archive WHERE store = ? ORDER BY seq", store)]

    def ids(self, store: str) -> set[str]:
        """Return the ids of all events that are archived of a store."""
        return {key for (key,) in self._look("SELECT event_id FROM archive WHERE store = ?", store)}

    def fence_and_position(self) -> tuple[str | None, int]:
        """Return the fence of the only shard, and how much was committed in it."""
        ((fence, position),) = self._look("SELECT fence, position FROM shards")
        return fence, position

    def applied(self, store: str) -> int:
        """Return the last event that is applied of a store."""
        return next((seq for (seq,) in self._look("SELECT applied_seq FROM cursors WHERE store = ?", store)), 0)

    def is_admitted(self, store: str) -> bool:
        """Tell whether a store is admitted."""
        return bool(self._look("SELECT 1 FROM stores WHERE store = ? AND status = 'admitted'", store))

    def levels(self, store: str) -> dict[str, tuple[int, int, int]]:
        """Return the levels that are shown of a store: on hand, reserved, version."""
        found = self._look("SELECT sku, on_hand, reserved, version FROM levels WHERE store = ? AND version > 0", store)
        return {sku: tuple(level) for sku, *level in found}

    def reservations(self, store: str) -> dict[str, str]:
        """Return how each reservation of a store is shown."""
        return dict(self._look("SELECT reservation, status FROM reservations WHERE store = ?", store))

    def spoil_level(self, store: str, chance: Random) -> bool:
        """Alter a level that is shown, behind the product's back. Returns whether there was one."""
        skus = sorted(self.levels(store))
        if not skus:
            return False
        with dbapi2.connect(str(self._folder / FILE), isolation_level=None) as hand:
            spoilt = (chance.choice(["on_hand = on_hand + 1", "version = version + 1", "reserved = 0, version = 99"]),)
            statement = f"UPDATE levels SET {spoilt[0]} WHERE store = ? AND sku = ?"
            hand.execute(statement, (store, chance.choice(skus)))
        hand.close()
        return True

    def fresh_us(self, store: str) -> int:
        """Return the moment up to which a store's numbers are proved, 0 where none is."""
        return next((at or 0 for (at,) in self._look("SELECT fresh_us FROM cursors WHERE store = ?", store)), 0)

    def close(self) -> None:
        """Give the file back."""
        self._eyes.close()
        self.engine.dispose()

    def _look(self, sql: str, *bindings: str) -> list[Any]:
        # The world looks at each step, past the product: by a connection of its own, and a hundred times faster.
        return list(self._eyes.execute(sql, bindings))

    def _committing(self, _connection: Any) -> None:
        world = self.world
        if world.chance.random() < world.commit_failure_rate:
            world.met["head office's commit failed"] += 1
            raise BusyError("the database is busy")
        if world.chance.random() < world.crash_rate / 4:
            world.met["central killed at a commit"] += 1
            raise CrashedError


class SimCentral:
    """One process of head office: it strives for the lease, and serves the stores while it has it."""

    def __init__(self, world: World) -> None:
        """Start it."""
        self.world = world
        self.chance = Random(world.chance.getrandbits(64))
        self.owner = f"central-{self.chance.getrandbits(32):08x}"
        self.clock = VirtualClock(world.agenda)
        self.locks = world.bugs.locks(world.leases)
        self.alive = True
        self._paused_until_s = 0.0
        self._inbox: list[Frame] = []
        self._is_working = False
        self._server: ShardServer | None = None
        self.fence = ""
        self._leases = Leases(
            self.locks,
            self._mint,
            shards=range(1),
            namespace=NAMESPACE,
            owner=self.owner,
            clock=self.clock,
            log=SILENT,
            ttl_s=LEASE_TTL_S,
        )
        world.agenda.after(self.chance.uniform(0.0, 0.3), self._follow_leases)
        world.agenda.after(self.chance.uniform(1.0, UPKEEP_EVERY_S), self._upkeep)

    def pause(self, seconds: float) -> None:
        """Stand still, and go on later as if nothing had happened."""
        self._paused_until_s = self.world.agenda.now_s + seconds

    def hear(self, channel: str, payload: bytes) -> None:
        """Take in a frame from a store."""
        if self.alive and self._server is not None:
            self._inbox.append(Frame(channels.store_of(channel), payload))
            self._work_soon()

    def subscribed(self) -> None:
        """Note that the broker confirmed the subscription: whatever was under way may be gone."""
        if self.alive and self._server is not None:
            self._open()

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.alive = False

    async def _mint(self, shard: int) -> str:
        fence, _ = take_over(self.world.database.engine, shard, self.owner, self.chance, wait_s=0.1)
        return fence

    def _later(self) -> bool:
        return self.world.agenda.now_s < self._paused_until_s

    def _follow_leases(self) -> None:
        if not self.alive:
            return
        if self._later():
            self.world.agenda.at(self._paused_until_s, self._follow_leases)
            return
        before = self.world.leases.owner(LEASE)
        try:
            at_once(self._leases.tick(1))
        except (UnreachableError, BusyError):
            pass
        except CrashedError:
            self._crash()
            return
        if before not in (None, self.owner) and self.world.leases.owner(LEASE) != before:
            raise ViolationError(f"{self.owner} ended the lease of {before}", "lease")
        fence = self._leases.fences().get(0, "")
        if fence != self.fence:
            self.fence = fence
            self._inbox.clear()
            self._server = self._new_server(fence) if fence else None
            if self._server:
                self.world.met["lease taken"] += 1
                self._open()
        self.world.agenda.after(LEASES_EVERY_S, self._follow_leases)

    def _new_server(self, fence: str) -> ShardServer:
        return ShardServer(
            self.world.database.engine,
            0,
            fence,
            admit_any=False,
            latencies=Latencies(),
            clock=self.clock,
            chance=self.chance,
            log=SILENT,
        )

    def _open(self) -> None:
        assert self._server is not None
        self._do(self._server.open, retry=self._open)

    def _upkeep(self) -> None:
        if not self.alive:
            return
        if self._later():
            self.world.agenda.at(self._paused_until_s, self._upkeep)
            return
        if self._server is not None and self._leases.holds(0, self.fence):
            self._do(self._server.upkeep)
        self.world.agenda.after(UPKEEP_EVERY_S, self._upkeep)

    def _work_soon(self) -> None:
        if not self._is_working and self._inbox:
            self._is_working = True
            self.world.agenda.after(self.chance.choice([0.0005, 0.005, 0.05]), self._begin)

    def _begin(self) -> None:
        if not self.alive:
            return
        if self._later():
            self.world.agenda.at(self._paused_until_s, self._begin)
            return
        if self._server is None or not self._leases.holds(0, self.fence):
            self._inbox.clear()
            self._is_working = False
            return
        # It has looked whether the lease is its own. Whatever it does now, it may stand still before.
        if self.chance.random() < self.world.pause_rate:
            self.world.met["central paused past its lease, inside a round"] += 1
            self.pause(self.chance.uniform(0.5, 2.5) * LEASE_TTL_S)
        self.world.agenda.at(self._paused_until_s, self._finish)

    def _finish(self) -> None:
        if not self.alive:
            return
        frames, self._inbox = self._inbox, []
        server = self._server
        if server is not None:
            self._do(lambda: server.round(frames))
        self._is_working = False
        self._work_soon()

    def _do(self, work: Any, retry: Any = None) -> None:
        """Do something that may commit, and send what comes of it, unless the process dies in between."""
        world, database = self.world, self.world.database
        before = database.fence_and_position()
        try:
            replies = work()
        except FenceLostError:
            world.met["fence missed"] += 1
            self._leases.fence_lost(0, self.fence)
            self._server, self.fence = None, ""
            return
        except PASSING:
            if retry:
                world.agenda.after(0.5, lambda: retry() if self.alive and self._server else None)
            return
        except CrashedError:
            self._crash()
            return
        after = database.fence_and_position()
        if after[1] != before[1] and before[0] != self.fence:
            raise ViolationError(f"{self.owner} committed though another had minted its fence", "fence")
        world.check_fresh()
        if self.chance.random() < world.crash_rate / 4:
            world.met["central killed between commit and answer"] += 1
            self._crash()
            return
        for store, payload in replies:
            channel = channels.down(NAMESPACE, store)
            world.note(channel, payload)
            world.check_answer(payload)
            world.wire.publish(channel, payload)

    def _crash(self) -> None:
        self.kill()
        self.world.agenda.after(self.chance.uniform(0.1, 3.0), self.world.start_central)


class Operator:
    """Does what the design asks a person for, and nothing else."""

    def __init__(self, world: World) -> None:
        """Work at head office."""
        self._world = world

    def admit(self, store: str) -> None:
        """Admit a store."""
        with writing(self._world.database.engine) as connection:
            admit(connection, store)
            connection.commit()

    def readmit(self, machine: Machine) -> None:
        """Let the machine rejoin which is the store's, where it asks and head office does not let it by itself."""
        if machine.shipper is None:
            return
        with writing(self._world.database.engine) as connection:
            if machine.shipper.boot in [asker.boot for asker in asking(connection, machine.store)]:
                readmit(connection, machine.store, machine.shipper.boot)
                connection.commit()
