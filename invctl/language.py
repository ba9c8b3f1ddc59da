"""The language in which a clerk is spoken to: English, or Spanish by the locale.

Messages are English in the source, as gettext has them, and stay so until `speak` is called: head office, the daemon
and every program that reads JSON never hear anything else. What is stored is stored in English (`english`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from gettext import NullTranslations

VARIABLE = "INVCTL_LANGUAGE"
ENGLISH, SPANISH = "en", "es"
DOMAIN = "invctl"
LOCALES = __file__.rpartition("/")[0] + "/locale"
# Where Spanish writes 1,234.50, as Unicode's CLDR has it; elsewhere it is 1.234,50.
_POINT_IN = frozenset({"419", "DO", "GT", "HN", "MX", "NI", "PA", "PE", "PR", "SV", "US"})
_SWAPPED = str.maketrans(",.", ".,")

_catalogue: NullTranslations | None = None
_comma = False


def asked(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the locale that a person asks for, such as `es_MX.UTF-8`, and by which variable; empty where by none.

    INVCTL_LANGUAGE comes first, then LANGUAGE, LC_ALL, LC_MESSAGES and LANG. Of LANGUAGE, a list, the first is meant,
    and it counts for nothing in the C locale (https://www.gnu.org/software/gettext/manual, "The LANGUAGE variable").
    """
    if name := environ.get(VARIABLE):
        return name, VARIABLE
    variable = next((name for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    locale = environ.get(variable, "")
    if locale.partition(".")[0] not in ("C", "POSIX") and (listed := environ.get("LANGUAGE")):
        return listed.partition(":")[0], "LANGUAGE"
    return locale, variable


def of(locale: str) -> str:
    """Return the language of a locale: `es` for `es` and any `es_...`, `en` for all others."""
    return SPANISH if re.match(r"es(?![a-z])", locale.lower()) else ENGLISH


def speak(locale: str) -> None:
    """Speak the language of a locale from now on; English where its catalogue cannot be read."""
    global _catalogue, _comma  # noqa: PLW0603 - a process speaks to one person
    if of(locale) == ENGLISH:
        _catalogue, _comma = None, False
        return
    # Whoever is spoken to in English does without them.
    import gettext  # noqa: PLC0415
    import struct  # noqa: PLC0415

    try:
        _catalogue = gettext.translation(DOMAIN, LOCALES, [SPANISH])
    except (OSError, ValueError, struct.error):
        # A shop must be able to sell with what the installation left of the catalogue.
        _catalogue, _comma = None, False
        return
    territory = re.match(r"es[_-]([a-z0-9]+)", locale.lower())
    _comma = territory is None or territory[1].upper() not in _POINT_IN


def current() -> str:
    """Return the language that is spoken now: `en` or `es`."""
    return ENGLISH if _catalogue is None else SPANISH


def _(message: str, /, **values: Any) -> str:
    """Return a message in the language spoken, with its `{placeholders}` filled. `{n:,}` is written as numbers are."""
    if _catalogue is None:
        return message.format(**values) if values else message
    return _told(_catalogue.gettext(message), message, values)


def _n(one: str, many: str, count: int, /, **values: Any) -> str:
    """Return the one message or the other, by a count, which is `{n}` in both."""
    english = one if count == 1 else many
    if _catalogue is None:
        return english.format(n=count, **values)
    return _told(_catalogue.ngettext(one, many, count), english, {"n": count, **values})


def marked(message: str) -> str:
    """Return a message as it is, so that it is in the catalogue; `_` says it where it is told."""
    return message


def retold(text: str, *forms: str) -> str:
    """Say what was written down in English, or is another library's, where it is of one of these `marked` forms."""
    if _catalogue is None:
        return text
    for form in forms:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(form))
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return _(form, **found.groupdict())
    return text


def number(value: float, spec: str = ",") -> str:
    """Write a number as the language does: `1,234.5` or `1.234,5`."""
    written = format(value, spec)
    return written.translate(_SWAPPED) if _comma else written


def decimal_mark() -> str:
    """Return what stands before decimals: `.` or `,`."""
    return "," if _comma else "."


def joined(separator: str, texts: Iterable[str]) -> str:
    """Return texts as one, as `join` does, of which it is still known what it is in English."""
    parts = list(texts)
    text = separator.join(parts)
    return text if _catalogue is None else _Told(text, separator.join(map(english, parts)))


def english(text: str) -> str:
    """Return what a message is in English: what is stored is read by others, too."""
    return text.english if isinstance(text, _Told) else text


class _Told(str):
    """A message in Spanish that knows what it is in English, also where something is added to it."""

    __slots__ = ("english",)
    english: str

    def __new__(cls, text: str, english: str) -> Self:
        told = super().__new__(cls, text)
        told.english = english
        return told

    def __add__(self, other: str) -> _Told:
        return _Told(str(self) + other, self.english + english(other))


def _told(translated: str, message: str, values: dict[str, Any]) -> str:
    if not values:
        return _Told(translated, message)
    spoken = {name: _spoken_value(value) for name, value in values.items()}
    plain = {name: english(value) if isinstance(value, str) else value for name, value in values.items()}
    return _Told(translated.format(**spoken), message.format(**plain))


def _spoken_value(value: Any) -> Any:
    return _Number(value) if _comma and isinstance(value, int | float) and not isinstance(value, bool) else value


class _Number:
    """A number in a message, which its placeholder's format writes as the language does."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __format__(self, spec: str) -> str:
        return number(self._value, spec)

    def __repr__(self) -> str:
        return repr(self._value)

    __str__ = __repr__
