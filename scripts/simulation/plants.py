"""Bugs such as one really makes, planted one at a time, to prove that the simulation can see them.

Each stands in the place of a piece of the product while a world runs. There is no switch for them in the product.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from sqlalchemy import select

import central.apply
import central.facts
import central.shard_server
import invctl.ledger.rebase
import invctl.ledger.requests
from central import tables
from central.advance import move_cursors
from central.database import writing
from central.fence import FenceLostError
from invctl.ledger.database import first
from invctl.ledger.reappend import Own, reappend
from invctl.locks.memory import MemoryLocks
from invctl.model import events
from invctl.model.reservation import Reservation
from invctl.sync import frames
from invctl.sync.peer import Peer
from invctl.sync.receiver import Receiver
from invctl.sync.shipper import Link, Shipper
from scripts.simulation.office import SimCentral
from scripts.simulation.world import Bugs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from invctl.ledger.writing import Write
    from invctl.sync.cursor import Cursor
    from invctl.sync.tokens import Echo


class Plant(NamedTuple):
    """A bug: what of a world it changes, what of the product it stands in for, and which invariants may see it."""

    bugs: Bugs
    stands_in: Callable[[ExitStack], None]
    seen_by: frozenset[str]

    @contextmanager
    def planted(self) -> Iterator[Bugs]:
        """Let it stand while worlds run; gives the sides to run them with."""
        with ExitStack() as stack:
            self.stands_in(stack)
            yield self.bugs


def _nothing(_: ExitStack) -> None:
    """Change nothing of the product."""


def _receiver(kind: type[Receiver]) -> Callable[[ExitStack], None]:
    return lambda stack: _put(stack, central.shard_server, "Receiver", kind)


def _peer(kind: type[Peer]) -> Callable[[ExitStack], None]:
    class Planted(Receiver):
        def _begin(self, cursor: Cursor) -> Peer:
            return kind(cursor, self.counts)

    return _receiver(Planted)


def _put(stack: ExitStack, module: Any, name: str, value: object) -> None:
    stack.enter_context(patch.object(module, name, value))


class _AcksBeforeCommit(Receiver):
    """It answers with what it has taken in, not with what is durable."""

    def _answer(self, peer: Any, boot: str, n: int, now_us: int) -> frames.DownFrame:
        cursor = peer.cursor
        peer.cursor = cursor._replace(applied_seq=peer.tip_seq, applied_hash=peer.tip_hash)
        answer = super()._answer(peer, boot, n, now_us)
        peer.cursor = cursor
        return answer

    def failed(self, store: str) -> None:
        """Keep what was taken in for the next round, and answer all the same."""


class _AppliesAgain(Peer):
    """It takes each frame that fits for new."""

    def _append(self, frame: frames.Events, hashes: list[bytes]) -> None:
        self.bodies += frame.events
        self.hashes += hashes
        self.tip_seq, self.tip_hash = frame.last_seq, frame.last_hash


class _DoesNotHash(Peer):
    """It believes a frame's `last_hash`."""

    def take_in(self, frame: frames.UpFrame) -> str:
        with patch("invctl.sync.peer.links", self._believed(frame)):
            return super().take_in(frame)

    @staticmethod
    def _believed(frame: frames.UpFrame) -> Callable[[bytes, int, list[bytes]], list[bytes]]:
        from invctl.model.chain import links  # noqa: PLC0415 - the real one, while `peer`'s is another

        def hashes(prev_hash: bytes, first_seq: int, bodies: list[bytes]) -> list[bytes]:
            assert isinstance(frame, frames.Events)
            return [*links(prev_hash, first_seq, bodies)[:-1], frame.last_hash]

        return hashes


class _BelievesOldHellos(Peer):
    """It takes a store's word for as new as its arrival."""

    def hear(self, frame: frames.UpFrame, echo: Echo, now_us: int) -> Any:
        heard = super().hear(frame, echo, now_us)
        self.prove(frame, now_us)
        return heard


class _TrustsPublish(Shipper):
    """It takes what was published for delivered."""

    def poll(self, now_s: float) -> list[bytes]:
        out = super().poll(now_s)
        self._acked_seq = max(self._acked_seq, self._sent_seq)
        return out


class _NoHeartbeat(Shipper):
    """It says hello at a subscription, and never again."""

    def poll(self, now_s: float) -> list[bytes]:
        is_due = now_s >= self._hello_due_s
        out = super().poll(now_s)
        if is_due and self._link is Link.UP:
            self._hello_due_s = math.inf
        return out


class _NeverGoesBack(Shipper):
    """It takes what was once acknowledged for settled."""

    def _acknowledged(self, ack: frames.Ack, now_s: float) -> None:
        if ack.applied_seq < self._acked_seq:
            self._set_link(Link.UP)
            return
        super()._acknowledged(ack, now_s)


class _ReleasesAnything(MemoryLocks):
    """It ends a lease whoever has it."""

    async def release(self, name: str, owner: str) -> bool:
        del owner
        leases = self._ask()
        if leases.owner(name) is None:
            return False
        leases.free(name)
        return True


