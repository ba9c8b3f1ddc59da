"""What a store knows of head office, in words: what is wrong, and who does what about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.ledger.reads import LinkRow

# By what the daemon wrote down: why central refuses this store.
_REFUSED = {
    "not_admitted": "head office has not admitted this store: `invcentral stores admit {store}`",
    "other_ledger": "head office knows another ledger as {store}: this one cannot join under that id",
    "unknown_version": "head office does not know this version of the protocol: it is upgraded first",
    "unreadable": "head office cannot read what this store sends: see `invctl daemon logs`",
    "bytes_do_not_hash": "head office found events that do not lead to their hash: run `invctl verify`",
}


def in_words(link: LinkRow, store: str) -> str:
    """Return how the link stands, as the daemon last knew it."""
    if link.state == "up":
        return "up"
    if link.state == "refused":
        return "refused: " + _REFUSED.get(link.reason, link.reason).format(store=store)
    if link.state == "diverged":
        return f"diverged: {link.reason}; nothing is sent any more"
    return "silent: head office does not answer" if link.acked_us else "silent: head office has never answered"
