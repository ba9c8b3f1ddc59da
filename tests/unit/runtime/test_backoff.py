"""Waiting before the next attempt."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.runtime.backoff import Backoff

pytestmark = pytest.mark.fault_tolerance


class Always:
    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value


def test_the_ceiling_doubles_up_to_the_cap_and_begins_again() -> None:
    backoff = Backoff(Always(1.0), base_s=0.5, cap_s=3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_the_jitter_is_full() -> None:
    assert Backoff(Always(0.0)).next_s() == 0.0
    backoff = Backoff(Always(0.25), base_s=1.0, cap_s=8.0)
    assert [backoff.next_s() for _ in range(4)] == [0.25, 0.5, 1.0, 2.0]


@given(st.integers(), st.integers(1, 3000))
def test_it_never_leaves_its_bounds(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed), base_s=0.1, cap_s=30.0)
    assert all(0.0 <= backoff.next_s() < 30.0 for _ in range(failures))
