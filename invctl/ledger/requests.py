"""Request ids: the same request again gives the first outcome again.

Only what was decided is remembered (done, not found, not enough, wrong state), never "busy". The event carries the
id and the fingerprint, too, so that a rebuilt ledger still knows them.
"""

from __future__ import annotations

import json
from _blake2 import blake2b  # not by way of hashlib: see invctl.model.chain
from typing import TYPE_CHECKING, Any

from invctl.errors import (
    InventoryError,
    NotEnoughStockError,
    NotFoundError,
    RequestReusedError,
    WrongStateError,
)
from invctl.language import _, english
from invctl.ledger.database import first
from invctl.ledger.writing import Receipt
from invctl.model.events import STOCK_DISCREPANCY, canonical

if TYPE_CHECKING:
    from invctl.ledger.writing import Origin, Write

KEPT_US = 30 * 24 * 3600 * 1_000_000
FORGOTTEN_AT_ONCE = 10
_REFUSALS: dict[str, type[InventoryError]] = {
    error.code: error for error in (NotFoundError, NotEnoughStockError, WrongStateError)
}


def fingerprint(operation: str, arguments: dict[str, Any]) -> str:
    """Return a digest of what is asked for: two requests with the same one are the same request."""
    return blake2b(canonical({"operation": operation, **arguments}), digest_size=16).hexdigest()


def recall(write: Write, origin: Origin) -> Receipt | None:
    """Return the first outcome of a request, or None where it is new.

    Raises the first refusal again, with `replayed` among its details; WrongStateError where what had been done no
    longer fitted behind a history that the ledger had lost; RequestReusedError where the id was used for something
    else.
    """
    row = first(
        write.connection,
        "SELECT fingerprint, seq, refusal FROM requests WHERE id = ? AND at_us > ?",
        (origin.request_id, write.now_us - KEPT_US),
    )
    if row is None:
        return None
    known, seq, refusal = row
    if known != origin.request_hash:
        raise RequestReusedError(
            _("request id {request_id} was already used for another request", request_id=origin.request_id),
            hint=_("use a new id for each request, and the same one only to repeat it"),
            request_id=origin.request_id,
        )
    if refusal is not None:
        said = json.loads(refusal)
        raise _REFUSALS[said["code"]](said["message"], hint=said["hint"], **said["details"], replayed=True)
    body = first(write.connection, "SELECT body FROM events WHERE seq = ?", (seq,))[0]
    receipt = Receipt(seq, body, replayed=True)
    if b"discrepancy" in body and (event := receipt.event).type == STOCK_DISCREPANCY:
        raise WrongStateError(
            _(
                "this request was carried out, and no longer fitted when this ledger rejoined head office: {why}",
                why=event.data.get("why"),
            ),
            hint=_(
                "event {seq} says what became of it: count what it touched, and ask anew under another request id",
                seq=seq,
            ),
            request_id=origin.request_id,
            seq=seq,
            replayed=True,
        )
    return receipt


def remember(write: Write, origin: Origin, seq: int) -> None:
    """Keep the event that came of a request; one that changed nothing may be asked again."""
    if origin.request_id and seq:
        _keep(write, origin, seq, None)


def remember_refusal(write: Write, origin: Origin, refusal: InventoryError) -> None:
    """Keep a refusal."""
    if origin.request_id:
        said = {
            "code": refusal.code,
            "message": english(refusal.message),
            "hint": english(refusal.hint),
            "details": refusal.details,
        }
        _keep(write, origin, None, json.dumps(said))


def _keep(write: Write, origin: Origin, seq: int | None, refusal: str | None) -> None:
    # A few old ones go with each new one, so that the table stays as large as thirty days are.
    write.connection.execute(
        "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE at_us <= ? ORDER BY at_us LIMIT ?)",
        (write.now_us - KEPT_US, FORGOTTEN_AT_ONCE),
    )
    write.connection.execute(
        "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
        (origin.request_id, origin.request_hash, write.now_us, seq, refusal),
    )
