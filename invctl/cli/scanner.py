"""What a scanner types: codes that end with Enter or Tab, on a terminal or in a pipe."""

from __future__ import annotations

import sys
import termios
import tty
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = "\r\n\t"
_BACKSPACES = "\x7f\b"
_END_OF_INPUT = "\x04"
_CLEAR_LINE = "\x15"
WORD_CHARS_MAX = 200


def words(prompt: str = "") -> Iterator[str]:
    """Yield what is typed, word by word, until the input ends. An empty one is the bare key.

    On a terminal each key is seen at once, as a scanner may end a code with Tab; what is typed is shown, and can be
    corrected. Ctrl-C is KeyboardInterrupt, as everywhere.
    """
    stdin, stderr = sys.stdin, sys.stderr
    if isinstance(stdin, TextIOWrapper):
        # Else a byte that is no Unicode, as of a scanner set to Latin-1, would end the session, and its basket.
        stdin.reconfigure(errors="surrogateescape")
    if not stdin.isatty():
        yield from _of_a_pipe(stdin)
        return
    with _keys(stdin):
        while True:
            _show(stderr, prompt)
            word = _typed(stdin, stderr)
            _show(stderr, "\n")
            if word is None:
                return
            yield word


def _of_a_pipe(stdin: TextIO) -> Iterator[str]:
    for line in stdin:
        yield from (part.strip() for part in line.rstrip("\r\n").split("\t"))


def _typed(stdin: TextIO, stderr: TextIO) -> str | None:
    """Return one word as it is typed, None where the input ends."""
    word = ""
    while True:
        key = stdin.read(1)
        if key in ("", _END_OF_INPUT):
            return None
        if key in _ENDS:
            return word.strip()
        if key in _BACKSPACES:
            if word:
                _show(stderr, "\b \b")
            word = word[:-1]
        elif key == _CLEAR_LINE:
            _show(stderr, "\b \b" * len(word))
            word = ""
        elif key.isprintable() and len(word) < WORD_CHARS_MAX:
            word += key
            _show(stderr, key)


@contextmanager
def _keys(stdin: TextIO) -> Iterator[None]:
    """Have each key at once, and unseen, for the time of the block."""
    descriptor = stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _show(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
