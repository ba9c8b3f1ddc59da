"""`invcentral` as an operator has it: real processes, a real broker, a real daemon beside a real ledger."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from central import tables
from central.app import commands
from central.database import writing
from central.home import status_path
from central.tables import ADMITTED
from invctl.clock import SystemClock
from invctl.console.lazy import Family
from scripts.chain.broker import free_port
from tests.e2e.head_office import PATIENCE_S, Office, eventually, head_seq, serve_store
from tests.integration.central_service.office import Store, minted, serving
from tests.servers import postgres_url_of_a_server, real_broker, schema_of_its_own

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

SECRET = "hunter2"
on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.mark.cli
class TestSettingUp:
    def test_init_makes_a_folder_that_others_cannot_read_and_twice_is_fine(self, unfounded: Office) -> None:
        first, second = unfounded("init", "-o", "json"), unfounded("init", "-o", "json")
        expected = {
            "home": str(unfounded.home),
            "database": f"sqlite:///{unfounded.home}/central.db",
            "shards": 1,
            "created": True,
        }
        assert (first.code, first.json) == (0, expected)
        assert (second.code, second.json) == (0, {**expected, "created": False})
        assert (unfounded.home / "config.toml").stat().st_mode & 0o077 == 0
        assert "already" in unfounded("init").out

    @pytest.mark.parametrize(
        "argv",
        [
            ["status"],
            ["status", "--watch"],
            ["close", "--date", "2026-11-24"],
            ["trace", "R-7K4QMQ"],
            ["stock"],
            ["reservations"],
            ["verify"],
            ["tail"],
            ["stores", "list"],
            ["suspects", "list"],
            ["run"],
        ],
    )
    def test_before_that_every_command_says_what_to_do(self, unfounded: Office, argv: list[str]) -> None:
        done = unfounded(*argv, "-o", "json")
        assert done.code == 3
        assert "invcentral init" in done.error["hint"]

    def test_sqlite_has_one_shard(self, unfounded: Office) -> None:
        done = unfounded("init", "--shards", "2", "-o", "json")
        assert done.code == 2
        assert "PostgreSQL" in done.error["hint"]

    def test_postgresql_is_named_once_and_divided_for_good(self, unfounded: Office, tmp_path: Path) -> None:
        with schema_of_its_own(postgres_url_of_a_server()) as url:
            first = unfounded("init", "--database-url", url, "--shards", "8", "-o", "json").json
            assert (first["shards"], first["created"]) == (8, True)
            assert url in (unfounded.home / "config.toml").read_text()
            other = unfounded("init", "--shards", "4", "-o", "json")
            assert (other.code, other.error["shards"]) == (5, 8)
            again = unfounded("init", "-o", "json").json
            assert (again["shards"], again["created"]) == (8, False)
            status = unfounded("status", "-o", "json").json
            assert [shard["shard"] for shard in status["shards"]] == list(range(8))
            # A position without its shard would pass over nothing in the others.
            for start, code, told in [
                ("13", 2, "there are 8 shards, and 13 does not say of which it is a position"),
                ("1:13", 3, "there is no position 1:13: the last of shard 1 is 0"),
                ("8:1", 3, "there is no shard 8"),
            ]:
                refused = unfounded("tail", "--no-follow", "--from", start, "-o", "json")
                assert (refused.code, refused.error["message"]) == (code, told)
            assert unfounded("tail", "--no-follow", "--from", "0").code == 0
            # Another central's home names the database alone.
            elsewhere = unfounded("init", "--home", str(tmp_path / "b"), "--database-url", url, "-o", "json").json
            assert elsewhere["shards"] == 8

    def test_another_database_than_the_one_in_the_settings_is_refused(self, office: Office, tmp_path: Path) -> None:
        done = office("init", "--database-url", f"sqlite:///{tmp_path}/other.db", "-o", "json")
        assert done.code == 5
        assert not (tmp_path / "other.db").exists()

    def test_no_password_is_shown(self, unfounded: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"postgresql://office:{SECRET}@127.0.0.1:1/central"
        done = [unfounded("init", "--database-url", url)]
        monkeypatch.setenv("INVCENTRAL_DATABASE_URL", url)
        done += [unfounded("status"), unfounded("tail", "-o", "json"), unfounded("stock", "-o", "json")]
        assert [each.code for each in done] == [7] * 4
        assert not any(SECRET in each.out + each.err for each in done)

    def test_a_broker_s_password_is_not_logged(self, office: Office) -> None:
        office.environ["INVCTL_REDIS_URL"] = f"redis://:{SECRET}@127.0.0.1:1/0"
        central = office.start("run", "--log-format", "json")
        central.until("job.failed")
        status = office("status")
        assert "not connected" in status.out
        assert central.send(signal.SIGTERM) == 0
        assert SECRET not in central.err() + status.out

    def test_a_broker_s_url_that_cannot_be_read_is_a_usage_error(self, office: Office) -> None:
        central = office.start("run", "--redis-url", f"amqp://x:{SECRET}@y")
        assert central.end() == 2
        assert "rediss://" in central.err()
        assert SECRET not in central.err()

    def test_every_command_is_documented_with_an_example(self, unfounded: Office) -> None:
        paths = [
            [name, *more]
            for name, entry in commands().items()
            for more in ([[each] for each in entry.commands] if isinstance(entry, Family) else [[]])
        ]
        pages = {" ".join(path): unfounded(*path, "--help") for path in paths}
        assert {name: page.code for name, page in pages.items()} == dict.fromkeys(pages, 0)
        assert [
            name for name, page in pages.items() if f"invcentral {name}" not in page.out.partition("Usage")[0]
        ] == []


@on_both
@pytest.mark.cli
@pytest.mark.business
class TestShowing:
    def test_stock_stands_beside_its_freshness(self, filled: Office) -> None:
        rows = filled("stock", "MOUSE-001", "-o", "json").json
        assert [(row["store"], row["on_hand"], row["reserved"], row["available"]) for row in rows] == [
            ("downtown", 50, 2, 48),
            ("midtown", 50, 2, 48),
        ]
        assert all(row["as_of_seq"] == 5 and row["gap"] is False and row["age_s"] is not None for row in rows)
        assert list(rows[0]) == [
            *("store", "sku", "name", "price", "currency", "on_hand", "reserved", "available", "version", "suspect"),
            *("as_of_seq", "age_s", "gap", "head_seq", "heard_s", "silent", "lacks_seq"),
        ]
        csv = filled("stock", "MOUSE-001", "-o", "csv").out.splitlines()
        assert csv[0].split(",") == list(rows[0])
        assert filled("stock", "--store", "downtown", "-q").out.split() == ["KEYBOARD-001", "LAPTOP-001", "MOUSE-001"]

    @pytest.mark.parametrize("command", ["stock", "reservations --all"])
    def test_a_reader_that_has_seen_enough_leaves_no_error(self, filled: Office, command: str) -> None:
        many = range(3000)
        with filled.engine() as engine, engine.begin() as connection:
            (level,) = connection.execute(select(tables.levels).limit(1)).mappings()
            connection.execute(insert(tables.levels), [{**level, "sku": f"SKU-{number}"} for number in many])
            (held,) = connection.execute(select(tables.reservations).limit(1)).mappings()
            rows = [{**held, "reservation": f"R-{number}"} for number in many]
            connection.execute(insert(tables.reservations), rows)
        shell = f"{sys.executable} -P -m central {command} -o ndjson | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", shell], env=filled.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (141, False), done.stderr

    def test_old_numbers_say_that_they_may_have_moved(self, filled: Office) -> None:
        for command in (["stock", "MOUSE-001"], ["status"], ["reservations"]):
            now_us = SystemClock().now_us()
            with filled.engine() as engine, engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE cursors SET heard_us = {now_us} WHERE store = 'downtown'")
                connection.exec_driver_sql(
                    f"UPDATE cursors SET heard_us = {now_us - 3600_000_000} WHERE store = 'midtown'"
                )
            told = filled(*command).out.splitlines()
            rows = [line for line in told if line.startswith(("downtown", "midtown"))]
            assert ["may have moved" in line for line in rows] == [False, True]

    def test_a_known_gap_is_shown(self, filled: Office) -> None:
        with filled.engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql("UPDATE cursors SET head_seq = 9 WHERE store = 'midtown'")
        assert "4 behind" in filled("stock", "--store", "midtown").out
        assert [(row["gap"], row["head_seq"]) for row in filled("stock", "LAPTOP-001", "-o", "json").json] == [
            (False, 5),
            (True, 9),
        ]

    @pytest.mark.parametrize(
        ("argv", "code"),
        [
            (["stock", "NOPE-001"], 3),
            (["stock", "--store", "nowhere"], 3),
            (["reservations", "--store", "nowhere"], 3),
            (["verify", "nowhere"], 3),
            (["suspects", "clear", "nowhere", "MOUSE-001"], 3),
            (["suspects", "show", "downtown", "not a sku"], 2),
            (["stock", "not a sku"], 2),
            (["stores", "admit", "Not a store"], 2),
            (["reservations", "--status", "gone"], 2),
            (["tail", "--from", "x"], 2),
            (["tail", "--from", "11"], 3),
            (["tail", "--type", "reservation.creatd"], 2),
            (["reservations", "--limit", "abc"], 2),
            (["stores", "admit", "downtwon"], 3),
            (["stores", "remove", "nowhere"], 3),
            (["stores", "remove", "downtown"], 8),
            (["tail", "--since", "yesterday"], 2),
            (["tail", "--since", "10m", "--from", "1"], 2),
            (["tail", "--until-idle", "0"], 2),
            (["tail", "--until-idle", "soon"], 2),
            (["tail", "--until-idle", "5", "--no-follow"], 2),
        ],
    )
    def test_what_is_not_there_or_not_understood_has_its_exit_code_and_a_hint(
        self, filled: Office, argv: list[str], code: int
    ) -> None:
        done = filled(*argv, "-o", "json")
        assert done.code == code
        assert done.error["message"]
        assert done.error["hint"]

    def test_reservations_are_listed_by_store_and_status(self, filled: Office) -> None:
        (row,) = filled("reservations", "--store", "downtown", "-o", "json").json
        assert row["reservation"].startswith("downtown/R-")
        assert (row["status"], row["order"], row["clerk"]) == ("pending", "A-17", "anna")
        assert row["lines"] == [{"sku": "MOUSE-001", "quantity": 2, "confirmed": 0, "released": 0}]
        assert {"as_of_seq", "age_s", "gap"} <= set(row)
        assert filled("reservations", "--status", "confirmed", "-o", "json").json == []
        assert len(filled("reservations", "--status", "all", "-o", "json").json) == 2
        assert "2 MOUSE-001" in filled("reservations").out
        assert "these are the first 1;" in filled("reservations", "--limit", "1").err

    def test_status_shows_process_shards_and_stores(self, filled: Office) -> None:
        status = filled("status", "-o", "json").json
        assert (status["running"], status["process"], status["events"]) == (False, None, 10)
        assert [(shard["shard"], shard["holder"], shard["position"]) for shard in status["shards"]] == [
            (0, "office:1", 10)
        ]
        assert [(row["store"], row["status"], row["lag"], row["as_of_seq"]) for row in status["stores"]] == [
            ("downtown", "admitted", 0, 5),
            ("harlem", "pending", 2, 0),
            ("midtown", "admitted", 0, 5),
        ]
        told = filled("status").out
        assert "not running" in told
        assert "harlem: waits to be admitted" in told

    def test_what_an_operator_has_to_see_to_is_said_in_words(self, filled: Office) -> None:
        assert "attention" not in filled("status").out + filled("stores", "list").err + filled("stock").err
        with filled.engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql("UPDATE cursors SET lacks_seq = 5 WHERE store = 'midtown'")
            connection.exec_driver_sql("UPDATE cursors SET other_ledger_us = heard_us WHERE store = 'downtown'")
        told = "midtown: its ledger lacks event 5, which head office has: a restored backup, or a copy of it"
        refused = "downtown: another ledger under this id was refused"
        stock = filled("stock", "MOUSE-001")
        assert told in filled("status").out
        assert refused in filled("status").out
        assert told in filled("stores", "list").err
        assert refused in filled("stores", "list").err
        assert told in stock.err
        lines = [line for line in stock.out.splitlines() if "MOUSE" in line]
        assert ["lacks event 5" in line for line in lines] == [False, True]
        assert [row["lacks_seq"] for row in filled("stock", "MOUSE-001", "-o", "json").json] == [None, 5]

    def test_with_no_central_running_it_is_said_that_it_is_not_the_stores(self, filled: Office) -> None:
        for command in ("stock", "reservations"):
            assert "no central runs" in filled(command).err

    def test_several_are_admitted_at_once_and_a_mistake_is_taken_back(self, filled: Office) -> None:
        assert filled("stores", "admit", "harlem", "downtwon", "-o", "json").code == 3
        assert filled("stores", "list", "-o", "json").json[1]["status"] == "pending"
        assert filled("stores", "admit", "harlem", "downtwon", "--unheard", "-q").out.split() == ["harlem", "downtwon"]
        assert filled("stores", "remove", "downtwon").code == 0
        assert filled("stores", "list", "-q").out.split() == ["downtown", "harlem", "midtown"]

    def test_all_reservations_and_the_open_ones_have_two_names_each(self, filled: Office) -> None:
        # How fresh it is changes between two looks.
        def ids(*argv: str) -> list[str]:
            return filled("reservations", *argv, "-q").out.split()

        assert ids("--all") == ids("--status", "all") == ids("--status", "open") == ids()
        assert len(ids()) == 2

    def test_a_tail_says_what_it_has_not_heard_of(self, filled: Office) -> None:
        done = filled("tail", "--no-follow", "--store", "downtwon", "--store", "midtown", "--sku", "NOPE-001")
        assert done.code == 0
        assert "not heard of downtwon, NOPE-001 yet" in done.err

    def test_a_store_that_waits_is_listed_with_its_ledger_and_admitted(self, filled: Office) -> None:
        waiting = filled("stores", "list", "-o", "json").json[1]
        assert (waiting["store"], waiting["status"], waiting["head_seq"]) == ("harlem", "pending", 2)
        assert len(waiting["first_hash"]) == 64
        shown = filled("stores", "list")
        assert waiting["first_hash"][:16] in shown.out
        assert "stores admit harlem" in shown.err
        done = filled("stores", "admit", "harlem", "-o", "json").json
        assert (done["status"], done["already"], done["first_hash"]) == ("admitted", False, waiting["first_hash"])
        assert filled("stores", "admit", "harlem", "-o", "json").json["already"] is True
        assert filled("stores", "admit", "queens", "--unheard").out.endswith("none has yet\n")

    def test_verify_holds_and_fails_with_8_where_what_is_shown_is_not_what_was_archived(self, filled: Office) -> None:
        assert filled("verify").code == 0
        shown = filled("verify", "-o", "json").json
        assert [(row["ok"], row["first_seq"], row["first_event"]) for row in shown] == [(True, None, None)] * 3
        with filled.engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql("UPDATE levels SET on_hand = 51 WHERE store = 'midtown' AND sku = 'MOUSE-001'")
        done = filled("verify")
        assert done.code == 8
        assert "midtown does not hold" in done.out
        assert "the first event from which on they differ is 4: reserved 2 MOUSE-001 (R-" in done.out
        assert "level MOUSE-001: the archive says on hand 50, reserved 2, version 2, shown is on hand 51" in done.out
        assert "(from event 4 on)" in done.out
        assert "`invcentral suspects clear midtown MOUSE-001 --rebuild`" in done.err
        (row,) = filled("verify", "midtown", "-o", "json").json
        assert (row["first_seq"], row["first_event"]["seq"]) == (4, 4)
        assert row["first_event"]["type"] == "inventory.reservation.created"
        assert row["differences"][0]["seq"] == 4
        assert filled("verify", "downtown").code == 0
        assert filled("verify", "-q").out.split() == ["downtown", "harlem", "midtown"]
        assert filled("suspects", "clear", "midtown", "MOUSE-001", "--rebuild").code == 0
        assert filled("verify").code == 0


@on_both
@pytest.mark.cli
class TestSuspects:
    @pytest.fixture(autouse=True)
    def doubted(self, filled: Office) -> None:
        """Two are in doubt at downtown, one of which the store itself disputes, and one at midtown."""
        rows: list[dict[str, Any]] = [
            {"store": "downtown", "sku": "LAPTOP-001", "reason": "checkpoint_differs", "seq": 5},
            {"store": "downtown", "sku": "MOUSE-001", "reason": "does_not_follow", "seq": 4},
            {"store": "midtown", "sku": "MOUSE-001", "reason": "of-later-days", "seq": 9},
        ]
        with filled.engine() as engine, writing(engine) as connection:
            connection.execute(insert(tables.suspects), [row | {"since_us": 1_767_225_600_000_000} for row in rows])
            connection.commit()

    def test_they_are_listed_with_the_reason(self, filled: Office) -> None:
        done = filled("suspects", "list", "--store", "downtown", "-o", "json")
        assert done.json == [
            {
                "store": "downtown",
                "sku": "LAPTOP-001",
                "name": None,
                "reason": "checkpoint_differs",
                "seq": 5,
                "on_hand": 49,
                "reserved": 0,
                "version": 2,
                "since_at": "2026-01-01T00:00:00.000000Z",
            },
            {
                "store": "downtown",
                "sku": "MOUSE-001",
                "name": "Wireless mouse",
                "reason": "does_not_follow",
                "seq": 4,
                "on_hand": 50,
                "reserved": 2,
                "version": 2,
                "since_at": "2026-01-01T00:00:00.000000Z",
            },
        ]
        told = filled("suspects", "list")
        assert (told.out.count("downtown"), told.out.count("midtown"), "of-later-days" in told.out) == (2, 1, True)
        assert "its level does not follow from the one before it" in told.out
        assert "`invcentral suspects show downtown LAPTOP-001`" in told.err
        assert filled("suspects", "list", "-q").out.split() == ["LAPTOP-001", "MOUSE-001", "MOUSE-001"]
        assert filled("suspects", "list", "--store", "harlem").err == "nothing is in doubt\n"
        assert filled("suspects", "list", "--store", "nowhere").code == 3

    def test_one_is_shown_with_its_event_both_levels_and_what_to_do(self, filled: Office) -> None:
        told = filled("suspects", "show", "downtown", "MOUSE-001").out
        assert "its level does not follow from the one before it" in told
        assert "event       4: reserved 2 MOUSE-001 (R-" in told
        assert "level here  50 on hand and 2 reserved (version 2)" in told
        assert "by events   the same, by event 4" in told
        assert "`invctl adjust MOUSE-001 CHANGE --reason cycle_count`" in told
        assert "`invcentral suspects clear downtown MOUSE-001`" in told
        record = filled("suspects", "show", "downtown", "MOUSE-001", "-o", "json").json
        assert (record["drifted"], record["archive"]["seq"], record["event"]["seq"]) == (False, 4, 4)
        assert len(record["what_to_do"]) == 2
        assert "`invctl verify`" in filled("suspects", "show", "downtown", "LAPTOP-001").out
        assert "9: is not here" in filled("suspects", "show", "midtown", "MOUSE-001").out
        assert filled("suspects", "show", "midtown", "LAPTOP-001").code == 3

    def test_an_operators_word_settles_a_doubt(self, filled: Office) -> None:
        done = filled("suspects", "clear", "downtown", "MOUSE-001", "laptop-001")
        assert done.out.splitlines() == [
            "MOUSE-001 of downtown is no longer in doubt: 50 on hand and 2 reserved (version 2)",
            "LAPTOP-001 of downtown is no longer in doubt: 49 on hand and 0 reserved (version 2)",
        ]
        again = filled("suspects", "clear", "downtown", "MOUSE-001", "-o", "json")
        assert (again.code, again.error["message"]) == (3, "MOUSE-001 of downtown is not in doubt")
        assert [row["suspects"] for row in filled("stores", "list", "-o", "json").json] == [0, 0, 1]

    def test_a_level_that_drifted_is_settled_by_rebuilding_it_alone(self, filled: Office) -> None:
        with filled.engine() as engine, engine.begin() as connection:
            connection.exec_driver_sql("UPDATE levels SET on_hand = 51 WHERE store = 'downtown' AND sku = 'MOUSE-001'")
        told = filled("suspects", "show", "downtown", "MOUSE-001").out
        assert "by events   50 on hand and 2 reserved (version 2), by event 4" in told
        assert "it drifted here: `invcentral suspects clear downtown MOUSE-001 --rebuild`" in told
        refused = filled("suspects", "clear", "downtown", "MOUSE-001", "-o", "json")
        assert refused.code == 8
        assert "--rebuild" in refused.error["hint"]
        done = filled("suspects", "clear", "downtown", "MOUSE-001", "--rebuild", "-o", "json").json
        assert (done["on_hand"], done["rebuilt"], done["reason"]) == (
            50,
            {"on_hand": 51, "reserved": 2, "version": 2},
            "does_not_follow",
        )
        assert filled("verify", "downtown").code == 0


@on_both
@pytest.mark.cli
class TestTail:
    def test_in_a_pipe_it_is_ndjson_one_event_a_line_in_the_order_of_commit(self, filled: Office) -> None:
        lines = [json.loads(line) for line in filled("tail", "--no-follow").out.splitlines()]
        assert [line["position"] for line in lines] == list(range(1, 11))
        assert [(line["store"], line["seq"]) for line in lines] == [
            (store, seq) for store in ("downtown", "midtown") for seq in range(1, 6)
        ]
        first = lines[0]
        assert (first["type"], first["subject"], first["data"]["name"]) == (
            "inventory.ledger.created",
            "downtown",
            "Tech Store Downtown",
        )
        assert {"id", "time", "applied_at", "hash", "trace", "resume", "shard"} <= set(first)

    def test_it_goes_on_after_any_position_and_takes_filters(self, filled: Office) -> None:
        def positions(*argv: str) -> list[int]:
            return [json.loads(line)["position"] for line in filled("tail", "--no-follow", *argv).out.splitlines()]

        assert positions("--from", "7") == [8, 9, 10]
        assert positions("--from", "10") == []
        assert positions("--store", "midtown", "--from", "0") == [6, 7, 8, 9, 10]
        assert positions("--type", "reservation") == [4, 9]
        assert positions("--type", "stock.adjusted", "--type", "ledger.created", "--store", "downtown") == [1, 2, 5]
        assert positions("--type", "reserved") == [4, 9]
        assert positions("--sku", "laptop-001") == [2, 5, 7, 10]
        assert positions("--since", "1h") == list(range(1, 11))
        assert positions("--since", "2099-01-01T00:00:00Z") == []
        assert filled("tail", "--no-follow", "--from", "8", "-q").out.split() == ["9", "10"]

    def test_a_text_is_found_in_the_event_and_in_the_line_in_any_case(self, filled: Office) -> None:
        def positions(*argv: str) -> list[int]:
            return [json.loads(line)["position"] for line in filled("tail", "--no-follow", *argv).out.splitlines()]

        assert positions("--grep", "order A-17") == [4, 9]
        assert positions("--grep", '"order":"a-17"') == [4, 9]
        assert positions("--grep", "Reserved 2 mouse-001", "--store", "midtown") == [9]
        assert positions("--grep", "RESERVATION.created") == [4, 9]
        assert positions("--grep", "nobody wrote this") == []
        lines = filled("tail", "--no-follow", "--grep", "A-17").out.splitlines()
        assert [json.loads(line)["resume"] for line in lines] == ["4", "9"]

    def test_it_ends_by_itself_once_nothing_comes(self, filled: Office) -> None:
        tail = filled.start("tail", "--from", "0", "--grep", "A-17", "--until-idle", "1", "-o", "table")
        assert tail.end() == 0
        assert len(tail.text().splitlines()) == 2
        assert "nothing came for 1.0s; go on with: invcentral tail --from 10 --grep A-17\n" in tail.err()

    def test_for_people_it_says_what_happened_and_what_the_level_is_now(self, filled: Office) -> None:
        lines = filled("tail", "--no-follow", "--store", "downtown", "-o", "table").out.splitlines()
        assert [line.split()[4] for line in lines] == ["opened", "adjusted", "edited", "reserved", "adjusted"]
        assert "reserved   2 MOUSE-001" in lines[3]
        assert "order A-17, by anna" in lines[3]
        assert "MOUSE-001 50 on hand, 2 reserved" in lines[3]
        assert "adjusted   -1 LAPTOP-001" in lines[4]

    def test_an_event_that_nobody_can_read_is_shown_all_the_same(self, office: Office) -> None:
        with office.engine() as engine:
            clock = SystemClock()
            server = serving(engine, minted(engine), clock=clock, admit_any=True)
            server.open()
            store = Store("downtown", clock=clock)
            store.write(b'{"not":"an event"}')
            store.talk(server)
        last = json.loads(office("tail", "--no-follow").out.splitlines()[-1])
        assert (last["position"], last["type"], last["data"], last["body"]) == (3, None, None, '{"not":"an event"}')
        assert "unreadable" in office("tail", "--no-follow", "-o", "table").out

    def test_a_reader_that_goes_away_ends_it_in_silence_also_while_nothing_happens(self, filled: Office) -> None:
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "central", "tail", "--from", "9"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=filled.environ,
        ) as tail:
            assert tail.stdout is not None
            assert tail.stderr is not None
            assert json.loads(tail.stdout.readline())["position"] == 10
            tail.stdout.close()
            assert tail.wait(PATIENCE_S) == 141
            assert b"no central runs" in tail.stderr.read()

    def test_ctrl_c_ends_it_with_130_and_says_where_to_go_on(self, filled: Office) -> None:
        tail = filled.start("tail", "--from", "8", "--store", "midtown", "-o", "table")
        eventually(lambda: " 10 " in tail._out.read_text(), tail.err)
        assert tail.send(signal.SIGINT) == 130
        assert "\ngo on with: invcentral tail --from 10 --store midtown\n" in tail.err()
        assert "Traceback" not in tail.err()


@on_both
class TestRunning:
    @pytest.mark.business
    def test_what_a_clerk_does_is_at_head_office_and_each_event_is_followed_once_in_order(
        self, linked: Office, clerk: Clerk
    ) -> None:
        linked.serve("--admit-any")
        serve_store(linked, clerk)
        eventually(lambda: linked.applied("downtown") == head_seq(clerk))
        tail = linked.tail("--from", "0", "-o", "ndjson")
        reservation = clerk("reserve", "MOUSE-001=2", "--order", "A-17", "-q").out.strip()
        clerk("confirm", reservation, "MOUSE-001=1")
        clerk("adjust", "MOUSE-001", "-1", "--reason", "damaged")
        eventually(lambda: len(tail.lines()) == head_seq(clerk), tail.err)
        assert [(line["position"], line["seq"]) for line in tail.lines()] == [
            (seq, seq) for seq in range(1, head_seq(clerk) + 1)
        ]
        assert tail.lines()[-3]["data"]["reservation"] == reservation
        (row,) = linked("stock", "MOUSE-001", "-o", "json").json
        assert (row["on_hand"], row["reserved"], row["available"], row["as_of_seq"]) == (8, 0, 8, head_seq(clerk))
        # What a process says of itself it says once a second.
        eventually(lambda: linked("status", "-o", "json").json["process"]["shards"] == [0])
        status = linked("status", "-o", "json").json
        assert (status["running"], status["process"]["connected"]) == (True, True)
        assert linked("verify", "downtown").code == 0

    @pytest.mark.fault_tolerance
    def test_a_tail_that_was_cut_off_goes_on_and_misses_nothing(self, linked: Office, clerk: Clerk) -> None:
        linked.serve("--admit-any")
        serve_store(linked, clerk)
        seen: list[dict[str, Any]] = []
        for _ in range(3):
            after = seen[-1]["resume"] if seen else "0"
            clerk("receive", "MOUSE-001", "1")
            clerk("receive", "LAPTOP-001", "1")
            tail = linked.tail("--from", after)
            tail.send(signal.SIGKILL)
            seen += tail.lines()
            clerk("receive", "MOUSE-001", "1")
        tail = linked.start("tail", "--from", seen[-1]["resume"])
        eventually(lambda: len(seen) + len(tail.lines()) == head_seq(clerk), tail.err)
        assert [line["seq"] for line in seen + tail.lines()] == list(range(1, head_seq(clerk) + 1))

    @pytest.mark.fault_tolerance
    def test_sigterm_ends_it_cleanly_and_the_next_one_begins_at_once(self, linked: Office, clerk: Clerk) -> None:
        central = linked.serve("--admit-any")
        serve_store(linked, clerk)
        eventually(lambda: linked.applied("downtown") == head_seq(clerk))
        # Not 0, had it not ended within two seconds by itself.
        assert central.send(signal.SIGTERM) == 0
        assert central.actions()[-2:] == ["lease.released", "central.stopped"]
        assert linked("status", "-o", "json").json["running"] is False
        clerk("receive", "MOUSE-001", "1")
        again = linked.serve()
        eventually(lambda: linked.applied("downtown") == head_seq(clerk))
        assert "lease.waiting" not in again.actions()

    @pytest.mark.fault_tolerance
    def test_one_that_stands_still_is_not_said_to_run(self, linked: Office) -> None:
        central = linked.serve()
        eventually(lambda: "\nprocess      runs since " in linked("status").out)
        central.deliver(signal.SIGSTOP)
        long_ago_s = time.time() - 60
        os.utime(status_path(linked.home), (long_ago_s, long_ago_s))
        told = linked("status")
        assert "\nprocess      stands still since " in told.out
        assert f"`kill -9 {central.pid}` ends it" in told.out
        assert "connected" not in told.out
        assert linked("status", "-o", "json").json["process"]["stands_still_s"] >= 60
        central.deliver(signal.SIGCONT)
        eventually(lambda: "\nprocess      runs since " in linked("status").out)

    def test_a_port_that_another_has_is_said(self, linked: Office) -> None:
        port = free_port()
        with socket.create_server(("127.0.0.1", port)):
            linked.serve("--metrics-port", str(port))
            told = f"\nmetrics      none: port {port} of 127.0.0.1 cannot be had: Address already in use"
            eventually(lambda: told in linked("status").out)

    @pytest.mark.fault_tolerance
    def test_kill_9_loses_nothing_and_the_next_one_does_not_wait_for_the_lease(
        self, linked: Office, clerk: Clerk
    ) -> None:
        serve_store(linked, clerk)
        for _ in range(3):
            central = linked.serve("--admit-any")
            for _ in range(3):
                clerk("receive", "MOUSE-001", "1")
            central.send(signal.SIGKILL)
            clerk("receive", "MOUSE-001", "1")
        central = linked.serve("--admit-any")
        eventually(lambda: linked.applied("downtown") == head_seq(clerk))
        leases = [action for action in central.actions() if action.startswith("lease.")]
        assert leases[:2] == ["lease.inherited", "lease.acquired"]
        assert linked("verify", "downtown").code == 0

    def test_a_tail_says_when_head_office_stops_and_when_it_is_back(self, linked: Office) -> None:
        tail = linked.start("tail", "-o", "table")
        eventually(lambda: "no central runs" in tail.err())
        central = linked.serve()
        eventually(lambda: "a central runs again" in tail.err())
        assert central.send(signal.SIGTERM) == 0
        eventually(lambda: "the last central has stopped" in tail.err())
        assert tail.alive()

    @pytest.mark.concurrency
    def test_one_central_a_home(self, linked: Office) -> None:
        linked.serve()
        second = linked("run", "-o", "json")
        assert second.code == 8
        assert "already" in second.error["message"]

    @pytest.mark.business
    def test_a_store_is_served_once_an_operator_admits_it(self, linked: Office, clerk: Clerk) -> None:
        linked.serve()
        serve_store(linked, clerk)
        eventually(lambda: linked("stores", "list", "-q").out.split() == ["downtown"])
        (row,) = linked("stores", "list", "-o", "json").json
        assert (row["status"], row["as_of_seq"], row["head_seq"]) == ("pending", 0, head_seq(clerk))
        assert linked("tail", "--no-follow").out == ""
        # The store's clerk does not wait for what nobody will do.
        refused = clerk("sync", "--wait", "--timeout", "10m", "-o", "json")
        assert (refused.code, refused.error["reason"]) == (7, "not_admitted")
        assert linked("stores", "admit", "downtown").code == 0
        assert clerk("sync", "--wait").code == 0
        assert linked.applied("downtown") == head_seq(clerk)
        assert linked("stores", "list", "-o", "json").json[0]["status"] == ADMITTED

    @pytest.mark.fault_tolerance
    def test_a_broker_that_is_killed_and_comes_back_empty_costs_nothing(self, office: Office, clerk: Clerk) -> None:
        with real_broker() as broker:
            office.environ["INVCTL_REDIS_URL"] = broker.url
            central = office.serve("--admit-any")
            daemon = serve_store(office, clerk)
            eventually(lambda: office.applied("downtown") == head_seq(clerk))
            broker.kill()
            clerk("receive", "MOUSE-001", "1")
            central.until("bus.lost")
            broker.start()
            eventually(lambda: office.applied("downtown") == head_seq(clerk))
            assert [action for action in central.actions() if action.startswith("bus.")] == [
                "bus.subscribed",
                "bus.lost",
                "bus.subscribed",
            ]
            assert daemon.alive()
            assert central.send(signal.SIGTERM) == 0


@pytest.mark.fault_tolerance
def test_sigterm_ends_it_in_order_while_another_process_holds_its_sqlite(linked: Office, clerk: Clerk) -> None:
    def waiting() -> set[str]:
        return {line["job"] for line in central.told() if line["action"] == "job.overran"}

    central = linked.serve("--admit-any")
    serve_store(linked, clerk)
    eventually(lambda: linked.applied("downtown") == head_seq(clerk))
    with linked.engine() as engine, writing(engine):
        # Whatever writes waits now, beyond its time: its presence, and what a store said of itself.
        eventually(lambda: waiting() == {"leases", "upkeep"}, central.err)
        assert central.send(signal.SIGTERM) == 0
    assert central.actions()[-2:] == ["lease.released", "central.stopped"]


@pytest.mark.concurrency
@pytest.mark.fault_tolerance
def test_on_sqlite_a_second_central_stands_by_says_so_and_takes_over(
    linked: Office, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = linked.serve("--admit-any")
    linked.environ["INVCENTRAL_DATABASE_URL"] = linked.database_url
    monkeypatch.setenv("INVCENTRAL_DATABASE_URL", linked.database_url)
    elsewhere = ("--home", str(linked.home.with_name("second")))
    assert linked.start("init", *elsewhere).end() == 0
    second = linked.start("run", *elsewhere, "--admit-any", "--log-format", "json")
    second.until("central.standby")
    # What a process says of itself it says once a second.
    eventually(lambda: "\nprocess      stands by, runs since " in linked("status", *elsewhere).out)
    centrals = linked("status", "-o", "json").json["centrals"]
    assert [(each["pid"], each["living"], each["shards"]) for each in centrals] == [
        (first.pid, True, [0]),
        (second.pid, True, []),
    ]
    serve_store(linked, clerk)
    eventually(lambda: linked.applied("downtown") == head_seq(clerk))
    assert first.send(signal.SIGTERM) == 0
    clerk("receive", "MOUSE-001", "1")
    eventually(lambda: linked.applied("downtown") == head_seq(clerk))
    assert "no central runs" not in linked("stock").err
    assert "process      not here" in linked("status").out
