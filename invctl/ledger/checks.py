"""What may stand in a ledger: looked at before anything is written, so that no event is longer than it may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from invctl.errors import InvalidValueError
from invctl.language import _, marked
from invctl.model.identifiers import check_request_id

if TYPE_CHECKING:
    from invctl.ledger.writing import Origin

CLERK_CHARS_MAX = 200

_CURRENCY = re.compile(r"[A-Z]{3}")
_TIMEZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_SPAN = re.compile(r"[0-9a-f]{16}")


def check_text(text: str, what: str, chars_max: int) -> str:
    """Return free text as it is. Raises InvalidValueError where it is too long or not printable."""
    if len(text) > chars_max or not text.isprintable():
        raise InvalidValueError(
            _("{text!r} is not a {what}", text=text[:40], what=_(what)),
            hint=_("at most {chars_max} printable characters", chars_max=chars_max),
        )
    return text


def check_name(text: str, what: str, chars_max: int) -> str:
    """Return a name as it is. Raises InvalidValueError where it is blank, too long or not printable."""
    if not text.strip():
        raise InvalidValueError(
            _("{text!r} is not a {what}", text=text[:40], what=_(what)),
            hint=_("1 to {chars_max} printable characters", chars_max=chars_max),
        )
    return check_text(text, what, chars_max)


def check_currency(text: str) -> str:
    """Return the code of a currency as it is, or raise InvalidValueError."""
    if not _CURRENCY.fullmatch(text):
        raise InvalidValueError(
            _("{text!r} is not a currency", text=text), hint=_("three capital letters of ISO 4217, such as USD")
        )
    return text


def check_timezone(text: str) -> str:
    """Return the name of a time zone as it is, or raise InvalidValueError. Whether there is one is not known here."""
    if not _TIMEZONE.fullmatch(text):
        raise InvalidValueError(
            _("{text!r} is not a time zone", text=text), hint=_("an IANA name, such as America/New_York")
        )
    return text


def check_origin(origin: Origin) -> Origin:
    """Return an origin as it is. Raises InvalidValueError where a part that is given is not of its form."""
    if origin.clerk:
        check_text(origin.clerk, marked("clerk's name"), CLERK_CHARS_MAX)
    if origin.request_id:
        check_request_id(origin.request_id)
    if origin.trace and not _TRACE.fullmatch(origin.trace):
        raise InvalidValueError(
            _("{trace!r} is not a W3C traceparent", trace=origin.trace[:60]), hint=_("leave it out")
        )
    if origin.parent and not _SPAN.fullmatch(origin.parent):
        raise InvalidValueError(_("{span!r} is not the id of a span", span=origin.parent[:40]), hint=_("leave it out"))
    return origin
