"""How a whole chain lies in one folder: `stores/ID` for each store's home, and `central` for head office's."""

from __future__ import annotations

import os
from pathlib import Path

from invctl.ledger.ledger import FILE

DEFAULT = "chain"


class ChainFolder:
    """The folder of a chain."""

    def __init__(self, path: Path) -> None:
        """Take a folder, which need not exist."""
        self.path = path
        self.stores = path / "stores"
        self.central = path / "central"

    @classmethod
    def named(cls, name: str | None) -> ChainFolder:
        """Return the folder that a user named, else that of INVCTL_CHAIN, else `chain` here."""
        return cls(Path(name or os.environ.get("INVCTL_CHAIN") or DEFAULT).expanduser().absolute())

    def home(self, store: str) -> Path:
        """Return a store's home."""
        return self.stores / store

    def central_home(self, number: int) -> Path:
        """Return the home of one of several centrals, from 1; the first one's is `central`."""
        return self.central if number == 1 else self.central.with_name(f"{self.central.name}-{number}")

    def journal(self, store: str) -> Path:
        """Return where a run notes what a store's clerk was told is done."""
        return self.path / "acknowledged" / f"{store}.log"

    def homes(self) -> list[Path]:
        """Return the homes that have a ledger, by store."""
        return sorted(ledger.parent for ledger in self.stores.glob(f"*/{FILE}"))

    @property
    def central_file(self) -> Path:
        """The file of head office's database."""
        return self.central / "central.db"

    @property
    def central_database(self) -> str:
        """The URL of head office's database."""
        return f"sqlite:///{self.central_file}"
