"""The SKUs that may have been meant by one that the store does not carry. Imported only when there is such a one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from invctl.language import _
from invctl.ledger import names

if TYPE_CHECKING:
    from invctl.errors import NotFoundError
    from invctl.ledger.ledger import Ledger

NEAREST_MAX = 3


def with_nearest(error: NotFoundError, ledger: Ledger) -> NotFoundError:
    """Return the same error with the nearest SKUs in its hint; as it is where none comes close."""
    close = get_close_matches(error.details["sku"], names.skus(ledger), n=NEAREST_MAX)
    if not close:
        return error
    hint = _("did you mean {names}?", names=_(" or ").join(close)) + (f" {error.hint}" if error.hint else "")
    return type(error)(error.message, hint=hint, **{**error.details, "nearest": close})
