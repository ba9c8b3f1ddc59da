"""Each field of the proof shows its violation: it is planted here, in the files, behind everybody's back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest

from central.database import open_database
from invctl.clock import ManualClock
from invctl.ledger import reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Origin
from scripts.chain.journal import Journal, acknowledged
from scripts.chain.proof import Proof, prove, quantile_ms
from scripts.chain.verdict import ask_for_proof, holds, in_words
from tests.unit.scripts.chains import carry, traded_chain

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.chain.folder import ChainFolder

pytestmark = pytest.mark.business


@pytest.fixture
def chain(tmp_path: Path) -> ChainFolder:
    return traded_chain(tmp_path, ManualClock(1_900_000_000_000_000))


def proof_of(chain: ChainFolder, *, since_us: int = 0) -> Proof:
    return prove(chain.homes(), chain.central_database, since_us=since_us)


def in_ledger(chain: ChainFolder, *statements: str) -> None:
    connection = apsw.Connection(str(chain.home("downtown") / "ledger.db"))
    for trigger in ("events_keep_update", "events_keep_delete", "movements_keep_update", "movements_keep_delete"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def at_central(chain: ChainFolder, *statements: str) -> None:
    connection = apsw.Connection(str(chain.central / "central.db"))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_sound_run_holds(chain: ChainFolder) -> None:
    proof = proof_of(chain)
    assert proof.differences == []
    assert proof.holds
    assert (proof.stores, proof.lost, proof.applied_twice, proof.oversold) == (2, 0, 0, 0)
    # Opening, five products, five levels in one event, and four of trade, in each store.
    assert proof.events_committed == proof.events_applied == 2 * (1 + 5 + 1 + 4)


def test_events_committed_counts_the_ledgers(chain: ChainFolder) -> None:
    before = proof_of(chain).events_committed
    in_ledger(chain, "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    assert proof_of(chain).events_committed == before - 1


def test_an_event_that_the_archive_lacks_is_lost(chain: ChainFolder) -> None:
    at_central(chain, "DELETE FROM archive WHERE store = 'downtown' AND seq = 9")
    proof = proof_of(chain)
    assert (proof.lost, proof.equal, proof.holds) == (1, False, False)
    assert proof.events_applied == proof.events_committed - 1


def test_the_last_event_counts_too(chain: ChainFolder) -> None:
    at_central(chain, "DELETE FROM archive WHERE store = 'midtown' AND seq = (SELECT max(seq) FROM archive)")
    assert proof_of(chain).lost == 1


def test_an_event_whose_bytes_differ_is_lost(chain: ChainFolder) -> None:
    at_central(
        chain,
        "UPDATE archive SET body = CAST(replace(CAST(body AS TEXT), 'A-1', 'A-2') AS BLOB)"
        " WHERE store = 'downtown' AND type = 'inventory.reservation.created' AND CAST(body AS TEXT) LIKE '%A-1%'",
    )
    proof = proof_of(chain)
    assert (proof.lost, proof.equal) == (1, False)


def test_an_event_archived_under_two_seqs_is_applied_twice(chain: ChainFolder) -> None:
    at_central(
        chain,
        "INSERT INTO archive SELECT store, seq + 1, event_id, type, time_us, hash, shard, position + 1000,"
        " applied_us, body FROM archive WHERE store = 'downtown'"
        " AND seq = (SELECT max(seq) FROM archive WHERE store = 'downtown')",
    )
    proof = proof_of(chain)
    assert (proof.lost, proof.applied_twice, proof.equal, proof.holds) == (0, 1, False, False)


def test_an_event_whose_effect_was_applied_twice_is_unequal(chain: ChainFolder) -> None:
    at_central(chain, "UPDATE levels SET on_hand = on_hand + 5 WHERE store = 'downtown' AND sku = 'KEYBOARD-001'")
    proof = proof_of(chain)
    assert (proof.equal, proof.holds) == (False, False)
    assert "central's level of KEYBOARD-001" in proof.differences[0]


def test_a_ledger_whose_level_is_not_its_history_is_unequal(chain: ChainFolder) -> None:
    in_ledger(chain, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'LAPTOP-001'")
    assert "the ledger's level of LAPTOP-001" in proof_of(chain).differences[0]


@pytest.mark.parametrize("whose", ["central's", "the ledger's"])
def test_a_reservation_in_another_state_is_unequal(chain: ChainFolder, whose: str) -> None:
    if whose == "central's":
        at_central(
            chain, "UPDATE reservations SET status = 'cancelled' WHERE store = 'downtown' AND status = 'pending'"
        )
    else:
        in_ledger(chain, "UPDATE reservations SET status = 'cancelled', ended_us = 1 WHERE status = 'pending'")
    proof = proof_of(chain)
    assert not proof.holds
    assert f"{whose} reservation" in proof.differences[0]


def test_a_cursor_behind_is_unequal(chain: ChainFolder) -> None:
    at_central(chain, "UPDATE cursors SET applied_seq = applied_seq - 1 WHERE store = 'midtown'")
    assert "central's cursor is at" in proof_of(chain).differences[0]


def test_a_store_that_is_not_ours_is_unequal(chain: ChainFolder) -> None:
    (chain.home("midtown") / "ledger.db").unlink()
    proof = proof_of(chain)
    assert proof.stores == 1
    assert "has no ledger here" in proof.differences[0]


@pytest.mark.parametrize(("on_hand", "reserved", "oversold"), [(-200, 0, 100), (0, 150, 50), (0, 100, 0)])
def test_units_beyond_what_there_was_are_oversold(
    chain: ChainFolder, on_hand: int, reserved: int, oversold: int
) -> None:
    in_ledger(
        chain,
        "INSERT INTO products VALUES ('PLANTED', 'Planted', NULL)",
        "INSERT INTO movements VALUES ('PLANTED', 1, 100, 0, 100, 0, 1)",
        f"INSERT INTO movements VALUES ('PLANTED', 2, {on_hand}, {reserved}, 0, 0, 2)",
        # It is made good at once: only the history shows it.
        f"INSERT INTO movements VALUES ('PLANTED', 3, {-on_hand}, {-reserved}, 0, 0, 3)",
    )
    proof = proof_of(chain)
    assert proof.oversold == oversold
    assert proof.holds is (oversold == 0)


def test_latencies_count_from_the_moment_given(chain: ChainFolder) -> None:
    at_central(chain, "UPDATE archive SET applied_us = time_us + 7000")
    assert proof_of(chain).as_dict()["latency_ms"] == {"p50": 7.0, "p99": 7.0}
    assert proof_of(chain, since_us=2**60).as_dict()["latency_ms"] == {"p50": None, "p99": None}


def test_quantiles() -> None:
    assert quantile_ms(range(0, 100_000, 1000), 0.5) == 50.0
    assert quantile_ms(range(0, 100_000, 1000), 0.99) == 99.0
    assert quantile_ms([5000], 0.99) == 5.0


def test_an_acknowledged_operation_of_which_there_is_no_event_is_missing(chain: ChainFolder) -> None:
    def told(*request_ids: str) -> Proof:
        return prove(chain.homes(), chain.central_database, since_us=0, told={"downtown": set(request_ids)})

    with Ledger.open(chain.home("downtown")) as ledger:
        reservations.reserve(ledger, {"MOUSE-001": 1}, origin=Origin(request_id="kept-1"))
    engine = open_database(chain.central_database, clock=ManualClock(1_900_000_000_000_000))
    carry(chain, engine)
    engine.dispose()
    sound = told("kept-1")
    assert (sound.acknowledged, sound.acknowledged_missing, sound.holds) == (1, 0, True)
    broken = told("kept-1", "gone-1")
    assert (broken.acknowledged, broken.acknowledged_missing, broken.equal, broken.holds) == (2, 1, True, False)
    assert (broken.as_dict()["acknowledged"], broken.as_dict()["acknowledged_missing"]) == (2, 1)


def test_a_journal_outlives_its_clerk_but_for_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "acknowledged" / "downtown.log"
    assert acknowledged(path) == set()
    for request_id in ("a-1", "a-2"):
        journal = Journal(path)
        journal.note(request_id)
        assert request_id in acknowledged(path)
        journal.close()
    with path.open("a") as file:
        file.write("a-3")
    assert acknowledged(path) == {"a-1", "a-2"}


def test_the_proof_is_a_process_that_exits_1_when_it_does_not_hold(chain: ChainFolder) -> None:
    command = [sys.executable, "-m", "scripts.chain.proof", "--chain", str(chain.path)]
    sound = subprocess.run(command, capture_output=True, check=False)
    assert (sound.returncode, sound.stderr) == (0, b"")
    assert json.loads(sound.stdout)["equal"] is True
    at_central(chain, "DELETE FROM archive WHERE store = 'downtown' AND seq = 9")
    broken = subprocess.run(command, capture_output=True, check=False)
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["lost"] == 1
    assert b"downtown: event 9" in broken.stderr


def test_the_verdict_says_it_in_json_and_in_words(chain: ChainFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    at_central(chain, "DELETE FROM archive WHERE store = 'downtown' AND seq = 9")
    proof = ask_for_proof(chain, os.environ, since_us=0, broker="none", seconds=1.25, kills={"invd": 2, "broker": 0})
    assert list(proof) == [
        "stores",
        "events_committed",
        "events_applied",
        "lost",
        "applied_twice",
        "oversold",
        "equal",
        "latency_ms",
        "broker",
        "seconds",
        "acknowledged",
        "acknowledged_missing",
        "kills",
    ]
    assert not holds(proof)
    assert "killed meanwhile (-9): invd 2 times" in in_words(proof)
    assert "CENTRAL DIFFERS" in in_words(proof)
