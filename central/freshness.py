"""How fresh central's numbers of a store are, by the database's clock alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Row

# Three heartbeats of a store.
SILENT_AFTER_S = 6.0


class Freshness(NamedTuple):
    """How fresh the numbers of a store are.

    `as_of_seq`: the store's last event that is in them. `age_s`: they are proved complete up to this long ago; None
    where that was never proved, or the clock was set back since. `gap`: the store is known to be ahead, at
    `head_seq`. `heard_s`: how long ago it spoke, None where never. `silent`: too long ago; they may have moved.
    `lacks_seq`: the event that is in them and not in the store's ledger, which so is a restored backup, or has a copy
    that spoke; None where no such thing is known.
    """

    as_of_seq: int
    age_s: float | None
    gap: bool
    head_seq: int
    heard_s: float | None
    silent: bool
    lacks_seq: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return self._asdict()


def freshness(cursor: Row[*tuple[Any, ...]], now_us: int) -> Freshness:
    """Work it out from a row of `cursors`."""
    heard_s = _since_s(cursor.heard_us, now_us)
    return Freshness(
        as_of_seq=cursor.applied_seq,
        age_s=_since_s(cursor.fresh_us, now_us),
        gap=cursor.head_seq > cursor.applied_seq,
        head_seq=cursor.head_seq,
        heard_s=heard_s,
        silent=heard_s is None or heard_s > SILENT_AFTER_S,
        lacks_seq=cursor.lacks_seq or None,
    )


def _since_s(instant_us: int | None, now_us: int) -> float | None:
    # What is still to come was noted before the clock was set back, and says nothing.
    return None if instant_us is None or instant_us > now_us else round((now_us - instant_us) / 1_000_000, 3)
