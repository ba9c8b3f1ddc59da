"""invd over a bus in memory: real ledgers, the real protocol, and head office's real receiving side."""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from daemon import courier as courier_module
from daemon import service as service_module
from daemon.home import Home
from daemon.service import Service
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.clock import SystemClock
from invctl.errors import NotFoundError, RefusedError, UnreachableError
from invctl.ledger import adjustments, outbox, products, reads, reservations
from invctl.ledger.disk import DamagedError
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.writing import Origin
from invctl.runtime.logs import configure
from invctl.runtime.status import read_status, stands_still_s
from invctl.sync import shipper
from tests.integration.daemon.office import NAMESPACE, Office, until
from tests.layers import breaker, layered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from invctl.model.chain import Head


def open_store(home: Path, store: str = "downtown") -> Ledger:
    ledger = Ledger.create(home, store)
    products.add(ledger, "MOUSE-001", "Mouse")
    adjustments.adjust(ledger, {"MOUSE-001": 100}, "received")
    return ledger


def bodies(ledger: Ledger) -> list[bytes]:
    return [body for (body,) in ledger.rows("SELECT body FROM events ORDER BY seq")]


class Running:
    """A daemon that runs, and what it logged."""

    def __init__(self, service: Service, log: io.StringIO) -> None:
        self.service = service
        self._log = log

    def logged(self, action: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if line["action"] == action]


@asynccontextmanager
async def daemon(bus: MemoryBus, *homes: Path) -> AsyncIterator[Running]:
    stream = io.StringIO()
    log = configure("invd", fmt="json", level="debug", stream=stream)
    guard = breaker("bus", log=log)
    service = Service(namespace=NAMESPACE, clock=SystemClock(), chance=Random(7), log=log, breaker=guard)
    service.hold(homes)
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop, layered(bus, log=log, guard=guard)))
    try:
        yield Running(service, stream)
        stop.set()
        await task
    finally:
        task.cancel()
        service.release()
        await bus.close()


@asynccontextmanager
async def office(broker: MemoryBroker, *admitted: str) -> AsyncIterator[Office]:
    bus = MemoryBus(broker)
    central = Office(bus)
    for store in admitted:
        central.admit(store)
    task = asyncio.create_task(central.run())
    try:
        yield central
    finally:
        task.cancel()
        await bus.close()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


async def test_what_the_ledger_has_arrives_byte_for_byte_and_is_remembered(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path):
            await until(lambda: reads.link(ledger).acked_seq == 3)
            link = reads.link(ledger)
            assert central.archive["downtown"] == bodies(ledger)
            assert (link.state, link.reason, link.suspects) == ("up", "", 0)
            assert link.acked_us > 0


async def test_what_is_published_and_acknowledged_is_logged_with_its_trace(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with open_store(tmp_path) as ledger:
        origin = Origin(trace=f"00-{trace}-b7ad6b7169203331-01")
        reservations.reserve(ledger, {"MOUSE-001": 1}, origin=origin)
        async with office(broker, "downtown"), daemon(MemoryBus(broker), tmp_path) as running:
            await until(lambda: reads.link(ledger).acked_seq == 4)
        (line,) = [line for line in running.logged("bus.published") if line["kind"] == "events"]
        assert (line["store"], line["seq"], line["events"], line["trace"]) == ("downtown", 4, 4, trace)
        (line,) = running.logged("ack.received")
        assert (line["store"], line["seq"], line["events"], line["trace"]) == ("downtown", 4, 4, trace)


async def test_a_poke_sends_at_once(tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a heartbeat and without looking, only the poke can tell.
    monkeypatch.setattr(shipper, "HEARTBEAT_S", 3600.0)
    monkeypatch.setattr(shipper, "SILENCE_S", 9e9)
    monkeypatch.setattr(service_module, "LOOK_EVERY_S", 3600.0)
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path):
            # An answer under way would wake it, too.
            await until(lambda: reads.link(ledger).acked_seq == 3)
            reservations.reserve(ledger, {"MOUSE-001": 1})
            await until(lambda: len(central.archive["downtown"]) == 4)


async def test_without_a_poke_it_looks_by_itself(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "HEARTBEAT_S", 3600.0)
    monkeypatch.setattr(shipper, "SILENCE_S", 9e9)
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path):
            await until(lambda: reads.link(ledger).acked_seq == 3)
            (tmp_path / "run" / "poke").unlink()
            reservations.reserve(ledger, {"MOUSE-001": 1})
            await until(lambda: len(central.archive["downtown"]) == 4)


