"""On a disk that is low nothing new is begun, and what is under way goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.clock import ManualClock
from invctl.errors import NotFoundError
from invctl.ledger import adjustments, disk, outbox, products, reservations, seeding
from invctl.ledger.disk import DiskLowError
from invctl.ledger.ledger import Ledger
from invctl.ledger.seeding import SeedProduct
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import assert_sound, head, hold, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fault_tolerance, pytest.mark.business]

Free = dict[str, int | None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """What is free on the disk, to be set."""
    said: Free = {"bytes": 10**12}
    monkeypatch.setattr(disk, "free_bytes", lambda _: said["bytes"])
    return said


@pytest.fixture
def ledger(tmp_path: Path, free: Free) -> Iterator[Ledger]:
    with new_ledger(tmp_path, ManualClock(), MOUSE=10) as ledger:
        yield ledger


BEGUN: dict[str, Callable[[Ledger], Any]] = {
    "reserve": lambda ledger: hold(ledger, MOUSE=1),
    "receive": lambda ledger: adjustments.adjust(ledger, {"MOUSE": 1}, "received"),
    "restock": lambda ledger: adjustments.adjust(ledger, {"MOUSE": 1}, "restock"),
    "transfer_in": lambda ledger: adjustments.adjust(ledger, {"MOUSE": 1}, "transfer_in"),
    "product add": lambda ledger: products.add(ledger, "CABLE", "Cable"),
}


@pytest.mark.parametrize("what", BEGUN)
def test_nothing_new_is_begun(ledger: Ledger, free: Free, what: str) -> None:
    before = tables(ledger)
    free["bytes"] = ledger.reserve_bytes - 1
    with pytest.raises(DiskLowError, match="63 MB are free on the ledger's disk, and 64 MB are kept") as caught:
        BEGUN[what](ledger)
    assert caught.value.code == "disk_low"
    assert "make room" in caught.value.hint
    assert caught.value.details == {"free_bytes": free["bytes"], "reserve_bytes": ledger.reserve_bytes}
    assert tables(ledger) == before
    free["bytes"] = ledger.reserve_bytes
    BEGUN[what](ledger)
    assert_sound(ledger)


def test_nor_is_a_store_seeded(tmp_path: Path, free: Free) -> None:
    with new_ledger(tmp_path, ManualClock()) as ledger:
        free["bytes"] = 0
        with pytest.raises(DiskLowError):
            seeding.seed(ledger, [SeedProduct("MOUSE", "Mouse", None, 1)])
        assert head(ledger) == 1


def test_what_is_under_way_goes_on(ledger: Ledger, free: Free) -> None:
    assert isinstance(ledger.clock, ManualClock)
    keys = [hold(ledger, MOUSE=1) for _ in range(3)]
    hold(ledger, MOUSE=1, hold_s=1)
    free["bytes"] = 0
    ledger.clock.advance(2)
    assert reservations.expire(ledger) == 1
    reservations.extend(ledger, keys[0])
    reservations.confirm(ledger, keys[0])
    reservations.cancel(ledger, keys[1])
    outbox.remember_link(ledger, acked_seq=1, state="up", reason="", suspects=0)
    adjustments.adjust(ledger, {"MOUSE": -1}, "damaged")
    # What somebody counted is to be known, whichever way it goes.
    adjustments.adjust(ledger, {"MOUSE": 1}, "cycle_count")
    products.edit(ledger, "MOUSE", {"price": 5})
    assert seeding.reset(ledger).reservations == 1
    assert_sound(ledger)


def test_a_request_that_was_decided_is_answered(ledger: Ledger, free: Free) -> None:
    key = hold(ledger, MOUSE=1, origin=Origin(request_id="r1"))
    with pytest.raises(NotFoundError):
        hold(ledger, PHONE=1, origin=Origin(request_id="r2"))
    free["bytes"] = 0
    assert hold(ledger, MOUSE=1, origin=Origin(request_id="r1")) == key
    with pytest.raises(NotFoundError):
        hold(ledger, PHONE=1, origin=Origin(request_id="r2"))
    # That the disk was low is nothing that was decided.
    with pytest.raises(DiskLowError):
        hold(ledger, MOUSE=1, origin=Origin(request_id="r3"))
    free["bytes"] = 10**12
    hold(ledger, MOUSE=1, origin=Origin(request_id="r3"))


def test_the_threshold_can_be_another_or_none(tmp_path: Path, free: Free) -> None:
    new_ledger(tmp_path, ManualClock(), MOUSE=10).close()
    free["bytes"] = 0
    with Ledger.open(tmp_path, reserve_bytes=0) as ledger:
        hold(ledger, MOUSE=1)
    free["bytes"] = 10**9
    with Ledger.open(tmp_path, reserve_bytes=10**9 + 1) as ledger, pytest.raises(DiskLowError):
        hold(ledger, MOUSE=1)


def test_a_disk_that_does_not_say_is_no_reason_to_refuse(ledger: Ledger, free: Free) -> None:
    free["bytes"] = None
    hold(ledger, MOUSE=1)


def test_what_is_free_is_what_this_user_may_write(tmp_path: Path) -> None:
    free = disk.free_bytes(tmp_path)
    assert free
    assert free > 0
    assert disk.free_bytes(tmp_path / "nowhere") is None
