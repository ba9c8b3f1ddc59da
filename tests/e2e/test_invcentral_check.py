"""`invcentral check` as a monitor has it: one line, and one of four exit codes, whatever happens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from central.cli.check_command import Verdict
from invctl.clock import SystemClock

if TYPE_CHECKING:
    from tests.e2e.clerk import Done
    from tests.e2e.head_office import Office

pytestmark = pytest.mark.cli
on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
FORM = re.compile(r"(OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+(\|\w+=(U|[0-9.]+s?);\d+;\d+;0)?\n")


def check(office: Office, *argv: str) -> Done:
    done = office("check", *argv)
    form = FORM.fullmatch(done.out)
    assert form, done
    assert (Verdict[form[1]], done.err) == (done.code, "")
    return done


def change(office: Office, sql: str) -> None:
    with office.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql(sql)


@on_both
@pytest.mark.business
def test_lag_is_of_the_worst_store_and_of_one_on_demand(filled: Office) -> None:
    change(filled, "UPDATE cursors SET head_seq = 9 WHERE store = 'midtown'")
    ok = check(filled, "lag", "--warn", "4", "--crit", "8")
    assert ok.out == "OK - worst of 2: midtown 4 events behind|lag=4;4;8;0\n"
    warning = check(filled, "lag", "--warn", "3", "--crit", "4")
    assert warning.out == "WARNING - 1 of 2 stores: midtown 4 events behind|lag=4;3;4;0\n"
    assert check(filled, "lag", "--warn", "0", "--crit", "3").code == Verdict.CRITICAL
    assert check(filled, "lag", "--warn", "0", "--crit", "3", "--store", "downtown").out.startswith("OK - downtown 0")
    record = filled("check", "lag", "--warn", "3", "--crit", "4", "-o", "json")
    assert record.code == Verdict.WARNING
    # Harlem is ahead, too, and waits to be admitted.
    assert record.json == {
        "verdict": "warning",
        "check": "lag",
        "value": 4,
        "warn": 3,
        "crit": 4,
        "stores": [{"store": "midtown", "value": 4}, {"store": "downtown", "value": 0}],
    }
    assert filled("check", "lag", "--warn", "3", "--crit", "4", "-q").out == "WARNING\n"


@on_both
@pytest.mark.business
def test_freshness_is_the_age_of_the_worst_store_and_never_proved_is_critical(filled: Office) -> None:
    now_us = SystemClock().now_us()
    change(filled, f"UPDATE cursors SET fresh_us = {now_us - 90_000_000} WHERE store = 'midtown'")
    change(filled, f"UPDATE cursors SET fresh_us = {now_us} WHERE store = 'downtown'")
    done = check(filled, "freshness", "--warn", "80", "--crit", "1000")
    assert done.out.startswith("WARNING - 1 of 2 stores: midtown complete up to 1m3")
    age_s = re.search(r"\|freshness=([0-9.]+)s;80;1000;0\n", done.out)
    assert age_s
    assert 90 <= float(age_s[1]) < 200
    assert check(filled, "freshness", "--warn", "80", "--crit", "85").code == Verdict.CRITICAL
    change(filled, "UPDATE cursors SET fresh_us = NULL WHERE store = 'midtown'")
    never = check(filled, "freshness", "--warn", "800", "--crit", "1000")
    assert never.out == "CRITICAL - 1 of 2 stores: midtown never proved complete|freshness=U;800;1000;0\n"


@on_both
@pytest.mark.business
def test_suspects_add_up(filled: Office) -> None:
    assert check(filled, "suspects", "--warn", "0", "--crit", "1").code == Verdict.OK
    for store, sku in (("downtown", "MOUSE-001"), ("midtown", "MOUSE-001"), ("midtown", "LAPTOP-001")):
        change(filled, f"INSERT INTO suspects VALUES ('{store}', '{sku}', 'does_not_follow', 1, 1)")
    done = check(filled, "suspects", "--warn", "2", "--crit", "9")
    told = "3 in all, 2 of 2 stores: midtown 2 SKUs in doubt; downtown 1 SKU in doubt"
    assert done.out == f"WARNING - {told}|suspects=3;2;9;0\n"
    assert check(filled, "suspects", "--warn", "2", "--crit", "9", "--store", "downtown").code == Verdict.OK


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["lag", "--warn", "5", "--crit", "1"], "--warn 5 is beyond --crit 1"),
        (["lag", "--warn", "x", "--crit", "1"], "'x' is not a whole number"),
        (["freshness", "--crit", "1"], "Missing option '--warn'"),
        (["lag", "--warn", "1", "--crit"], "'--crit' requires an argument"),
        (["suspects", "--warn", "1", "--crit", "2", "--nothing"], "No such option: --nothing"),
        (["lag", "--warn", "1", "--crit", "2", "--store", "nowhere"], "there is no store nowhere"),
        (["lag", "--warn", "1", "--crit", "2", "--store", "harlem"], "harlem is not admitted"),
    ],
)
def test_what_cannot_be_checked_is_unknown_with_what_to_do(filled: Office, argv: list[str], told: str) -> None:
    done = check(filled, *argv)
    assert done.code == Verdict.UNKNOWN
    assert told in done.out
    record = filled("-o", "json", "check", *argv).json
    assert (record["verdict"], record["check"], record["value"]) == ("unknown", argv[0], None)
    assert told in record["message"]
    assert record["hint"]


@pytest.mark.fault_tolerance
def test_a_head_office_that_is_not_there_is_unknown(unfounded: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("lag", "--warn", "1", "--crit", "2")
    assert "(run: invcentral init)" in check(unfounded, *argv).out
    assert unfounded("init").code == 0
    assert "no store is admitted" in check(unfounded, *argv).out
    monkeypatch.setenv("INVCENTRAL_DATABASE_URL", "postgresql://office:hunter2@127.0.0.1:1/central")
    refused = check(unfounded, *argv)
    assert refused.code == Verdict.UNKNOWN
    assert "hunter2" not in refused.out
