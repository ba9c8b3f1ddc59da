"""The one tree of errors.

An error says what went wrong in its message, how to go on in its `hint`, and the facts
behind both in `details` (JSON values, under the domain's names). `code` is its name in JSON
output. Which exit code belongs to which class is the command line's business
(`invctl.console.exits`).
"""

from __future__ import annotations

from typing import Any, ClassVar


class InventoryError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "unexpected"

    def __init__(self, message: str | None = None, *, hint: str = "", **details: Any) -> None:
        """Keep the message (by default the class's docstring), the hint and the details."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        self.details = details
        super().__init__(self.message)


class InvalidValueError(InventoryError):
    """A value is not of the form that is asked for."""

    code = "usage"


class NotFoundError(InventoryError):
    """There is no such thing."""

    code = "not_found"


class NotEnoughStockError(InventoryError):
    """There is not enough stock."""

    code = "not_enough_stock"


class WrongStateError(InventoryError):
    """Its state does not allow that."""

    code = "wrong_state"


class BusyError(InventoryError):
    """Somebody else is at it; try again."""

    code = "busy"


class UnreachableError(InventoryError):
    """A broker, database or daemon cannot be reached."""

    code = "unreachable"


class RefusedError(InventoryError):
    """Refused, because it would not be safe."""

    code = "refused"


class RequestReusedError(InventoryError):
    """The request id was already used for another request."""

    code = "request_reused"