async def test_one_daemon_serves_many_stores(tmp_path: Path, broker: MemoryBroker) -> None:
    stores = ["downtown", "midtown", "brooklyn"]
    ledgers = [open_store(tmp_path / store, store) for store in stores]
    homes = [tmp_path / store for store in stores]
    async with office(broker, *stores) as central, daemon(MemoryBus(broker), *homes):
        await until(lambda: all(reads.link(ledger).acked_seq == 3 for ledger in ledgers))
        assert {store: central.archive[store] for store in stores} == {
            ledger.store.store: bodies(ledger) for ledger in ledgers
        }
    for ledger in ledgers:
        ledger.close()


@pytest.mark.fault_tolerance
async def test_a_store_that_is_not_admitted_says_so_and_drains_once_it_is(tmp_path: Path, broker: MemoryBroker) -> None:
    with open_store(tmp_path) as ledger:
        async with office(broker) as central, daemon(MemoryBus(broker), tmp_path) as running:
            await until(lambda: reads.link(ledger).state == "refused")
            assert reads.link(ledger).reason == "not_admitted"
            assert central.archive == {}
            assert running.logged("link.refused")[0]["store"] == "downtown"
            central.admit("downtown")
            await until(lambda: reads.link(ledger).acked_seq == 3)
            assert reads.link(ledger).state == "up"


@pytest.mark.fault_tolerance
async def test_a_daemon_cut_off_goes_on_by_itself(tmp_path: Path, broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central, daemon(bus, tmp_path) as running:
            await until(lambda: reads.link(ledger).acked_seq == 3)
            bus.cut_off()
            reservations.reserve(ledger, {"MOUSE-001": 1})
            await until(lambda: running.logged("bus.publish_failed"))
            await until(lambda: reads.link(ledger).state == "unknown")
            bus.heal()
            await until(lambda: reads.link(ledger).acked_seq == 4)
            assert central.archive["downtown"] == bodies(ledger)


@pytest.mark.fault_tolerance
async def test_a_new_daemon_goes_on_where_the_last_one_was(tmp_path: Path, broker: MemoryBroker) -> None:
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central:
            async with daemon(MemoryBus(broker), tmp_path):
                await until(lambda: reads.link(ledger).acked_seq == 3)
            reservations.reserve(ledger, {"MOUSE-001": 1})
            async with daemon(MemoryBus(broker), tmp_path):
                await until(lambda: reads.link(ledger).acked_seq == 4)
            assert central.archive["downtown"] == bodies(ledger)


@pytest.mark.fault_tolerance
async def test_what_an_earlier_daemon_wrote_down_is_not_believed(tmp_path: Path, broker: MemoryBroker) -> None:
    with open_store(tmp_path) as ledger:
        outbox.remember_link(ledger, acked_seq=3, state="up", reason="", suspects=2)
        # Nobody answers.
        async with daemon(MemoryBus(broker), tmp_path):
            await until(lambda: reads.link(ledger).state == "unknown")
        assert reads.link(ledger).acked_seq == 3


@pytest.mark.business
async def test_what_is_due_expires_without_a_clerk(tmp_path: Path, broker: MemoryBroker) -> None:
    with open_store(tmp_path) as ledger:
        opened = reservations.reserve(ledger, {"MOUSE-001": 1}, hold_s=1).event.subject
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path) as running:
            await until(lambda: len(central.archive.get("downtown", [])) == 5)
            assert b"inventory.reservation.expired" in central.archive["downtown"][-1]
            assert reads.reservation(ledger, opened).status == "expired"
            # Whoever looks at the ledger meanwhile may have sent it before the thread that wrote it is heard.
            await until(lambda: running.logged("reservations.expired"))
            assert [line["count"] for line in running.logged("reservations.expired")] == [1]


@pytest.mark.fault_tolerance
async def test_a_damaged_event_is_refused_examined_and_named(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "EXAMINE_EVERY_S", 0.05)
    with open_store(tmp_path) as ledger:
        raw = apsw.Connection(str(ledger.path))
        raw.execute("DROP TRIGGER events_keep_update")
        raw.execute(
            "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'Mouse', 'House') AS BLOB) WHERE seq = 2"
        )
        raw.close()
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path) as running:
            await until(lambda: any(line["reason"] == "bytes_do_not_hash" for line in running.logged("link.refused")))
            await until(lambda: any("event 2:" in line["finding"] for line in running.logged("ledger.damaged")))
            assert central.archive == {}
        # From then on nothing is written to it, not even by the daemon.
        with pytest.raises(DamagedError, match=r"its bytes do not lead to its hash|changed from outside"):
            reservations.reserve(ledger, {"MOUSE-001": 1})


