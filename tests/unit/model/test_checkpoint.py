"""Checkpoints: two sets of levels have the same digest where they are equal, and where they are not, it is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.model import checkpoint, events
from invctl.model.checkpoint import SIDE_MAX, Checkpoint, Tally, tally
from invctl.model.stock import EMPTY, StockLevel

Levels = dict[str, StockLevel]

levels = st.builds(StockLevel, st.integers(0, 9), st.integers(0, 3), st.integers(0, 5))
catalogues = st.dictionaries(st.text(min_size=1, max_size=8).filter(str.isprintable), levels, max_size=12)


def total(of: Levels) -> Checkpoint:
    return tally(of.items()).total()


def many(number: int) -> Levels:
    return {f"SKU-{each:06d}": StockLevel(each % 90, each % 7, 1 + each % 40) for each in range(number)}


def test_the_digest_is_the_one_that_is_written_down() -> None:
    """Ledgers keep it for good, and head office has to come to the same."""
    stated = total({"MOUSE-001": StockLevel(9, 1, 6), "LAPTOP 15": StockLevel(3, 0, 2), "NEW-001": EMPTY})
    assert stated.digest == "3ab9d9fdd728fce67fa8075e44045dad79b56763ecaf200822767610df7d318c"
    assert {at: f"{each:08x}" for at, each in enumerate(stated.rows) if each} == {1: "34dce905", 2: "aaa04887"}
    assert {at: f"{each:08x}" for at, each in enumerate(stated.columns) if each} == {10: "34dce905", 25: "aaa04887"}
    assert stated.as_data() == {
        "form": "blake2b-256-sum",
        "skus": 2,
        "digest": stated.digest,
        "rows": "".join(f"{each:08x}" for each in stated.rows),
        "columns": "".join(f"{each:08x}" for each in stated.columns),
    }


@given(catalogues, catalogues)
def test_equal_levels_agree_and_others_do_not(ours: Levels, theirs: Levels) -> None:
    moved = [{sku: level for sku, level in each.items() if level != EMPTY} for each in (ours, theirs)]
    assert tally(ours.items()).agrees(total(theirs)) == (moved[0] == moved[1])
    assert tally(reversed(ours.items())).total() == total(ours)


@given(catalogues, catalogues)
def test_whatever_differs_is_among_what_may_differ(ours: Levels, theirs: Levels) -> None:
    odd = tally(ours.items()).odd(total(theirs))
    differing = {sku for sku in ours | theirs if ours.get(sku, EMPTY) != theirs.get(sku, EMPTY)}
    assert differing <= set(odd.among(ours | theirs))
    if not differing:
        assert (odd.rows, odd.columns) == (frozenset(), frozenset())


@given(catalogues, catalogues)
def test_levels_that_moved_are_summed_up_as_if_from_the_start(before: Levels, after: Levels) -> None:
    running = tally(before.items())
    for sku in before | after:
        running.move(sku, before.get(sku, EMPTY), after.get(sku, EMPTY))
    assert running.total() == total(after)


def test_of_many_skus_the_one_that_differs_is_named() -> None:
    ours = many(20_000)
    theirs = total({**ours, "SKU-004711": StockLevel(1, 0, 99)})
    odd = tally(ours.items()).odd(theirs)
    assert "SKU-004711" in set(odd.among(ours))
    # So many places has the square that hardly another SKU has row and column of this one.
    assert len(list(odd.among(ours))) <= 3


def test_a_swap_of_two_levels_is_a_difference() -> None:
    ours = {"A": StockLevel(1, 0, 1), "B": StockLevel(2, 0, 1)}
    theirs = {"A": ours["B"], "B": ours["A"]}
    assert not tally(ours.items()).agrees(total(theirs))


@pytest.mark.parametrize(("skus", "side"), [(0, 32), (128, 32), (129, 64), (2_000, 128), (20_000, 512)])
def test_the_square_grows_with_the_root_of_the_skus(skus: int, side: int) -> None:
    stated = total(many(skus))
    assert (stated.skus, len(stated.rows), len(stated.columns)) == (skus, side, side)


def test_the_largest_checkpoint_fits_into_an_event() -> None:
    full = (2**32 - 1,) * SIDE_MAX
    data = Checkpoint(2**53, "f" * 64, full, full).as_data()
    assert len(events.canonical(data)) < events.EVENT_BYTES_MAX - 4096


@given(catalogues)
def test_a_checkpoint_is_read_as_it_was_written(of: Levels) -> None:
    stated = total(of)
    assert checkpoint.read(stated.as_data()) == stated


def test_a_form_of_later_days_is_no_checkpoint_and_no_fault() -> None:
    assert checkpoint.read({"form": "of-later-days"}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": None},
        {"skus": -1},
        {"skus": True},
        {"skus": "2"},
        {"digest": "ab"},
        {"digest": 7},
        {"rows": ""},
        {"rows": "0" * 7},
        {"rows": "0" * 24},
        {"rows": "g" * 8},
        {"rows": "0" * 8, "columns": "0" * 16},
        {"rows": "0" * 8 * 2 * SIDE_MAX, "columns": "0" * 8 * 2 * SIDE_MAX},
        {"columns": None},
    ],
)
def test_a_malformed_checkpoint_is_refused(wrong: dict[str, Any]) -> None:
    data = {**Tally().total().as_data(), **wrong}
    if wrong == {"form": None}:
        del data["form"]
    with pytest.raises((KeyError, TypeError, ValueError)):
        checkpoint.read(data)
