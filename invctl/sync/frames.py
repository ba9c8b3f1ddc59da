"""Frames: what store and central say to each other. One JSON object each, its checksum last.

The checksum (blake2b-64, hexadecimal) covers every byte before `,"sum":`, so nothing is serialised again to
check it. Unknown fields are ignored; an unknown `v` or `kind` is told apart from damage, so that it can be
answered. `docs/protocol.md` has the table of fields.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, NamedTuple

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from invctl.model.chain import HASH_BYTES
from invctl.model.identifiers import is_store

VERSION = 1
FRAME_BYTES_MAX = 1024 * 1024
BATCH_EVENTS_MAX = 256
BATCH_BYTES_MAX = 256 * 1024

# Reasons of a `refused` frame.
NOT_ADMITTED = "not_admitted"
OTHER_LEDGER = "other_ledger"
UNKNOWN_VERSION = "unknown_version"
UNREADABLE = "unreadable"
BYTES_DO_NOT_HASH = "bytes_do_not_hash"

_SUM_KEY = b',"sum":"'
_SUM_HEX = 16
_TAIL_BYTES = len(_SUM_KEY) + _SUM_HEX + len(b'"}')
_WHOLE_MAX = 2**63 - 1
# A word goes back to its sender as it came, so it must be one that can be written.
_WORD = re.compile(r"[!-~]{1,64}")

_ENCODER = Encoder()
_DECODER = Decoder()


class Hello(NamedTuple):
    """A store is here (at start, at each confirmed subscription, and as a heartbeat)."""

    store: str
    epoch: int
    boot: str
    n: int
    echo: str
    head_seq: int
    head_hash: bytes
    acked_seq: int
    first_hash: bytes
    held_seq: int | None = None
    """Asks to rejoin, from a ledger that lost history: the last event of central's that it knows, with its hash."""
    held_hash: bytes | None = None


class Events(NamedTuple):
    """A run of a store's events, the stored bytes as they are."""

    store: str
    epoch: int
    boot: str
    n: int
    echo: str
    head_seq: int
    head_hash: bytes
    first_seq: int
    prev_hash: bytes
    last_hash: bytes
    events: list[bytes]

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self.first_seq + len(self.events) - 1


class Ack(NamedTuple):
    """Central has committed everything up to `applied_seq`. The answer to each hello and each events."""

    store: str
    epoch: int
    boot: str
    n: int
    token: str
    applied_seq: int
    applied_hash: bytes
    want_from: int | None
    suspects: int
    copies: int | None = None
    """1 where two runs of the store's daemon were seen to live at once: an operator decides which rejoins."""


class Refused(NamedTuple):
    """Central takes nothing from this store, or not the frame that `boot` and `n` name."""

    store: str
    epoch: int
    boot: str
    n: int
    token: str
    reason: str


class History(NamedTuple):
    """What central has after the event that a store which lost history holds; the answer to its `hello`.

    `granted` is the epoch under which it may go on, once it has all that is applied. Where central does not know the
    event that it holds, the run begins at the start.
    """

    store: str
    epoch: int
    boot: str
    n: int
    token: str
    granted: int
    applied_seq: int
    applied_hash: bytes
    first_seq: int
    prev_hash: bytes
    last_hash: bytes
    events: list[bytes]

    @property
    def last_seq(self) -> int:
        """The seq of the last event; where there is none, of what the store holds."""
        return self.first_seq + len(self.events) - 1


class CentralHello(NamedTuple):
    """A central took over: stores answer within a second, at a random moment."""

    store: str
    epoch: int


UpFrame = Hello | Events
DownFrame = Ack | Refused | History | CentralHello


class FrameError(ValueError):
    """These bytes are not a frame. `reason` is a refused frame's; boot and n are the sender's where they were read."""

    def __init__(self, message: str, reason: str = UNREADABLE, boot: str = "", n: int = 0) -> None:
        """Keep what is known of the frame."""
        super().__init__(message)
        self.reason = reason
        self.boot = boot
        self.n = n


def encode(frame: UpFrame | DownFrame) -> bytes:
    """Return the bytes of a frame."""
    document: dict[str, Any] = {"v": VERSION, "kind": _KIND_OF[type(frame)]}
    for name, value in frame._asdict().items():
        if isinstance(value, bytes):
            document[name] = value.hex()
        elif isinstance(value, list):
            # A damaged ledger may hold what is no UTF-8: it then fails to hash at central, and is refused there.
            document[name] = [body.decode(errors="replace") for body in value]
        elif value is not None:
            document[name] = value
    return _sealed(document)


def _sealed(document: dict[str, Any]) -> bytes:
    content = _ENCODER.encode(document)[:-1]
    return b"".join((content, _SUM_KEY, _checksum(content), b'"}'))


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_SUM_HEX // 2).hexdigest().encode()


def decode_up(payload: bytes) -> UpFrame:
    """Read a frame from a store. Raises FrameError, for any bytes whatever."""
    document = _opened(payload)
    try:
        return _up_frame(document)
    except FrameError as error:
        raise _with_sender(error, document) from None


