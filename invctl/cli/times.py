"""Times as people at the counter read them: in the store's time zone, and no longer than needed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from invctl.clock import parse_time
from invctl.language import ENGLISH, SPANISH, _n, current

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCALTIME = Path("/etc/localtime")
# Year first is read as it is meant in every English; Spanish writes the day first everywhere.
_DAY = {ENGLISH: "%Y-%m-%d", SPANISH: "%d/%m/%Y"}
_UNITS_S = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


class StoreTime:
    """Writes instants in a store's time zone, which is named; the date only where it is not today's."""

    def __init__(self, zone: str, now_us: int) -> None:
        """Keep the zone, an IANA name, and what counts as now."""
        self.now_us = now_us
        self._zone = _load(zone)
        self._today = self.local(now_us).date()

    def short(self, instant: str | int, *, named: bool = True) -> str:
        """Write an instant, RFC 3339 or microseconds: `10:42 EST`, or `2026-11-25 10:42 EST`."""
        return self._written(instant, "%H:%M", named=named)

    def exact(self, instant: str | int, *, named: bool = True) -> str:
        """Write an instant to the second: `10:42:07 EST`, or `2026-11-25 10:42:07 EST`."""
        return self._written(instant, "%H:%M:%S", named=named)

    def shared_zone(self, instants: Iterable[str | int]) -> str:
        """Return what all of these would be named with, such as `EST`: to be said once; empty where they differ."""
        names = {self.local(_microseconds(instant)).strftime("%Z") for instant in instants}
        return names.pop() if len(names) == 1 else ""

    def until(self, instant: str | int) -> str:
        """Write how long it is from now to an instant: `28 min`; `0 s` for one that is past."""
        return spoken(max(_microseconds(instant) - self.now_us, 0) // 1_000_000)

    def since(self, instant: str | int) -> str:
        """Write how long it is from an instant to now."""
        return spoken(max(self.now_us - _microseconds(instant), 0) // 1_000_000)

    def _written(self, instant: str | int, clock: str, *, named: bool) -> str:
        local = self.local(_microseconds(instant))
        day = "" if local.date() == self._today else f"{_DAY[current()]} "
        return local.strftime(day + clock + (" %Z" if named else ""))

    def local(self, instant_us: int) -> datetime:
        """Return an instant in the store's time zone."""
        return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(self._zone)


def spoken(seconds: int) -> str:
    """Write a duration in its two largest units, rounded down: `45 s`, `30 min`, `1 h 30 min`, `2 days 3 h`."""
    if seconds >= 120:
        seconds -= seconds % 60
    parts: list[str] = []
    for size, name in _UNITS_S:
        amount, seconds = divmod(seconds, size)
        if amount and len(parts) < 2:
            parts.append(_n("{n:,} day", "{n:,} days", amount) if name == "day" else f"{amount} {name}")
    return " ".join(parts) or "0 s"


def _microseconds(instant: str | int) -> int:
    return instant if isinstance(instant, int) else parse_time(instant)


def machine_zone() -> str:
    """Return the IANA name of the machine's time zone, or nothing where it cannot be told."""
    if name := os.environ.get("TZ"):
        return name.removeprefix(":")
    try:
        return str(_LOCALTIME.readlink()).partition("zoneinfo/")[2]
    except OSError:
        return ""


def _load(zone: str) -> tzinfo | None:
    """Return a time zone, None for the machine's own. UTC stands in for one that this machine does not know."""
    if zone == "UTC":
        return UTC
    if zone == machine_zone():
        # The C library knows it; loading zoneinfo would cost a command 3 ms.
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - see above

    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
