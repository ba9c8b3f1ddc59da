"""A store's machine in a simulated world: a real ledger in a folder, a clerk, and a daemon that comes and goes."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from invctl.errors import InventoryError
from invctl.ledger import adjustments, barcodes, checkpoints, history, products, reservations
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.outbox import LedgerOutbox, remember_link
from invctl.ledger.writing import Origin, Receipt
from invctl.sync import channels
from invctl.sync.shipper import Kept, Link, Shipper
from scripts.simulation.agenda import ViolationError
from scripts.simulation.clocks import VirtualClock
from scripts.simulation.crash import CrashedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.simulation.world import World

NAMESPACE = "sim"
LOOK_S = 1.0
EXPIRE_EVERY_S = 3.0
CHECKPOINT_RATE = 0.2
SKUS = ("CABLE", "LAPTOP", "MOUSE")
_FILES = (FILE, FILE + "-wal")
# What a clerk may be told. Anything else says that the ledger does not hold together.
_TOLD = frozenset({"not_found", "not_enough_stock", "wrong_state", "invalid_value", "frozen"})

Copy = dict[str, bytes]
Operation = tuple[str, "Callable[[Ledger, Origin], Receipt]"]


class Machine:
    """One copy of a store: usually the only one."""

    def __init__(self, world: World, store: str, home: Path, template: Copy | None = None) -> None:
        """Open a ledger in a folder, or take over a copy of one."""
        self.world = world
        self.store = store
        self.home = home
        self.chance = Random(world.chance.getrandbits(64))
        self.clock = VirtualClock(world.agenda)
        self.up = channels.up(NAMESPACE, store)
        self.down = channels.down(NAMESPACE, store)
        self.is_stopped = False
        self.shipper: Shipper | None = None
        self._wakes = 0
        self._expire_due_s = 0.0
        self._again: list[tuple[str, Operation]] = []
        self._asked = 0
        # By the database's clock, which no store knows: it is there to judge what head office claims.
        self.committed_us: list[int] = []
        if template is None:
            home.mkdir()
            (home / FILE).write_bytes(world.templates.ledger)
            self.ledger = Ledger.create(home, store, clock=self.clock, chance=self.chance)
            self._stock()
        else:
            self._write(template)
            self.ledger = Ledger.open(home, clock=self.clock, chance=self.chance)
        self.copies = [self.copy()]
        world.wire.listeners[self.down].append(self.hear)

    # The clerk.

    def work(self) -> None:
        """Let the clerk do something, or ask again for what had no answer."""
        if self.is_stopped:
            return
        if self._again and self.chance.random() < 0.5:
            request, operation = self._again.pop(self.chance.randrange(len(self._again)))
            self.world.met["request asked again"] += 1
        else:
            self._asked += 1
            request, operation = f"{self.home.name}-{self._asked}", self._operation()
        _, carry_out = operation
        if self.chance.random() < self.world.crash_rate:
            self.world.commits.crash(self.chance.choice(["before", "after"]))
        try:
            receipt = carry_out(self.ledger, Origin("ann", request))
        except CrashedError:
            self.world.met["clerk's process killed at a commit"] += 1
            self._again.append((request, operation))
            self._reopen()
            return
        except InventoryError as error:
            if error.code not in _TOLD:
                raise ViolationError(f"the clerk of {self.store} is told {error}", "errors") from error
            self.world.met[f"clerk told {error.code}"] += 1
            return
        finally:
            self.world.commits.spare()
        self.world.acknowledge(self, receipt)
        if self.chance.random() < 0.1:
            self._again.append((request, operation))
        if self.chance.random() < 0.8:
            self.tick()

    def _operation(self) -> Operation:
        chance = self.chance
        pending = [
            key
            for (key,) in self.ledger.rows(
                "SELECT reservation FROM reservations WHERE status = 'pending' ORDER BY reservation"
            )
        ]
        sku, many = chance.choice(SKUS), chance.randint(1, 4)
        hold_s = chance.choice([5, 30, 1800])
        always = ["reserve"] * 4 + ["sell", "adjust", "receive", "label"]
        what = chance.choice(always + ["confirm", "cancel", "extend"] * bool(pending))
        if what in ("confirm", "cancel", "extend"):
            # Also one that another machine of the store knows, or that has ended.
            key = chance.choice(pending)
            if what == "extend":
                return what, lambda ledger, origin: reservations.extend(ledger, key, hold_s, origin=origin)
            end = reservations.confirm if what == "confirm" else reservations.cancel
            return what, lambda ledger, origin: end(ledger, key, origin=origin)
        if what == "label":
            return what, self._labelling(sku)
        if what == "sell":
            return what, lambda ledger, origin: reservations.sell(ledger, {sku: many}, origin=origin)
        if what == "reserve":
            lines = dict.fromkeys({sku, chance.choice(SKUS)}, many)
            return what, lambda ledger, origin: reservations.reserve(ledger, lines, hold_s=hold_s, origin=origin)
        reason = chance.choice(["damaged", "cycle_count"]) if what == "adjust" else "received"
        change = -many if what == "adjust" else 2 * many
        return what, lambda ledger, origin: adjustments.adjust(ledger, {sku: change}, reason, origin=origin)

    def _labelling(self, sku: str) -> Callable[[Ledger, Origin], Receipt]:
        code = f"CODE-{self.chance.randrange(3)}"
        if self.chance.random() < 0.5:
            return lambda ledger, origin: barcodes.assign(ledger, sku, code, origin)
        return lambda ledger, origin: barcodes.remove(ledger, code, origin)

    def _stock(self) -> None:
        for sku in SKUS:
            self.world.acknowledge(self, products.add(self.ledger, sku, sku.title()))
            self.world.acknowledge(self, adjustments.adjust(self.ledger, {sku: 9}, "received"))

    # The daemon.

    def start(self) -> None:
        """Start the daemon: it knows what an earlier one wrote down."""
        if self.is_stopped or self.shipper is not None:
            return
        self._daemon = Ledger.open(self.home, clock=self.clock, chance=self.chance)
        self._outbox = LedgerOutbox(self._daemon)
        (acked_seq,) = self._daemon.row("SELECT acked_seq FROM link")
        self.shipper = self.world.bugs.shipper(
            self._outbox, acked_seq=acked_seq, chance=Random(self.chance.getrandbits(64)), now_s=self.world.agenda.now_s
        )
        self._remembered: tuple[object, ...] = ()
        self.subscribed()

    def kill(self) -> None:
        """Kill the daemon, wherever it is."""
        if self.shipper is not None:
            self.shipper = None
            self._daemon.close()

    def subscribed(self) -> None:
        """Note that the broker confirmed the subscription."""
        if self.shipper is not None:
            self.shipper.subscribed(self.world.agenda.now_s)
            self.tick()

    def hear(self, payload: bytes) -> None:
        """Take in a frame from head office."""
        if self.shipper is None:
            return
        before = self.shipper.state
        self.shipper.receive(payload, self.world.agenda.now_s)
        after = self.shipper.state
        self.world.met["acknowledged seq went down"] += after.acked_seq < before.acked_seq
        self.world.met["history found lost"] += after.link is Link.DIVERGED is not before.link
        self.world.check_acknowledged(self, after.acked_seq)
        try:
            self._carry_out()
            self._remember()
        except CrashedError:
            self.world.met["daemon killed at a commit"] += 1
            self._die()
            return
        finally:
            self.world.commits.spare()
        self.tick()

    def tick(self) -> None:
        """Do what is due: publish, and let reservations expire. Come back when the Shipper wants to, or soon."""
        shipper, now_s = self.shipper, self.world.agenda.now_s
        if shipper is None:
            return
        if now_s >= self._expire_due_s:
            self._expire_due_s = now_s + EXPIRE_EVERY_S
            if reservations.any_due(self._daemon) and not self._daemon.frozen():
                reservations.expire(self._daemon)
            if not self._daemon.frozen() and self.chance.random() < CHECKPOINT_RATE:
                self.world.met["checkpoint"] += checkpoints.append(self._daemon) is not None
        for payload in shipper.poll(now_s):
            self.world.note(self.up, payload)
            if not self.world.wire.publish(self.up, payload):
                self.world.met["publish failed"] += 1
                shipper.publish_failed()
                break
        self._wakes += 1
        wake = self._wakes
        self.world.agenda.at(min(shipper.due_s(), now_s + LOOK_S), lambda: self.tick() if wake == self._wakes else None)

    def _carry_out(self) -> None:
        assert self.shipper is not None
        effects = self.shipper.take_effects()
        for effect in effects:
            if self.chance.random() < self.world.crash_rate:
                self.world.commits.crash(self.chance.choice(["before", "after"]))
            try:
                if isinstance(effect, Kept):
                    history.keep(self._daemon, *effect)
                    self.world.met["history kept"] += 1
                    continue
                done = self.world.bugs.rebase(self._daemon, effect.upto, epoch=effect.epoch, boot=self.shipper.boot)
            except InventoryError as error:
                self.world.met[f"history not taken: {error.code}"] += 1
                self.shipper.not_kept()
                return
            self.world.met["rejoined"] += 1
            self.world.met["came anew"] += done.reappended
            self.world.met["discrepancy"] += done.misfits
            self.ledger.reload()
            self.shipper.rejoined(self.world.agenda.now_s)
        if effects and isinstance(effects[-1], Kept):
            self.shipper.kept(self.world.agenda.now_s)

    def _remember(self) -> None:
        assert self.shipper is not None
        state = self.shipper.state
        if state[1:] == self._remembered[1:] and (state == self._remembered or self.chance.random() < 0.7):
            return
        remember_link(
            self._daemon, acked_seq=state.acked_seq, state=state.link, reason=state.reason, suspects=state.suspects
        )
        self._remembered = state

    def _die(self) -> None:
        self.kill()
        self.world.agenda.after(self.chance.uniform(0.1, 2.0), self.start)

    # The disk.

    def copy(self) -> Copy:
        """Return the ledger's files as they are."""
        return {name: (self.home / name).read_bytes() for name in _FILES if (self.home / name).exists()}

    def put_back(self, copy: Copy, *, says_so: bool) -> None:
        """Put a copy in the place of the ledger. `says_so`: as `invctl restore` does it, so that nothing is decided."""
        was_running = self.shipper is not None
        self.kill()
        self.ledger.close()
        self._write(copy)
        self.ledger = Ledger.open(self.home, clock=self.clock, chance=self.chance)
        if says_so:
            self.ledger.connection.execute("UPDATE link SET frozen = 'it was restored from a backup'")
        # Nobody has an answer to what was asked on the other one.
        self._again.clear()
        if was_running:
            self.start()

    def stop(self) -> None:
        """Take the machine away for good."""
        self.kill()
        self.is_stopped = True
        self.ledger.close()
        with suppress(ValueError):
            self.world.wire.listeners[self.down].remove(self.hear)

    def close(self) -> None:
        """End the world."""
        self.kill()
        if not self.is_stopped:
            self.ledger.close()

    def bodies(self) -> list[bytes]:
        """Return all events, as bytes."""
        return [bytes(body) for (body,) in self.ledger.rows("SELECT body FROM events ORDER BY seq")]

    def levels(self) -> dict[str, tuple[int, int, int]]:
        """Return the level of each SKU that ever moved: on hand, reserved, version."""
        found = self.ledger.rows("SELECT sku, on_hand, reserved, version FROM stock WHERE version > 0")
        return {sku: (on_hand, reserved, version) for sku, on_hand, reserved, version in found}

    def ids(self) -> set[str]:
        """Return the ids of all events."""
        return {key for (key,) in self.ledger.rows("SELECT id FROM events")}

    def _reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.home, clock=self.clock, chance=self.chance)

    def _write(self, copy: Copy) -> None:
        self.home.mkdir(exist_ok=True)
        for name in (*_FILES, FILE + "-shm"):
            (self.home / name).unlink(missing_ok=True)
        for name, content in copy.items():
            (self.home / name).write_bytes(content)
