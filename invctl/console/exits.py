"""The one table of exit codes. Scripts rely on it: it is frozen by a test."""

from __future__ import annotations

from enum import IntEnum

from invctl import errors


class ExitCode(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ENOUGH_STOCK = 4
    WRONG_STATE = 5
    BUSY = 6
    UNREACHABLE = 7
    REFUSED = 8
    REQUEST_REUSED = 9
    INTERRUPTED = 130
    """Ctrl-C: 128 and SIGINT, as shells count it."""
    PIPE_CLOSED = 141
    """The reader of our output went away: 128 and SIGPIPE, as shells count it."""


VERIFY_FAILED = ExitCode.REFUSED
"""A verification that printed what does not hold."""

_BY_ERROR: dict[type[errors.InventoryError], ExitCode] = {
    errors.InventoryError: ExitCode.UNEXPECTED,
    errors.InvalidValueError: ExitCode.USAGE,
    errors.NotFoundError: ExitCode.NOT_FOUND,
    errors.NotEnoughStockError: ExitCode.NOT_ENOUGH_STOCK,
    errors.WrongStateError: ExitCode.WRONG_STATE,
    errors.BusyError: ExitCode.BUSY,
    errors.UnreachableError: ExitCode.UNREACHABLE,
    errors.RefusedError: ExitCode.REFUSED,
    errors.RequestReusedError: ExitCode.REQUEST_REUSED,
}


def exit_code(error: errors.InventoryError) -> ExitCode:
    """Give the exit code of an error: that of its class, or of the nearest class above it."""
    return next(_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR)


class OutputError(OSError):
    """Our own output cannot be written: a full disk, not a file or socket of the command's."""