@pytest.mark.fault_tolerance
async def test_a_ledger_that_central_knows_better_stops_sending(tmp_path: Path, broker: MemoryBroker) -> None:
    with open_store(tmp_path / "first") as first, open_store(tmp_path / "second") as second:
        async with office(broker, "downtown") as central:
            async with daemon(MemoryBus(broker), tmp_path / "first"):
                await until(lambda: reads.link(first).acked_seq == 3)
            # Head office knows this ledger by its first event, so the other one is told apart at once.
            async with daemon(MemoryBus(broker), tmp_path / "second"):
                await until(lambda: reads.link(second).state == "refused")
                assert reads.link(second).reason == "other_ledger"
            assert central.archive["downtown"] == bodies(first)


@pytest.mark.fault_tolerance
async def test_it_says_how_the_broker_is_why_it_is_lost_and_whom_it_serves(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    def said() -> dict[str, Any]:
        return read_status(tmp_path / "run" / "invd.json") or {}

    open_store(tmp_path).close()
    bus = MemoryBus(broker)
    bus.cut_off()
    async with daemon(bus, tmp_path) as running:
        await until(said)
        assert (said()["connection"], said()["why"], said()["stores"]) == ("connecting", "", ["downtown"])
        for why, cause in (("refused", "connection"), ("wrong password", "login"), ("reset", "connection")):
            running.service.bus_lost(UnreachableError(why, hint="look", cause=cause))
            assert (said()["connection"], said()["why"], said()["hint"]) == ("lost", why, "look")
        # One outage is logged once for each cause, however often they take turns.
        assert [line["message"] for line in running.logged("bus.lost")] == ["refused", "wrong password"]
        bus.heal()
        await until(lambda: said()["connection"] == "connected")
        assert (said()["why"], said()["hint"]) == ("", "")


@pytest.mark.fault_tolerance
async def test_it_shows_that_it_has_not_come_to_a_stand_also_where_it_has_nothing_new_to_say(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MEASURE_EVERY_S", 0.01)
    path = tmp_path / "run" / "invd.json"
    open_store(tmp_path).close()
    async with daemon(MemoryBus(broker), tmp_path):
        await until(lambda: (read_status(path) or {}).get("connection") == "connected")
        said = path.read_bytes()
        for _ in range(3):
            os.utime(path, (0, 0))
            assert stands_still_s(path) is not None
            await until(lambda: stands_still_s(path) is None)
        assert path.read_bytes() == said


async def test_two_folders_of_one_store_are_refused(tmp_path: Path, broker: MemoryBroker) -> None:
    open_store(tmp_path / "one").close()
    open_store(tmp_path / "two").close()
    with pytest.raises(RefusedError, match="two folders hold store downtown"):
        async with daemon(MemoryBus(broker), tmp_path / "one", tmp_path / "two") as running:
            await until(lambda: running.logged("daemon.stopped"))
    Home(tmp_path / "one").close()


def test_a_home_is_held_once_and_left_clean(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    home = Home(tmp_path)
    with pytest.raises(RefusedError, match="a daemon serves"):
        Home(tmp_path)
    home.close()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"invd.lock", "poke"}
    Home(tmp_path).close()


def test_a_folder_without_a_ledger_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no ledger"):
        Home(tmp_path)


def test_a_file_where_the_pipe_belongs_is_replaced(tmp_path: Path) -> None:
    ledger = open_store(tmp_path)
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "poke").write_text("left by a backup")
    home = Home(tmp_path)
    reservations.reserve(ledger, {"MOUSE-001": 1})
    assert (tmp_path / "run" / "poke").is_fifo()
    home.drain_pokes()
    home.close()
    ledger.close()


def damage(home: Path) -> None:
    """Put something else in place of a ledger, whose files are moved aside."""
    kept = home.with_suffix(".kept")
    kept.mkdir()
    for file in home.glob(f"{FILE}*"):
        file.rename(kept / file.name)
    (home / FILE).write_bytes(b"\xff" * 4096)


def mend(home: Path) -> None:
    """Put the ledger back."""
    for file in home.with_suffix(".kept").iterdir():
        file.replace(home / file.name)


@pytest.mark.fault_tolerance
async def test_a_store_that_cannot_be_served_does_not_stop_the_others_and_joins_once_mended(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "LEFT_OUT_EVERY_S", 0.05)
    open_store(tmp_path / "broken", "brooklyn").close()
    damage(tmp_path / "broken")
    with open_store(tmp_path / "sound") as ledger:
        async with (
            office(broker, "downtown", "brooklyn") as central,
            daemon(MemoryBus(broker), tmp_path / "broken", tmp_path / "sound") as running,
        ):
            await until(lambda: reads.link(ledger).acked_seq == 3)
            (told,) = running.logged("store.left_out")
            assert told["home"] == str(tmp_path / "broken")
            assert "not a database" in told["message"]
            ready, answer = running.service.health.readiness()
            assert not ready
            assert str(tmp_path / "broken") in answer["reasons"]["stores"]
            # Its folder is free for whoever mends it.
            Home(tmp_path / "broken").close()
            mend(tmp_path / "broken")
            await until(lambda: len(central.archive.get("brooklyn", [])) == 3)
            await until(lambda: running.service.health.readiness()[0])
            reservations.reserve(ledger, {"MOUSE-001": 1})
            await until(lambda: reads.link(ledger).acked_seq == 4)


@pytest.mark.fault_tolerance
async def test_where_no_store_can_be_served_that_is_an_error(tmp_path: Path, broker: MemoryBroker) -> None:
    home = tmp_path / "store"
    open_store(home).close()
    damage(home)
    with pytest.raises(RefusedError, match="not a database"):
        async with daemon(MemoryBus(broker), home) as running:
            await until(lambda: running.logged("daemon.stopped"))


@pytest.mark.fault_tolerance
async def test_a_ledger_that_fails_for_a_while_is_served_again_and_others_meanwhile(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "RETRY_FIRST_S", 0.05)
    failing = True
    head = outbox.LedgerOutbox.head

    def failing_head(self: outbox.LedgerOutbox) -> Head:
        if failing and self.store == "brooklyn":
            raise RefusedError("the disk failed under the ledger")
        return head(self)

    with open_store(tmp_path / "one", "downtown") as one, open_store(tmp_path / "two", "brooklyn") as two:
        async with (
            office(broker, "downtown", "brooklyn") as central,
            daemon(MemoryBus(broker), tmp_path / "one", tmp_path / "two") as running,
        ):
            await until(lambda: reads.link(one).acked_seq == reads.link(two).acked_seq == 3)
            monkeypatch.setattr(outbox.LedgerOutbox, "head", failing_head)
            reservations.reserve(one, {"MOUSE-001": 1})
            reservations.reserve(two, {"MOUSE-001": 1})
            await until(lambda: running.logged("store.failed"))
            await until(lambda: reads.link(one).acked_seq == 4)
            assert "disk failed" in running.service.health.readiness()[1]["reasons"]["stores"]
            assert len(central.archive["brooklyn"]) == 3
            failing = False
            await until(lambda: reads.link(two).acked_seq == 4)
            assert running.logged("store.served")
            # It failed many times, and that was said once.
            assert len(running.logged("store.failed")) == 1


@pytest.mark.fault_tolerance
def test_whoever_writes_into_the_pipe_without_a_pause_keeps_the_daemon_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path).close()
    home = Home(tmp_path)
    read = os.read

    def read_and_be_poked(fd: int, size: int) -> bytes:
        data = read(fd, size)
        os.write(fd, b"x")
        return data

    os.write(home.poke_fd, b"x")
    monkeypatch.setattr(os, "read", read_and_be_poked)
    home.drain_pokes()
    # The new one is there, for the loop to see when it has done the rest.
    assert select.select([home.poke_fd], [], [], 0)[0]
    home.close()


