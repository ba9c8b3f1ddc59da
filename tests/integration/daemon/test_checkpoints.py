"""invd lets its ledgers state their levels now and then, and carries that to head office like any event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daemon import service as service_module
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.errors import BusyError
from invctl.ledger import adjustments, checkpoints
from invctl.model import events
from tests.integration.daemon.office import until
from tests.integration.daemon.test_service import daemon, office, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from invctl.ledger.ledger import Ledger


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "CHECKPOINT_EVERY_S", 0.05)
    monkeypatch.setattr(checkpoints, "PERIOD_S", 0)


def types(ledger: Ledger) -> list[str]:
    return [kind for (kind,) in ledger.rows("SELECT type FROM events ORDER BY seq")]


async def test_a_checkpoint_follows_what_happened_and_is_sent(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with open_store(tmp_path) as ledger:
        async with office(broker, "downtown") as central, daemon(MemoryBus(broker), tmp_path) as running:
            await until(lambda: len(central.archive.get("downtown", [])) == 4)
            adjustments.adjust(ledger, {"MOUSE-001": 1}, "received")
            await until(lambda: len(central.archive["downtown"]) == 6)
            # It may be at head office before the thread that wrote it is heard of.
            await until(lambda: [line["seq"] for line in running.logged("ledger.checkpoint")] == [4, 6])
        # Nothing happened after the last one, so there are no more.
        stated = [kind == events.LEDGER_CHECKPOINT for kind in types(ledger)]
        assert stated == [False, False, False, True, False, True]


@pytest.mark.fault_tolerance
async def test_a_store_whose_ledger_is_busy_does_not_keep_others_from_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = checkpoints.append

    def busy_downtown(ledger: Ledger) -> object:
        if ledger.store.store == "downtown":
            raise BusyError("the ledger is busy", hint="try again")
        return append(ledger)

    monkeypatch.setattr(checkpoints, "append", busy_downtown)
    homes = [tmp_path / store for store in ("downtown", "midtown")]
    with open_store(homes[0], "downtown") as downtown, open_store(homes[1], "midtown") as midtown:
        broker = MemoryBroker()
        async with daemon(MemoryBus(broker), *homes) as running:
            await until(lambda: types(midtown)[-1] == events.LEDGER_CHECKPOINT)
            await until(lambda: running.logged("job.failed"))
            assert running.logged("job.failed")[0]["job"] == "checkpoint"
            monkeypatch.setattr(checkpoints, "append", append)
            await until(lambda: types(downtown)[-1] == events.LEDGER_CHECKPOINT)
