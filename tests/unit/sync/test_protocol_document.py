"""docs/protocol.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from invctl.model import events, identifiers
from invctl.settings import NAMESPACE
from invctl.sync import boots, channels, divergence, frames, peer, receiver, shipper
from tests.unit.sync.conversation import conversation

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
KINDS = {
    "`hello`, from a store": "hello again",
    "`events`, from a store": "events",
    "`ack`, from central": "ack of events",
    "`refused`, from central": "refused",
    "`history`, from central": "history",
    "`hello`, from central": "greeting",
}


def section(title: str) -> str:
    """The text under a heading, up to the next."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column has this name, without backquotes."""
    found = re.search(rf"^\| {first} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, first
    return [[cell.strip().strip("`") for cell in row.strip("|\n").split(" | ")] for row in found.group(1).splitlines()]


def example(title: str) -> str:
    found = re.search(r"```json\n(.*?)\n```", section(title), re.DOTALL)
    assert found, title
    return found.group(1)


@pytest.mark.parametrize("title", KINDS)
def test_each_example_is_a_real_frame(title: str) -> None:
    assert example(title) == conversation()[KINDS[title]].decode()


def test_every_kind_of_frame_has_an_example() -> None:
    shown = {(json.loads(example(title))["kind"], "from a store" in title) for title in KINDS}
    up = {(kind, True) for cls, kind in frames._KIND_OF.items() if cls in (frames.Hello, frames.Events)}
    down = {(kind, False) for cls, kind in frames._KIND_OF.items() if cls not in (frames.Hello, frames.Events)}
    assert shown == up | down


@pytest.mark.parametrize("title", KINDS)
def test_each_table_has_the_fields_of_the_frame_in_their_order(title: str) -> None:
    described = [row[0] for row in table(section(title), "field")]
    cls = type(decoded(title))
    assert described == ["v", "kind", *cls._fields, "sum"]
    optional = {"want_from", "copies"} if cls is frames.Ack else {"held_seq", "held_hash"}
    assert list(json.loads(example(title))) == [name for name in described if name not in optional]
    assert dict(table(section(title), "field"))["kind"] == json.loads(example(title))["kind"]


def decoded(title: str) -> Any:
    payload = example(title).encode()
    return frames.decode_up(payload) if "from a store" in title else frames.decode_down(payload)


def test_every_timer_and_limit_has_the_codes_value() -> None:
    rows = table(section("Timers and limits"), "name")
    for name, value, *_ in rows:
        found = {
            getattr(module, name)
            for module in (shipper, frames, receiver, peer, divergence, boots, events, identifiers)
            if name in vars(module)
        }
        assert found == {float(value.replace(",", ""))}, name
    limits = {
        name
        for module in (shipper, frames, receiver, peer, divergence)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int | float)
    }
    assert {row[0] for row in rows} >= limits - {"VERSION", "TYPE_CHECKING", "HASH_BYTES"}


def test_every_reason_of_a_refusal_is_explained() -> None:
    reasons = {
        value
        for name, value in vars(frames).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert {row[0] for row in table(section("`refused`, from central"), "reason")} == reasons


def test_the_channels_are_those_of_the_code() -> None:
    up, down = (row[0] for row in table(section("Channels"), "channel"))
    assert (up, down) == (channels.up(NAMESPACE, "downtown"), channels.down(NAMESPACE, "downtown"))
    assert f"`{channels.up_pattern(NAMESPACE, identifiers.slot_of('downtown'))}`" in section("Channels")


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    frame = section("A frame")
    assert f"more than {frames.FRAME_BYTES_MAX:,} bytes" in frame
    assert f"the last {frames._TAIL_BYTES} bytes" in frame
    assert f"{frames._SUM_HEX} lower-case hexadecimal digits" in frame
    store = section("What a store does")
    assert f"every {shipper.HEARTBEAT_S:g} seconds" in store
    assert f"{shipper.SILENCE_S:g} seconds without an answer" in store
    assert f"At most {shipper.WINDOW_FRAMES_MAX} `events` frames" in store
    assert f"up to {shipper.RETRY_MAX_S:g} seconds" in store
    listed = section("`events`, from a store")
    assert f"1 to {frames.BATCH_EVENTS_MAX} strings; together at most {frames.BATCH_BYTES_MAX:,} bytes" in listed