@pytest.mark.fault_tolerance
async def test_a_folder_that_turns_out_to_be_a_copy_stays_left_out_and_is_let_go(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "LEFT_OUT_EVERY_S", 0.05)
    open_store(tmp_path / "copy").close()
    damage(tmp_path / "copy")
    with open_store(tmp_path / "store") as ledger:
        async with (
            office(broker, "downtown"),
            daemon(MemoryBus(broker), tmp_path / "copy", tmp_path / "store") as running,
        ):
            await until(lambda: reads.link(ledger).acked_seq == 3)
            mend(tmp_path / "copy")
            await until(lambda: len(running.logged("store.left_out")) == 2)
            assert "two folders hold store downtown" in running.logged("store.left_out")[1]["message"]
            reservations.reserve(ledger, {"MOUSE-001": 1})
            await until(lambda: reads.link(ledger).acked_seq == 4)
            # For whoever finds out which is which.
            Home(tmp_path / "copy").close()


@pytest.mark.fault_tolerance
def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    (tmp_path / "run").write_text("in the place of a folder")
    with pytest.raises(RefusedError, match="cannot be used") as caught:
        Home(tmp_path)
    assert str(tmp_path / "run") in caught.value.message
    (tmp_path / "run").unlink()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "invd.pid").mkdir()
    with pytest.raises(RefusedError, match="cannot be used"):
        Home(tmp_path)
    (tmp_path / "run" / "invd.pid").rmdir()
    # What was taken before that was given back.
    Home(tmp_path).close()
