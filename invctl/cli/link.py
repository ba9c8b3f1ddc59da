"""What a store knows of head office, in words: what is wrong, and who does what about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.language import _, marked, retold
from invctl.ledger.writing import FROZEN_BY

if TYPE_CHECKING:
    from invctl.ledger.reads import LinkRow

NOT_TAKEN = (marked("refused"), marked("diverged"))
"""The states in which head office takes nothing, however long one waits."""

# By what the daemon wrote down: why central refuses this store, and who does what about it.
_REFUSED = {
    "not_admitted": (
        marked("head office has not admitted this store"),
        marked("at head office: `invcentral stores admit {store}`"),
    ),
    "other_ledger": (
        marked("head office knows another ledger as {store}, and takes nothing from this one"),
        marked("stop selling here; find out which of the two is the store's"),
    ),
    "unknown_version": (
        marked("head office does not know this version of the protocol"),
        marked("upgrade head office first"),
    ),
    "unreadable": (marked("head office cannot read what this store sends"), marked("see `invctl daemon logs`")),
    "bytes_do_not_hash": (
        marked("head office found events that do not lead to their hash"),
        marked("run `invctl verify`"),
    ),
}


def explain(link: LinkRow, store: str) -> tuple[str, str]:
    """Return what is wrong where central refuses this store, or holds another history of it, and what to do."""
    if link.state == "diverged":
        reason = retold(link.reason, *FROZEN_BY)
        if "another machine" in link.reason:
            return reason, _("stop one of them; at head office: `invcentral stores show {store}`", store=store)
        return reason, _("it was restored from a backup, and takes what it lacks within seconds")
    what, todo = _REFUSED.get(link.reason, (link.reason, marked("see `invctl daemon logs`")))
    return _(what, store=store), _(todo, store=store)


def in_words(link: LinkRow, store: str) -> str:
    """Return how the link stands, as the daemon last knew it."""
    if link.state == "up":
        return _("up")
    if link.state in NOT_TAKEN:
        what, todo = explain(link, store)
        return f"{_(link.state)}: {what}; {todo}"
    return _("silent: head office does not answer") if link.acked_us else _("silent: head office has never answered")


def last_known(link: LinkRow, store: str, why: str = "") -> str:
    """Return the same where no daemon runs, or it stands still, so that nobody knows how it stands now."""
    before = _("; before that it was {link}", link=in_words(link, store)) if link.state in NOT_TAKEN else ""
    return _("silent: {why}{before}", why=why or _("no daemon runs"), before=before)
