"""The exit codes are a promise to every script that calls us."""

import inspect

import pytest

from invctl import errors
from invctl.console.exits import VERIFY_FAILED, ExitCode, exit_code

pytestmark = pytest.mark.cli

FROZEN = {
    errors.InventoryError: 1,
    errors.InvalidValueError: 2,
    errors.NotFoundError: 3,
    errors.NotEnoughStockError: 4,
    errors.WrongStateError: 5,
    errors.BusyError: 6,
    errors.UnreachableError: 7,
    errors.RefusedError: 8,
    errors.RequestReusedError: 9,
}


def test_every_error_has_its_code() -> None:
    classes = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__}
    assert classes == set(FROZEN)
    assert {cls: int(exit_code(cls())) for cls in FROZEN} == FROZEN


def test_a_subclass_has_the_code_of_its_class() -> None:
    class FrozenError(errors.RefusedError):
        """The store is frozen."""

    assert exit_code(FrozenError()) == 8


def test_codes_without_an_error() -> None:
    assert VERIFY_FAILED == 8
    assert (ExitCode.DONE, ExitCode.INTERRUPTED, ExitCode.PIPE_CLOSED) == (0, 130, 141)
