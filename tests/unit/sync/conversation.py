"""One store and one central that talk: the examples in docs/protocol.md are what they say."""

from __future__ import annotations

from copy import deepcopy
from random import Random

from invctl.clock import parse_time
from invctl.model import events
from invctl.model.chain import GENESIS
from invctl.model.stock import EMPTY
from invctl.sync.cursor import Cursor, Page
from invctl.sync.receiver import Receiver
from invctl.sync.shipper import Shipper
from tests.simulation.outbox import MemoryOutbox

STORE = "downtown"
TIME = "2026-11-24T09:30:00.000000Z"


def conversation() -> dict[str, bytes]:
    """Return the frames by what they are an example of, in the order in which they are sent."""
    chance = Random("protocol")
    outbox = MemoryOutbox(STORE)
    outbox.append(
        event(chance, events.PRODUCT_ADDED, "MOUSE-001", {"sku": "MOUSE-001", "name": "Wireless mouse", "price": 8000}),
        event(
            chance,
            events.STOCK_ADJUSTED,
            "MOUSE-001",
            {"reason": "received", "lines": [events.line("MOUSE-001", 100, 0, EMPTY.moved(100, 0))]},
        ),
    )
    whole = deepcopy(outbox)
    shipper = Shipper(outbox, acked_seq=0, chance=chance, now_s=0.0)
    receiver = Receiver(chance=chance)
    now_us = parse_time(TIME)
    said: dict[str, bytes] = {}

    def answered(name: str, payload: bytes) -> None:
        nonlocal now_us
        now_us += 1_000
        receiver.receive(STORE, payload, now_us)
        for intake in receiver.take():
            receiver.committed(intake, epoch=1, suspects=0)
        for lost in receiver.lost(now_us):
            after = whole.read(lost.held_seq, 1, 1)
            receiver.send(lost, Page(lost.held_seq + 1, after.prev_hash, after.bodies, after.last_hash))
        now_us += 4_000
        ((_, said[name]),) = receiver.replies(now_us)
        shipper.receive(said[name], 0.0)

    (said["hello"],) = shipper.poll(0.0)
    answered("refused", said["hello"])
    receiver.load(Cursor(STORE, True, outbox.first_hash, 1, 0, GENESIS))
    ((_, said["greeting"]),) = receiver.greetings()
    shipper.receive(said["greeting"], 0.0)
    (said["hello again"],) = shipper.poll(1.0)
    answered("ack", said["hello again"])
    (said["events"],) = shipper.poll(1.0)
    answered("ack of events", said["events"])
    # The ledger is restored from a copy of before all that, and another daemon runs.
    outbox.cut_back(1)
    shipper = Shipper(outbox, acked_seq=0, chance=chance, now_s=0.0)
    for number in range(6):
        now_us += 2_000_000
        (said["hello to rejoin"],) = shipper.poll(2.5 * number)
        answered("history", said["hello to rejoin"])
    return said


def event(chance: Random, type_: str, subject: str, data: dict[str, object]) -> bytes:
    return events.compose(
        id=f"{chance.getrandbits(128):032x}", type=type_, store=STORE, time=TIME, subject=subject, data=data
    )
