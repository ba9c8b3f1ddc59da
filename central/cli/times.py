"""Instants as the operator's own clock shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalTime:
    """Writes instants in this machine's time zone; the date only where it is not today's."""

    def __init__(self, now_us: int) -> None:
        """Keep what counts as now."""
        now = _local(now_us)
        self._today = now.date()
        self._zone = now.tzname() or "local"

    @property
    def zone(self) -> str:
        """The zone's name: `UTC`, `EST`."""
        return self._zone

    def second(self, instant_us: int) -> str:
        """Write an instant to the second: `10:42:07`, or `2026-11-25 10:42:07`."""
        return self._dated(instant_us) + _local(instant_us).strftime("%H:%M:%S")

    def millisecond(self, instant_us: int) -> str:
        """Write an instant to the millisecond: `10:42:07.123`."""
        local = _local(instant_us)
        return f"{self._dated(instant_us)}{local:%H:%M:%S}.{local.microsecond // 1000:03d}"

    def _dated(self, instant_us: int) -> str:
        date = _local(instant_us).date()
        return "" if date == self._today else f"{date.isoformat()} "


def _local(instant_us: int) -> datetime:
    moment = _EPOCH + timedelta(microseconds=instant_us)
    try:
        return moment.astimezone()
    except (OverflowError, ValueError):
        # At the ends of the calendar a store's clock may stand, but no time zone.
        return moment
