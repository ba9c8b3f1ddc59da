"""Any history, applied in any batches, comes to what the model's own projection makes of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central import facts, tables
from invctl.clock import ManualClock, format_time, parse_time
from invctl.model import events
from invctl.model.projection import Projection
from invctl.model.stock import StockLevel
from tests.integration.central.head_office import HeadOffice
from tests.integration.central.histories import History

if TYPE_CHECKING:
    from pathlib import Path

SKUS = [f"SKU-{number}" for number in range(6)]


def replayed(history: History) -> Projection:
    projection = Projection()
    for seq, body in enumerate(history.bodies, 1):
        projection.apply(seq, facts.as_applied(facts.read(seq, body), body))
    return projection


def central_says(office: HeadOffice, store: str) -> tuple[object, object, object]:
    products = {row.sku: (row.name, row.price) for row in office.rows(tables.products, store=store)}
    lines: dict[str, list[tuple[str, int, int, int]]] = {}
    for row in office.rows(tables.reservation_lines, store=store):
        lines.setdefault(row.reservation, []).append((row.sku, row.quantity, row.confirmed, row.released))
    reservations = {
        row.reservation: (
            row.status,
            row.order_id,
            row.clerk,
            format_time(row.created_us),
            format_time(row.expires_us),
            "" if row.ended_us is None else format_time(row.ended_us),
            row.seq,
            lines.get(row.reservation, []),
        )
        for row in office.rows(tables.reservations, store=store)
    }
    return office.levels(store), products, reservations


def model_says(projection: Projection) -> tuple[object, object, object]:
    products = {sku: (item.name, item.price) for sku, item in projection.products.items()}
    reservations = {
        key: (
            item.status,
            item.order,
            item.clerk,
            *(text and format_time(parse_time(text)) for text in (item.created_at, item.expires_at, item.ended_at)),
            item.seq,
            [tuple(entry) for entry in item.lines],
        )
        for key, item in projection.reservations.items()
    }
    return projection.levels, products, reservations


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_in_random_batches(office: HeadOffice, seed: int) -> None:
    chance = random.Random(seed)
    histories = [History(random.Random(chance.getrandbits(32)), store) for store in ("downtown", "midtown", "brooklyn")]
    for history in histories:
        history.created()
        for _ in range(120):
            history.random_step(SKUS)
    office.admit(*(history.store for history in histories))
    while open_ones := [item for item in histories if office.cursor(item.store).applied_seq < item.seq]:
        some = chance.sample(open_ones, chance.randrange(1, len(open_ones) + 1))
        intakes = []
        for history in some:
            after = office.cursor(history.store).applied_seq
            intakes.append(history.intake(after, min(history.seq, after + chance.randrange(1, 40))))
        for applied in office.apply(*intakes):
            assert (applied.doubts, applied.drifts, applied.suspects) == ((), (), 0)
    for history in histories:
        projection = replayed(history)
        assert projection.close() == []
        assert central_says(office, history.store) == model_says(projection)
        assert office.verify(history.store).differences == []
        assert office.verify(history.store).findings == []


def mangled(history: History, chance: random.Random) -> None:
    """Write an event that no ledger writes, or damage the last one."""
    kind = chance.randrange(6)
    sku = chance.choice(SKUS)
    if kind == 0:
        history.adjust({sku: -chance.randrange(1, 50)}, chance.choice(["correction", "cycle_count", "seed"]))
    elif kind == 1:
        wrong = StockLevel(chance.randrange(-5, 50), chance.randrange(-5, 9), chance.randrange(90))
        history.levels[sku] = wrong
        history.adjust({sku: 1}, chance.choice(events.REASONS))
    elif kind == 2 and history.pending:
        key = chance.choice(sorted(history.pending))
        again = dict(history.pending[key])
        history.end(key, events.RESERVATION_CANCELLED)
        history.pending[key] = again
    elif kind == 3:
        body = history.bodies.pop()
        history.hashes.pop()
        at = chance.randrange(len(body))
        history.raw(body[:at] + chance.choice([b"", b"\\", b"0", b"\\u0000", b'"']) + body[at + 1 :])
    elif kind == 4:
        history.reserve({chance.choice(SKUS): 1}, order=chance.choice(["\0", "é", "A" * 5000]))
    else:
        history.raw(chance.randbytes(chance.randrange(40)))


@pytest.mark.fault_tolerance
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_mangled_histories_in_any_batches_come_to_the_same(migrated_sqlite: Path, tmp_path: Path, seed: int) -> None:
    """Nothing that a store may send is refused, and how it was batched never shows."""
    chance = random.Random(seed)
    history = History(random.Random(seed))
    history.created()
    for _ in range(40):
        history.random_step(SKUS)
        if chance.random() < 0.4:
            mangled(history, chance)
    outcomes = []
    for name in ("one", "many"):
        path = tmp_path / f"{seed}-{name}.db"
        path.write_bytes(migrated_sqlite.read_bytes())
        office = HeadOffice(f"sqlite:///{path}", ManualClock())
        office.admit("downtown")
        while (after := office.cursor("downtown").applied_seq) < history.seq:
            size = history.seq if name == "one" else chance.randrange(1, 9)
            [applied] = office.apply(history.intake(after, min(history.seq, after + size)))
            assert applied.drifts == ()
        assert applied.suspects == len(office.suspects())
        assert office.verify().differences == []
        outcomes.append((central_says(office, "downtown"), office.suspects()))
        office.close()
    assert outcomes[0] == outcomes[1]
    levels, products, reservations = model_says(replayed(history))
    said, suspects = outcomes[0]
    assert said[1:] == (products, reservations)
    assert isinstance(said[0], dict)
    assert isinstance(levels, dict)
    # A SKU that is in doubt and has no level of its own is listed with nothing.
    unlevelled = {sku: StockLevel(0, 0, 0) for sku in suspects if sku not in levels}
    assert said[0] == levels | unlevelled
