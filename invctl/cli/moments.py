"""Moments of the past as people say them, in the store's time zone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from invctl.clock import parse_time
from invctl.console.units import parse_duration
from invctl.errors import InvalidValueError
from invctl.language import _, marked

if TYPE_CHECKING:
    from invctl.cli.times import StoreTime

_HINT = marked("such as 'yesterday 18:00', '2026-11-24 18:00', 2026-11-24T18:00:00Z, or 2h for two hours ago")
_DAYS = {"today": 0, "hoy": 0, "yesterday": 1, "ayer": 1}
_SAID = re.compile(
    r"(today|yesterday|hoy|ayer|[0-9]{4}-[0-9]{2}-[0-9]{2})(?: ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
)


def parse_moment(text: str, when: StoreTime) -> int:
    """Return the moment that is meant, in microseconds since the epoch. Raises InvalidValueError."""
    said = " ".join(text.lower().split())
    if found := _SAID.fullmatch(said):
        day, hour, minute, second = found.groups()
        try:
            now = when.local(when.now_us)
            date = now.date() - timedelta(_DAYS[day]) if day in _DAYS else now.date().fromisoformat(day)
            moment = now.replace(
                year=date.year,
                month=date.month,
                day=date.day,
                hour=int(hour or 0),
                minute=int(minute or 0),
                second=int(second or 0),
                microsecond=0,
            )
        except ValueError:
            raise InvalidValueError(_("{text!r} is not a time", text=text), hint=_(_HINT)) from None
        return round(moment.timestamp() * 1_000_000)
    try:
        return when.now_us - parse_duration(said) * 1_000_000
    except InvalidValueError:
        pass
    try:
        return parse_time(text.strip())
    except InvalidValueError:
        raise InvalidValueError(_("{text!r} is not a time", text=text), hint=_(_HINT)) from None