def _up_frame(document: dict[str, Any]) -> UpFrame:
    kind = document.get("kind")
    if kind == "hello":
        acked_seq, first_hash = _whole(document, "acked_seq"), _hash(document, "first_hash")
        header = _up_header(document)
        if "held_seq" not in document and "held_hash" not in document:
            return Hello(**header, acked_seq=acked_seq, first_hash=first_hash)
        held_seq, held_hash = _whole(document, "held_seq"), _hash(document, "held_hash")
        return Hello(**header, acked_seq=acked_seq, first_hash=first_hash, held_seq=held_seq, held_hash=held_hash)
    if kind == "events":
        return _events(document)
    raise FrameError(f"unknown kind {kind!r:.80}")


def decode_down(payload: bytes) -> DownFrame:
    """Read a frame from central. Raises FrameError, for any bytes whatever."""
    document = _opened(payload)
    kind = document.get("kind")
    if kind == "ack":
        want_from = _whole(document, "want_from", least=1) if "want_from" in document else None
        return Ack(
            **_reply_header(document),
            applied_seq=_whole(document, "applied_seq"),
            applied_hash=_hash(document, "applied_hash"),
            want_from=want_from,
            suspects=_whole(document, "suspects"),
            copies=_whole(document, "copies") if "copies" in document else None,
        )
    if kind == "history":
        return History(
            **_reply_header(document),
            granted=_whole(document, "granted", least=2),
            applied_seq=_whole(document, "applied_seq"),
            applied_hash=_hash(document, "applied_hash"),
            first_seq=_whole(document, "first_seq", least=1),
            prev_hash=_hash(document, "prev_hash"),
            last_hash=_hash(document, "last_hash"),
            events=_bodies(document, least=0),
        )
    if kind == "refused":
        return Refused(**_reply_header(document), reason=_word(document, "reason"))
    if kind == "hello":
        return CentralHello(store=_store(document), epoch=_whole(document, "epoch"))
    raise FrameError(f"unknown kind {kind!r:.80}")


_KIND_OF: dict[type, str] = {
    Hello: "hello",
    Events: "events",
    Ack: "ack",
    Refused: "refused",
    History: "history",
    CentralHello: "hello",
}


def _opened(payload: bytes) -> dict[str, Any]:
    """Check size, checksum and version, and return the document."""
    if not _TAIL_BYTES < len(payload) <= FRAME_BYTES_MAX:
        raise FrameError(f"{len(payload)} bytes")
    content, tail = payload[:-_TAIL_BYTES], payload[-_TAIL_BYTES:]
    if tail != b"".join((_SUM_KEY, _checksum(content), b'"}')):
        raise FrameError("the checksum is wrong")
    try:
        document = _DECODER.decode(payload)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise FrameError("not JSON") from None
    if not isinstance(document, dict):
        raise FrameError("not an object")
    version = document.get("v")
    # To Python true and 1.0 are 1, too.
    if type(version) is not int or version != VERSION:
        raise _with_sender(FrameError(f"version {version!r:.80}", UNKNOWN_VERSION), document)
    return document


def _with_sender(error: FrameError, document: dict[str, Any]) -> FrameError:
    """Add boot and n, as far as they can be read, so that the sender can be answered."""
    try:
        return FrameError(str(error), error.reason, _word(document, "boot"), _whole(document, "n"))
    except FrameError:
        return error


def _up_header(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "store": _store(document),
        "epoch": _whole(document, "epoch", least=1),
        "boot": _word(document, "boot"),
        "n": _whole(document, "n", least=1),
        "echo": _word(document, "echo", empty=True),
        "head_seq": _whole(document, "head_seq"),
        "head_hash": _hash(document, "head_hash"),
    }


def _reply_header(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "store": _store(document),
        "epoch": _whole(document, "epoch"),
        "boot": _word(document, "boot"),
        "n": _whole(document, "n"),
        "token": _word(document, "token"),
    }


def _events(document: dict[str, Any]) -> Events:
    return Events(
        **_up_header(document),
        first_seq=_whole(document, "first_seq", least=1),
        prev_hash=_hash(document, "prev_hash"),
        last_hash=_hash(document, "last_hash"),
        events=_bodies(document, least=1),
    )


def _bodies(document: dict[str, Any], least: int) -> list[bytes]:
    texts = document.get("events")
    if not isinstance(texts, list) or not least <= len(texts) <= BATCH_EVENTS_MAX:
        raise FrameError(f"events is not an array of {least} to {BATCH_EVENTS_MAX}")
    try:
        return [text.encode() for text in texts]
    except (AttributeError, UnicodeEncodeError):
        raise FrameError("an event is not text") from None


def _store(document: dict[str, Any]) -> str:
    store = document.get("store")
    if not is_store(store):
        raise FrameError("store is no store id")
    return str(store)


def _whole(document: dict[str, Any], name: str, least: int = 0) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _WHOLE_MAX:
        raise FrameError(f"{name} is not a whole number in range")
    return value


def _word(document: dict[str, Any], name: str, *, empty: bool = False) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not (_WORD.fullmatch(value) or (empty and not value)):
        raise FrameError(f"{name} is not a word")
    return value


def _hash(document: dict[str, Any], name: str) -> bytes:
    value = document.get(name)
    try:
        found = bytes.fromhex(value) if isinstance(value, str) and len(value) == 2 * HASH_BYTES else b""
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES:
        raise FrameError(f"{name} is not a hash")
    return found
