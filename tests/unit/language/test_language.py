"""Which language is spoken, and how it writes numbers, times and words."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING

import pytest

from invctl import language
from invctl.cli.moments import parse_moment
from invctl.cli.times import StoreTime, spoken
from invctl.clock import parse_time
from invctl.language import _, _n, asked, english, of, retold
from invctl.ledger.writing import FROZEN_BY
from invctl.sync.shipper import Shipper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cli


@pytest.fixture
def _spanish() -> Iterator[None]:
    language.speak("es_ES.UTF-8")
    yield
    language.speak("en")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ("", ("", "")),
        ("LANG=es_ES.UTF-8", ("es_ES.UTF-8", "LANG")),
        ("LANG=es LC_MESSAGES=en_US.UTF-8", ("en_US.UTF-8", "LC_MESSAGES")),
        ("LC_MESSAGES=en_US LC_ALL=es_MX", ("es_MX", "LC_ALL")),
        ("LC_ALL=en_US LANGUAGE=es:en", ("es", "LANGUAGE")),
        # As GNU gettext has it: in the C locale nothing is translated.
        ("LC_ALL=C LANGUAGE=es", ("C", "LC_ALL")),
        ("LANG=C.UTF-8 LANGUAGE=es", ("C.UTF-8", "LANG")),
        ("LC_ALL=C INVCTL_LANGUAGE=es", ("es", "INVCTL_LANGUAGE")),
        ("LANG=es LC_ALL=", ("es", "LANG")),
    ],
)
def test_the_locale_is_found_in_the_order_of_posix(environ: str, told: tuple[str, str]) -> None:
    variables = dict(pair.split("=") for pair in environ.split())
    assert asked(variables) == told


@pytest.mark.parametrize(
    ("locale", "name"),
    [("es", "es"), ("es_ES.UTF-8", "es"), ("es_MX", "es"), ("ES", "es"), ("es-419", "es"), ("es.UTF-8@euro", "es")]
    + [(locale, "en") for locale in ("", "C", "POSIX", "C.UTF-8", "en_US", "et_EE", "est", "eswatini", "de_DE")],
)
def test_spanish_is_what_begins_so_and_all_else_is_english(locale: str, name: str) -> None:
    assert of(locale) == name
    language.speak(locale)
    assert language.current() == name
    language.speak("en")


@pytest.mark.usefixtures("_spanish")
def test_a_message_knows_what_it_is_in_english() -> None:
    inner = _("no product {sku}", sku="MOUSE")
    outer = _("the daemon ended at once: {why}", why=inner)
    assert outer == "el servicio terminó enseguida: no existe el producto MOUSE"
    assert english(outer) == "the daemon ended at once: no product MOUSE"
    assert english("as typed") == "as typed"


@pytest.mark.usefixtures("_spanish")
def test_what_was_written_down_in_english_is_told_in_spanish_where_its_form_is_known() -> None:
    kept = "head office holds an event 17 that this ledger does not have, and another machine speaks for this store"
    told = retold(kept, *FROZEN_BY)
    assert told == "la central tiene un evento 17 que este libro no tiene, y otro equipo habla por esta tienda"
    assert english(told) == kept
    assert retold("something else", *FROZEN_BY) == "something else"


@pytest.mark.parametrize("copies", [0, 1])
def test_these_forms_are_those_of_the_daemon(copies: int) -> None:
    source = inspect.getsource(Shipper)
    said = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)]
    (first,) = [ast.unparse(node)[2:-1] for node in said if "holds an event" in ast.unparse(node)]
    written = re.sub(r"{.*?}", "{seq}", first) + (", and another machine speaks for this store" if copies else "")
    assert written in FROZEN_BY
    assert '", and another machine speaks for this store"' in source


@pytest.mark.usefixtures("_spanish")
def test_one_and_many() -> None:
    said = [_n("{n:,} event", "{n:,} events", count) for count in (0, 1, 2, 12_345)]
    assert said == ["0 eventos", "1 evento", "2 eventos", "12.345 eventos"]
    assert english(said[3]) == "12,345 events"


def test_in_english_too() -> None:
    assert [_n("{n:,} event", "{n:,} events", count) for count in (0, 1, 2000)] == [
        "0 events",
        "1 event",
        "2,000 events",
    ]


@pytest.mark.parametrize(
    ("locale", "written"), [("en_US", "-1,234.5"), ("es_ES", "-1.234,5"), ("es_AR", "-1.234,5"), ("es_MX", "-1,234.5")]
)
def test_numbers_are_written_as_the_country_does(locale: str, written: str) -> None:
    language.speak(locale)
    try:
        assert language.number(-1234.5, ",.1f") == written
    finally:
        language.speak("en")


@pytest.mark.usefixtures("_spanish")
def test_what_is_put_in_is_not_translated_nor_read_as_a_form() -> None:
    assert _("no product {sku}", sku="{price} yes") == "no existe el producto {price} yes"


@pytest.mark.usefixtures("_spanish")
def test_times_have_the_day_before_the_month() -> None:
    when = StoreTime("UTC", parse_time("2026-11-24T09:30:00Z"))
    assert when.short("2026-11-25T10:42:00Z") == "25/11/2026 10:42 UTC"
    assert when.short("2026-11-24T10:42:00Z") == "10:42 UTC"
    assert [spoken(86_400), spoken(172_800), spoken(5430)] == ["1 día", "2 días", "1 h 30 min"]


def test_a_moment_is_understood_in_both_languages_whichever_is_spoken() -> None:
    when = StoreTime("UTC", parse_time("2026-11-24T09:30:00Z"))
    assert parse_moment("ayer 18:00", when) == parse_moment("yesterday 18:00", when)
    assert parse_moment("hoy", when) == parse_moment("today", when)


@pytest.mark.parametrize("left", [None, b"", b"not a catalogue, though as long as one begins"])
def test_without_a_catalogue_that_can_be_read_it_speaks_english(
    left: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "LOCALES", str(tmp_path))
    if left is not None:
        folder = tmp_path / "es" / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "invctl.mo").write_bytes(left)
    language.speak("es_ES")
    assert language.current() == "en"
    assert (language.number(1234.5), _("no product {sku}", sku="X")) == ("1,234.5", "no product X")
