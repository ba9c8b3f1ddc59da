"""The two sides, each played by hand so that the other can be tried frame by frame."""

from __future__ import annotations

import json
from hashlib import blake2b
from random import Random
from typing import Any

from invctl.model.chain import GENESIS
from invctl.sync import frames
from invctl.sync.cursor import Cursor, Intake
from invctl.sync.receiver import Receiver
from tests.simulation.outbox import MemoryOutbox


def sealed(content: str | bytes) -> bytes:
    """Put a true checksum behind the beginning of an object."""
    raw = content.encode() if isinstance(content, str) else content
    return raw + b',"sum":"' + blake2b(raw, digest_size=8).hexdigest().encode() + b'"}'


def bent(frame: Any, **changes: Any) -> bytes:
    """Encode a frame with other values in some of its fields, under a true checksum; None leaves one out."""
    document = json.loads(frames.encode(frame))
    del document["sum"]
    document.update(changes)
    document = {name: value for name, value in document.items() if value is not None}
    return sealed(json.dumps(document)[:-1])


def bodies(first_seq: int, last_seq: int, mark: str = "") -> list[bytes]:
    return [f'{{"id":"{mark}{seq}"}}'.encode() for seq in range(first_seq, last_seq + 1)]


class Sender:
    """A store that says what a test wants it to say. `n` rises with each frame."""

    def __init__(self, events: int = 0, *, store: str = "downtown", boot: str = "boot-a", mark: str = "") -> None:
        self.outbox = MemoryOutbox(store)
        self.outbox.append(*bodies(1, events, mark))
        self.boot = boot
        self.n = 0

    def more(self, events: int, mark: str = "") -> None:
        seq = self.outbox.head().seq
        self.outbox.append(*bodies(seq + 1, seq + events, mark))

    def hello(self, echo: str = "", **changes: Any) -> bytes:
        return frames.encode(
            frames.Hello(**self._header(echo), acked_seq=0, first_hash=self.outbox.first_hash)._replace(**changes)
        )

    def events(self, first_seq: int, last_seq: int, echo: str = "", **changes: Any) -> bytes:
        return frames.encode(
            frames.Events(
                **self._header(echo),
                first_seq=first_seq,
                prev_hash=self.outbox.hashes[first_seq - 1],
                last_hash=self.outbox.hashes[last_seq],
                events=self.outbox.bodies[first_seq - 1 : last_seq],
            )._replace(**changes)
        )

    def _header(self, echo: str) -> dict[str, Any]:
        self.n += 1
        head = self.outbox.head()
        return {
            "store": self.outbox.store,
            "epoch": self.outbox.epoch,
            "boot": self.boot,
            "n": self.n,
            "echo": echo,
            "head_seq": head.seq,
            "head_hash": head.hash,
        }


class HeadOffice:
    """A central whose database is a dictionary, and which commits what it is told to commit."""

    def __init__(self, *admitted: str, seed: int = 1) -> None:
        self.receiver = Receiver(chance=Random(seed))
        self.now_us = 1_000_000
        self.archive: dict[str, list[bytes]] = {}
        for store in admitted:
            self.receiver.load(Cursor(store, True, None, 1, 0, GENESIS))

    def hear(self, *payloads: bytes, store: str = "downtown") -> None:
        """Take frames in, each a millisecond after the one before."""
        for payload in payloads:
            self.now_us += 1000
            self.receiver.receive(store, payload, self.now_us)

    def commit(self, *, suspects: int = 0) -> list[Intake]:
        taken = self.receiver.take()
        for intake in taken:
            archive = self.archive.setdefault(intake.store, [])
            assert len(archive) == intake.prev_seq
            archive += intake.bodies
            self.receiver.committed(intake, epoch=1, suspects=suspects)
        return taken

    def answers(self) -> list[frames.DownFrame]:
        self.now_us += 1000
        return [frames.decode_down(payload) for _, payload in self.receiver.replies(self.now_us)]

    def round(self, *payloads: bytes, store: str = "downtown") -> list[frames.DownFrame]:
        self.hear(*payloads, store=store)
        self.commit()
        return self.answers()

    def ack(self, *payloads: bytes, store: str = "downtown") -> frames.Ack:
        """A round that is answered by one ack."""
        (answer,) = self.round(*payloads, store=store)
        assert isinstance(answer, frames.Ack)
        return answer

    def refusal(self, *payloads: bytes, store: str = "downtown") -> frames.Refused:
        """A round that is answered by one refusal."""
        (answer,) = self.round(*payloads, store=store)
        assert isinstance(answer, frames.Refused)
        return answer
