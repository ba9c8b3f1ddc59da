"""`invcentral close`: the certificate of a day, on screen, for programs, and on paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from invctl.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.head_office import Office

pytestmark = [pytest.mark.cli, pytest.mark.business]
on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


class Page(HTMLParser):
    """What a page says, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {value}" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def yesterday() -> str:
    return (datetime.now(ZoneInfo("America/New_York")).date() - timedelta(days=1)).isoformat()


def prove(office: Office, store: str) -> None:
    with office.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE cursors SET fresh_us = {SystemClock().now_us()} WHERE store = '{store}'")


@on_both
def test_what_is_missing_is_said_and_from_whom_until_nothing_is(filled: Office) -> None:
    day = yesterday()
    with filled.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cursors SET fresh_us = NULL, head_seq = 9 WHERE store = 'midtown'")
    prove(filled, "downtown")
    done = filled("close", "--date", day)
    assert done.code == 8
    assert f"{day} is not complete: 1 of 2 stores complete" in done.out
    assert "midtown: it was never proved complete; 4 events known to be missing: let it speak" in done.out
    assert "not part of it, as they wait to be admitted: harlem" in done.out
    assert "no central runs" in done.err
    prove(filled, "midtown")
    done = filled("close", "--date", day)
    assert (done.code, done.err) == (0, "")
    assert f"{day} is complete: 2 stores, all complete" in done.out
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith(("downtown", "midtown"))] == [
        "yes"
    ] * 2


@on_both
def test_for_programs_it_has_each_store_s_last_event_hash_and_totals(filled: Office) -> None:
    today = datetime.now(UTC).date() + timedelta(days=1)
    done = filled("close", "--date", today.isoformat(), "-o", "json")
    record: dict[str, Any] = done.json
    assert (done.code, record["complete"], record["waiting"]) == (8, False, ["harlem"])
    assert [(each["store"], each["why_not"], each["seq"]) for each in record["stores"]] == [
        ("downtown", "not_over", 5),
        ("midtown", "not_over", 5),
    ]
    heads = {each["store"]: each["hash"] for each in record["stores"]}
    verified = {each["store"]: each["hash"] for each in filled("verify", "-o", "json").json}
    assert heads.items() <= verified.items()
    csv = filled("close", "--date", today.isoformat(), "-o", "csv").out.splitlines()
    assert csv[0].startswith("store,complete,why_not,missing,seq,hash,events,confirmed,sold,received,adjusted,")
    assert len(csv) == 3
    assert filled("close", "--date", today.isoformat(), "-q").out.split() == ["downtown", "midtown"]


def test_the_page_needs_nothing_else_and_escapes_what_stores_are_called(filled: Office, tmp_path: Path) -> None:
    with filled.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stores SET name = '<b>Tech & Store</b>' WHERE store = 'downtown'")
        connection.exec_driver_sql("UPDATE cursors SET fresh_us = NULL WHERE store = 'midtown'")
    prove(filled, "downtown")
    path = tmp_path / "close.html"
    done = filled("close", "--date", yesterday(), "--html", str(path))
    assert str(path) in done.err
    text = path.read_text("utf-8")
    page = Page(text)
    assert page.fetched == []
    assert {"<b>Tech & Store</b>", "Not complete: 1 of 2 stores complete", "yes", "no"} <= set(page.words)
    assert any("never proved complete" in word for word in page.words)


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "20260101", "2026-W01-1", "0001-01-01", "9999-12-31", ""])
def test_what_is_no_date_is_answered_with_the_form(filled: Office, day: str) -> None:
    done = filled("close", "--date", day, "-o", "json")
    assert (done.code, done.error["hint"]) == (2, "write it as 2026-11-24: a store's own day, in its zone")


def test_a_file_that_cannot_be_written_is_said(filled: Office, tmp_path: Path) -> None:
    done = filled("close", "--date", yesterday(), "--html", str(tmp_path), "-o", "json")
    assert done.code == 8
    assert "cannot be used" in done.error["message"]
