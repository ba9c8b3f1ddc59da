"""Messages on a terminal of any width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from invctl.console.folding import folded
from invctl.console.output import Output
from invctl.console.style import Message, paint

pytestmark = pytest.mark.cli


def shown(message: Message, width: int) -> list[str]:
    return paint(folded(message, width), colour=False).split("\n")


def test_what_fits_is_left_as_it_is() -> None:
    message: Message = ["Held ", ("R-7K4QM2", "bold"), " until  10:42"]
    assert folded(message, 27) == message
    assert folded("a\nb", 1) == "a\nb"


def test_a_line_is_folded_at_spaces_also_between_its_parts_which_keep_their_styles() -> None:
    message: Message = [("R-7K4QM2", "bold"), " holds 2 ", ("MOUSE-001", "cyan"), ", for A-17"]
    assert folded(message, 16) == [("R-7K4QM2", "bold"), " holds\n2 ", ("MOUSE-001", "cyan"), ", for\nA-17"]


def test_what_stands_behind_a_label_goes_on_below_itself() -> None:
    message = "head office  /srv/central and more\nclosed\nwhere    it is"
    assert shown(message, 26) == ["head office  /srv/central", "             and more", "closed", "where    it is"]
    # A label of more than half the width leaves no room below itself.
    assert shown(message, 20) == ["head office", "/srv/central and", "more", "closed", "where    it is"]


def test_what_does_not_fit_below_its_label_begins_a_line() -> None:
    assert shown("where    /srv/a/long/path it is", 20) == ["where", "/srv/a/long/path it", "         is"]


def test_a_number_stays_with_what_it_counts() -> None:
    assert shown("It holds 12 MOUSE-001", 12) == ["It holds", "12 MOUSE-001"]


def test_a_word_is_never_broken() -> None:
    assert shown("see https://example.org/a/very/long/address now", 12) == [
        "see",
        "https://example.org/a/very/long/address",
        "now",
    ]


@given(st.lists(st.text("ab 鼠\n", max_size=12), max_size=6), st.integers(2, 40))
def test_only_spaces_give_way_and_every_line_fits_that_can(parts: list[str], width: int) -> None:
    lines = shown(list(parts), width)
    assert "".join("".join(lines).split()) == "".join("".join(parts).split())
    assert all(cell_len(line.rstrip()) <= width or len(line.split()) == 1 for line in lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "lines"), [(Terminal, ["Held two", "mice"]), (io.StringIO, ["Held two mice"])])
def test_a_terminal_gets_it_folded_and_a_pipe_does_not(
    stream: type[io.StringIO], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    out, err = stream(), stream()
    output = Output(stdout=out, stderr=err)
    output.result({}, message="Held two mice")
    output.talk("Held two mice")
    output.stream([])({}, "Held two mice")
    assert out.getvalue().splitlines() == 2 * lines
    assert err.getvalue().splitlines() == lines
