"""scripts/seed and scripts/reset: twice equals once, nothing is lost, and head office comes back by itself."""

from __future__ import annotations

import json
import os
import pty
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daemon.home import Home
from invctl.ledger import reads, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.verify import verify
from scripts.chain.broker import Broker
from scripts.chain.folder import ChainFolder
from scripts.chain.processes import ProcessTable
from scripts.chain.proof import prove
from scripts.chain.runner import ChainRunner
from tests.servers import postgres_url_of_a_server, schema_of_its_own, shared_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.business


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("INVCTL_", "INVCENTRAL_"))}
    return subprocess.run(
        [sys.executable, "-P", "-m", f"scripts.{name}", *map(str, arguments)],
        env={**kept, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def chain(tmp_path: Path) -> ChainFolder:
    rows(script("seed", tmp_path, "-o", "json"))
    return ChainFolder(tmp_path)


def heads(chain: ChainFolder) -> dict[str, int]:
    found = {}
    for home in chain.homes():
        with Ledger.open(home) as ledger:
            found[home.name] = reads.head_seq(ledger)
    return found


def test_three_stores_with_five_products_of_10_to_100_units(chain: ChainFolder) -> None:
    assert [home.name for home in chain.homes()] == ["brooklyn", "downtown", "midtown"]
    with Ledger.open(chain.home("downtown")) as ledger:
        stock, _ = reads.stock(ledger)
        assert ledger.store.name == "Tech Store Downtown"
        assert verify(ledger).findings == []
    assert [row.sku for row in stock] == ["HEADPHONE-001", "KEYBOARD-001", "LAPTOP-001", "MONITOR-001", "MOUSE-001"]
    assert all(10 <= row.on_hand <= 100 and row.reserved == 0 for row in stock)


def test_twice_equals_once_and_a_store_that_traded_is_left_alone(chain: ChainFolder) -> None:
    with Ledger.open(chain.home("midtown")) as ledger:
        reservations.reserve(ledger, {"MOUSE-001": 1})
    before = heads(chain)
    again = {row["store"]: row["seeded"] for row in rows(script("seed", chain.path, "-o", "json"))}
    assert again == {"downtown": "nothing new", "midtown": "left alone: it has traded", "brooklyn": "nothing new"}
    assert heads(chain) == before


def test_more_stores_and_products_leave_the_first_ones_as_they_are(chain: ChainFolder) -> None:
    with Ledger.open(chain.home("downtown")) as ledger:
        before = {row.sku: row.on_hand for row in reads.stock(ledger)[0]}
    more = rows(script("seed", chain.path, "--stores", 5, "--products", 7, "-o", "json"))
    assert [row["store"] for row in more] == ["downtown", "midtown", "brooklyn", "store-0004", "store-0005"]
    with Ledger.open(chain.home("downtown")) as ledger:
        after = {row.sku: row.on_hand for row in reads.stock(ledger)[0]}
    assert after.items() >= before.items()
    assert len(after) == 7


def test_a_reset_store_is_empty_keeps_its_history_and_can_be_seeded_again(chain: ChainFolder) -> None:
    with Ledger.open(chain.home("downtown")) as ledger:
        opened = reservations.reserve(ledger, {"MOUSE-001": 1}).event.subject
        before = reads.head_seq(ledger)
    dry = rows(script("reset", chain.path, "--store", "downtown", "--dry-run", "-o", "json"))
    assert (dry[0]["reset"], dry[0]["levels"], dry[0]["reservations"]) == ("would be", 5, 1)
    assert heads(chain)["downtown"] == before
    done = rows(script("reset", chain.path, "--store", "downtown", "--yes", "-o", "json"))
    assert (done[0]["reset"], done[0]["levels"], done[0]["reservations"]) == ("yes", 5, 1)
    with Ledger.open(chain.home("downtown")) as ledger:
        assert all((row.on_hand, row.reserved) == (0, 0) for row in reads.stock(ledger)[0])
        assert reads.reservation(ledger, opened).status == "cancelled"
        assert reads.head_seq(ledger) == before + 2
        assert verify(ledger).findings == []
    assert (
        rows(script("reset", chain.path, "--store", "downtown", "--yes", "-o", "json"))[0]["reset"] == "nothing to do"
    )
    assert rows(script("seed", chain.path, "-o", "json"))[0]["seeded"] == "yes"


def test_nobody_to_ask_is_refused(chain: ChainFolder) -> None:
    before = heads(chain)
    done = script("reset", chain.path, "--store", "downtown")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert script("reset", chain.path, "--yes").returncode == 2
    assert script("reset", chain.path, "--store", "nowhere", "--yes").returncode == 3
    for folder, told in [
        (chain.path / "missing", f"there is no folder {chain.path / 'missing'}"),
        (chain.path.parent, f"there is no store in {chain.path.parent / 'stores'}"),
    ]:
        for options in (["--all-stores"], ["--all-stores", "--central"]):
            done = script("reset", folder, *options, "--yes")
            assert (done.returncode, told in done.stderr) == (3, True), done.stderr
    assert heads(chain) == before


@pytest.mark.parametrize(("typed", "code"), [("downtown", 0), ("midtown", 2)])
def test_the_name_has_to_be_typed(chain: ChainFolder, typed: str, code: int) -> None:
    before = heads(chain)["downtown"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "scripts.reset", str(chain.path), "--store", "downtown"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(ours, f"{typed}\n".encode())
    _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code
    assert b"type downtown to reset it" in said
    assert (heads(chain)["downtown"] > before) is (code == 0)


def test_a_store_whose_daemon_runs_is_not_reset(chain: ChainFolder) -> None:
    before = heads(chain)
    home = Home(chain.home("downtown"))
    done = script("reset", chain.path, "--store", "downtown", "--yes")
    home.close()
    assert done.returncode == 8
    assert "invd serves downtown" in done.stderr
    assert heads(chain) == before


def test_a_head_office_that_was_never_set_up_is_said(chain: ChainFolder) -> None:
    done = script("reset", chain.path, "--central", "--yes")
    assert done.returncode == 3
    assert f"no head office in {chain.central}" in done.stderr
    assert not chain.central.exists()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with shared_broker() as url:
        yield Broker(url, "for tests")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "processes.json", tmp_path / "logs") as table:
        yield table


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, chain: ChainFolder) -> Iterator[str]:
    """Head office's database; where it is not the usual one, scripts find it in head office's settings."""
    if request.param == "sqlite":
        yield chain.central_database
        return
    with schema_of_its_own(postgres_url_of_a_server()) as url:
        chain.central.mkdir()
        (chain.central / "config.toml").write_text(f'database_url = "{url}"')
        yield url


@pytest.mark.slow
@pytest.mark.fault_tolerance
def test_after_a_reset_head_office_comes_back_by_itself(
    chain: ChainFolder, database_url: str, broker: Broker, processes: ProcessTable
) -> None:
    def run() -> ChainRunner:
        runner = ChainRunner(chain, processes, broker, f"test-{secrets.token_hex(4)}", database_url=database_url)
        runner.start_central()
        runner.start_courier("all", chain.homes())
        runner.wait_for_links()
        return runner

    runner = run()
    refused = script("reset", chain.path, "--central", "--yes")
    assert (refused.returncode, "invcentral runs" in refused.stderr) == (8, True)
    runner.drain(60)
    assert prove(chain.homes(), database_url, since_us=0).holds
    dry = rows(script("reset", chain.path, "--central", "--dry-run", "-o", "json"))
    assert dry[0]["events"] == sum(heads(chain).values())
    assert prove(chain.homes(), database_url, since_us=0).holds
    rows(script("reset", chain.path, "--central", "--yes", "-o", "json"))
    emptied = prove(chain.homes(), database_url, since_us=0)
    assert (emptied.events_applied, emptied.lost) == (0, emptied.events_committed)
    assert rows(script("reset", chain.path, "--central", "--yes", "-o", "json"))[0]["reset"] == "nothing to do"
    run().drain(60)
    assert prove(chain.homes(), database_url, since_us=0).holds
