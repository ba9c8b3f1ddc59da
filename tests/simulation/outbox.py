"""A ledger as the protocol sees it, in memory."""

from __future__ import annotations

from invctl.model.chain import GENESIS, Head, Run, link


class MemoryOutbox:
    """Events of one store, each with its hash. `batch_max` makes small runs of few events, as large events would."""

    def __init__(self, store: str, epoch: int = 1, batch_max: int = 1_000_000) -> None:
        self.store = store
        self.epoch = epoch
        self.batch_max = batch_max
        self.bodies: list[bytes] = []
        self.hashes: list[bytes] = [GENESIS]
        self.kept: Head | None = None

    @property
    def first_hash(self) -> bytes:
        return self.hashes[1] if self.bodies else GENESIS

    def append(self, *bodies: bytes) -> None:
        for body in bodies:
            self.hashes.append(link(self.hashes[-1], len(self.hashes), body))
            self.bodies.append(body)

    def cut_back(self, seq: int) -> None:
        """Be a backup that was taken at `seq`."""
        del self.bodies[seq:]
        del self.hashes[seq + 1 :]

    def held(self) -> Head | None:
        return self.kept

    def head(self) -> Head:
        return Head(len(self.bodies), self.hashes[-1])

    def hash_at(self, seq: int) -> bytes | None:
        return self.hashes[seq] if seq < len(self.hashes) else None

    def read(self, after_seq: int, events_max: int, bytes_max: int) -> Run:
        if after_seq >= len(self.hashes):
            return Run(GENESIS, [], GENESIS)
        bodies: list[bytes] = []
        size = 0
        for body in self.bodies[after_seq : after_seq + min(events_max, self.batch_max)]:
            size += len(body)
            if bodies and size > bytes_max:
                break
            bodies.append(body)
        return Run(self.hashes[after_seq], bodies, self.hashes[after_seq + len(bodies)])