def _no_fence(stack: ExitStack) -> None:
    """Let nobody compare the fence."""

    def position_alone(connection: Connection, shard: int, _fence: str) -> int:
        query = select(tables.shards.c.position).where(tables.shards.c.shard == shard)
        return int(connection.execute(query).scalar_one())

    for module in (central.apply, central.shard_server):
        _put(stack, module, "lock_and_check", position_alone)


def _fence_without_lock(stack: ExitStack) -> None:
    """Compare the fence that was read before the transaction, not in it."""
    seen: dict[str, str | None] = {}
    begin = SimCentral._begin  # noqa: SLF001

    def looking(self: SimCentral) -> None:
        seen[self.fence] = self.world.database.fence_and_position()[0]
        begin(self)

    def compare(connection: Connection, shard: int, fence: str) -> int:
        query = select(tables.shards.c.fence, tables.shards.c.position).where(tables.shards.c.shard == shard)
        row = connection.execute(query).one()
        if seen.get(fence, row.fence) != fence:
            raise FenceLostError
        return int(row.position)

    _put(stack, SimCentral, "_begin", looking)
    for module in (central.apply, central.shard_server):
        _put(stack, module, "lock_and_check", compare)


def _cursor_apart(stack: ExitStack) -> None:
    """Move the cursors in a transaction of their own, after the events are committed."""
    move, apply = move_cursors, central.apply.apply_intakes
    waiting: list[tuple[Any, ...]] = []

    def later(_connection: Connection, *arguments: Any) -> None:
        waiting.append(arguments)

    def applying(engine: Any, *arguments: Any, **named: Any) -> Any:
        waiting.clear()
        done = apply(engine, *arguments, **named)
        for each in waiting:
            with writing(engine) as connection:
                move(connection, *each)
                connection.commit()
        return done

    _put(stack, central.apply, "move_cursors", later)
    _put(stack, central.shard_server, "apply_intakes", applying)


def _expiry_by_arrival(stack: ExitStack) -> None:
    """Let head office decide by what comes when: a confirmation in the last seconds of a hold came too late."""
    stated = central.facts._stated  # noqa: SLF001

    def deciding(seq: int, event: Any, body: bytes) -> Any:
        found = stated(seq, event, body)
        if isinstance(found, Reservation) and event.type == events.RESERVATION_CONFIRMED:
            is_late = event.time[:18] >= found.expires_at[:18]
            return found._replace(status="expired") if is_late else found
        return found

    _put(stack, central.facts, "_stated", deciding)


def _forgets_its_own(stack: ExitStack) -> None:
    """Append nothing anew."""
    _put(stack, invctl.ledger.rebase, "_reappend", lambda *_: (0, 0))


def _appends_twice(stack: ExitStack) -> None:
    """Append its own events anew under new ids, also those that the chain has."""

    def twice(write: Write, epoch: int, own: list[tuple[int, bytes]]) -> tuple[int, int]:
        for seq, body in own:
            event = events.parse(body)
            if event.type.startswith(events.LEDGER_PREFIX):
                continue
            if first(write.connection, "SELECT 1 FROM events WHERE id = ?", (event.id,)):
                event = event._replace(id=f"{event.id}-{epoch}", request_id="")
            reappend(write, Own(seq, epoch, event))
        return len(own), 0

    _put(stack, invctl.ledger.rebase, "_reappend", twice)


def _forgets_requests(stack: ExitStack) -> None:
    """Carry a request out as often as it is asked."""
    _put(stack, invctl.ledger.requests, "recall", lambda *_: None)


def _plant(*seen_by: str, bugs: Bugs | None = None, stands_in: Callable[[ExitStack], None] = _nothing) -> Plant:
    return Plant(bugs or Bugs(), stands_in, frozenset(seen_by))


PLANTS = {
    "ack_before_commit": _plant("acked", stands_in=_receiver(_AcksBeforeCommit)),
    "no_fence": _plant("fence", stands_in=_no_fence),
    "fence_read_without_lock": _plant("fence", stands_in=_fence_without_lock),
    "no_dedupe": _plant("drained", "once", "unexpected", stands_in=_peer(_AppliesAgain)),
    "trust_publish_count": _plant("acked", bugs=Bugs(shipper=_TrustsPublish)),
    "lost_tail": _plant("drained", bugs=Bugs(shipper=_NoHeartbeat)),
    "cursor_outside_transaction": _plant("unexpected", "drained", stands_in=_cursor_apart),
    "acked_never_goes_back": _plant("drained", bugs=Bugs(shipper=_NeverGoesBack)),
    "old_hello_believed": _plant("fresh", stands_in=_peer(_BelievesOldHellos)),
    "bytes_not_hashed": _plant("drained", "acked", stands_in=_peer(_DoesNotHash)),
    "expire_by_arrival": _plant("central_projection", stands_in=_expiry_by_arrival),
    "release_foreign_lock": _plant("lease", bugs=Bugs(locks=_ReleasesAnything)),
    "own_events_dropped_at_rejoin": _plant("nothing_lost", stands_in=_forgets_its_own),
    "reappended_twice": _plant("ends_once", "idempotency", "once", "nothing_lost", stands_in=_appends_twice),
    "no_idempotency": _plant("idempotency", stands_in=_forgets_requests),
}
"""The known bugs, by name."""
