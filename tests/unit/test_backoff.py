"""Waiting before the next attempt."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.backoff import Backoff

pytestmark = pytest.mark.fault_tolerance


class Always:
    """A generator that always gives the same number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def random(self) -> float:
        return self._number


@given(st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_the_limit_and_lose_up_to_a_half(number: float) -> None:
    backoff = Backoff(Always(number), first_s=1.0, max_s=5.0)
    share = 0.5 + number / 2
    assert [backoff.next_s() for _ in range(5)] == [share * whole_s for whole_s in (1, 2, 4, 5, 5)]


def test_a_success_begins_anew() -> None:
    backoff = Backoff(Always(0.0), first_s=1.0, max_s=8.0)
    assert [backoff.next_s(), backoff.next_s()] == [0.5, 1.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_it_never_exceeds_the_limit_even_at_first() -> None:
    assert Backoff(Always(0.999), first_s=9.0, max_s=2.0).next_s() < 2.0


@given(st.integers(), st.integers(1, 3000))
def test_it_never_leaves_its_bounds_however_many_failures(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed), first_s=0.1, max_s=30.0)
    assert all(0.05 <= backoff.next_s() < 30.0 for _ in range(failures))
