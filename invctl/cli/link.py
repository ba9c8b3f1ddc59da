"""What a store knows of head office, in words: what is wrong, and who does what about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.ledger.reads import LinkRow

NOT_TAKEN = ("refused", "diverged")
"""The states in which head office takes nothing, however long one waits."""

# By what the daemon wrote down: why central refuses this store, and who does what about it.
_REFUSED = {
    "not_admitted": ("head office has not admitted this store", "at head office: `invcentral stores admit {store}`"),
    "other_ledger": (
        "head office knows another ledger as {store}, and takes nothing from this one",
        "stop selling here; find out which of the two is the store's",
    ),
    "unknown_version": ("head office does not know this version of the protocol", "upgrade head office first"),
    "unreadable": ("head office cannot read what this store sends", "see `invctl daemon logs`"),
    "bytes_do_not_hash": ("head office found events that do not lead to their hash", "run `invctl verify`"),
}


def explain(link: LinkRow, store: str) -> tuple[str, str]:
    """Return what is wrong where central refuses this store, or holds another history of it, and what to do."""
    if link.state == "diverged":
        if "another machine" in link.reason:
            return link.reason, f"stop one of them; at head office: `invcentral stores show {store}`"
        return link.reason, "it was restored from a backup, and takes what it lacks within seconds"
    what, todo = _REFUSED.get(link.reason, (link.reason, "see `invctl daemon logs`"))
    return what.format(store=store), todo.format(store=store)


def in_words(link: LinkRow, store: str) -> str:
    """Return how the link stands, as the daemon last knew it."""
    if link.state == "up":
        return "up"
    if link.state in NOT_TAKEN:
        what, todo = explain(link, store)
        return f"{link.state}: {what}; {todo}"
    return "silent: head office does not answer" if link.acked_us else "silent: head office has never answered"


def last_known(link: LinkRow, store: str, why: str = "no daemon runs") -> str:
    """Return the same where no daemon runs, or it stands still, so that nobody knows how it stands now."""
    before = f"; before that it was {in_words(link, store)}" if link.state in NOT_TAKEN else ""
    return f"silent: {why}{before}"
