"""What a shard's server tells of a checkpoint, and of what is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update
from structlog.testing import capture_logs

from central import tables
from central.database import writing
from invctl.model.stock import StockLevel
from invctl.sync import frames
from invctl.sync.shipper import HEARTBEAT_S
from tests.integration.central_service.office import Store, admitted, minted, serving

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.sql.dml import UpdateBase

    from central.shard_server import ShardServer
    from invctl.clock import ManualClock


@pytest.fixture
def server(engine: Engine, clock: ManualClock) -> ShardServer:
    admitted(engine, "downtown")
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    return server


@pytest.fixture
def downtown(clock: ManualClock, server: ShardServer) -> Store:
    store = Store("downtown", clock=clock)
    store.talk(server)
    return store


def change(engine: Engine, statement: UpdateBase) -> None:
    with writing(engine) as connection:
        connection.execute(statement)
        connection.commit()


def told_suspects(store: Store, server: ShardServer, clock: ManualClock) -> list[int]:
    """What the answers to the next heartbeat say."""
    clock.advance(2 * HEARTBEAT_S)
    answers = store.hear(server.round(store.says()))
    return [answer.suspects for answer in answers if isinstance(answer, frames.Ack)]


@pytest.mark.metrics
def test_one_that_agrees_is_counted(server: ShardServer, downtown: Store) -> None:
    downtown.states()
    with capture_logs() as lines:
        downtown.talk(server)
    assert (server.counts["checkpoints"], server.counts["checkpoints_differing"]) == (1, 0)
    (line,) = [line for line in lines if line["event"] == "checkpoint.agrees"]
    assert (line["log_level"], line["store"], line["seq"], line["cleared"]) == ("debug", "downtown", 3, 0)


@pytest.mark.metrics
@pytest.mark.fault_tolerance
def test_one_that_differs_is_an_error_that_names_what_was_done(
    server: ShardServer, downtown: Store, engine: Engine
) -> None:
    change(engine, update(tables.levels).where(tables.levels.c.sku == "MOUSE-001").values(on_hand=7))
    downtown.states(**{"LAPTOP-001": StockLevel(49, 0, 1)})
    with capture_logs() as lines:
        downtown.talk(server)
    assert [server.counts[name] for name in ("checkpoints", "checkpoints_differing", "drifts", "doubts")] == [1] * 4
    (line,) = [line for line in lines if line["event"] == "checkpoint.differs"]
    assert (line["log_level"], line["store"], line["seq"]) == ("error", "downtown", 3)
    assert (line["rebuilt"], line["suspect"], line["agrees_now"]) == (1, 1, False)
    assert line["named"] == ["MOUSE-001", "LAPTOP-001"]
    assert [line["sku"] for line in lines if line["event"] == "sku.drifted"] == ["MOUSE-001"]
    assert [line["sku"] for line in lines if line["event"] == "sku.suspect"] == ["LAPTOP-001"]


@pytest.mark.business
def test_a_store_is_told_how_many_of_its_skus_are_in_doubt_also_after_an_operator_has_cleared_some(
    server: ShardServer, downtown: Store, engine: Engine, clock: ManualClock
) -> None:
    downtown.states(**{"LAPTOP-001": StockLevel(49, 0, 1), "MOUSE-001": StockLevel(1, 0, 1)})
    downtown.talk(server)
    assert told_suspects(downtown, server, clock) == [2]
    change(engine, delete(tables.suspects).where(tables.suspects.c.sku == "MOUSE-001"))
    server.upkeep()
    assert told_suspects(downtown, server, clock) == [1]
    change(engine, delete(tables.suspects))
    server.upkeep()
    assert told_suspects(downtown, server, clock) == [0]
    downtown.adjust("MOUSE-001", 1)
    downtown.talk(server)
    assert downtown.acked_seq == 4
