"""A second opinion on a store's history, written from the promises: it shares no code with the product."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

Document = dict[str, Any]


class Model:
    """What a chain of events comes to. `wrong` is the first thing that no sound history has, with its invariant."""

    def __init__(self, store: str) -> None:
        """Begin with nothing."""
        self._store = store
        self.levels: dict[str, tuple[int, int, int]] = {}
        self.ids: set[str] = set()
        self._requests: set[str] = set()
        self._held: dict[str, dict[str, int]] = {}
        self._expires: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._epoch = 1
        self._moved: dict[str, int] = {}
        self.wrong: tuple[str, str] | None = None

    def take(self, seq: int, body: bytes) -> None:
        """Take in the next event."""
        event: Document = json.loads(body)
        data = event["data"]
        kind = str(event["type"]).removeprefix("inventory.")
        if event["source"] != f"/stores/{self._store}":
            self._find("own_events", seq, "it is another store's")
        if event["id"] in self.ids:
            self._find("once", seq, f"event {event['id']} is there twice")
        self.ids.add(event["id"])
        request = event.get("requestid")
        if request and kind != "stock.discrepancy":
            if request in self._requests:
                self._find("idempotency", seq, f"request {request} was carried out twice")
            self._requests.add(request)
        for line in data.get("lines", []):
            self._line(seq, line)
        if kind == "ledger.rebased":
            if data["epoch"] <= self._epoch:
                self._find("epoch", seq, f"epoch {data['epoch']} after {self._epoch}")
            self._epoch = data["epoch"]
        elif kind.startswith("reservation."):
            self._reservation(seq, kind.removeprefix("reservation."), event)

    def close(self) -> None:
        """Look at what must hold between events."""
        reserved: dict[str, int] = {}
        for lines in self._held.values():
            for sku, quantity in lines.items():
                reserved[sku] = reserved.get(sku, 0) + quantity
        for sku, (on_hand, held, _) in self.levels.items():
            if held != reserved.get(sku, 0):
                self._find(
                    "reserved", 0, f"{sku} has {held} reserved, the open reservations hold {reserved.get(sku, 0)}"
                )
            if on_hand != self._moved[sku]:
                self._find("movements", 0, f"{sku} has {on_hand} on hand, {self._moved[sku]} by its movements")

    def _line(self, seq: int, line: Document) -> None:
        sku = line["sku"]
        on_hand, reserved, version = self.levels.get(sku, (0, 0, 0))
        after = (on_hand + line["on_hand_change"], reserved + line["reserved_change"], version + 1)
        if after != (line["on_hand"], line["reserved"], line["version"]):
            self._find("levels", seq, f"{sku} does not follow: {after} is not what it states")
        if not 0 <= after[1] <= after[0]:
            self._find("oversold", seq, f"{sku} has {after[0]} on hand and {after[1]} reserved")
        self.levels[sku] = after
        self._moved[sku] = self._moved.get(sku, 0) + line["on_hand_change"]

    def _reservation(self, seq: int, kind: str, event: Document) -> None:
        data = event["data"]
        key, at = data["reservation"], data.get("reappended", {}).get("time", event["time"])
        if kind == "created":
            if key in self._held or key in self._ended:
                self._find("ends_once", seq, f"{key} is created twice")
            self._held[key] = {line["sku"]: line["quantity"] for line in data["lines"]}
            self._expires[key] = data["expires_at"]
            return
        if key not in self._held:
            self._find("ends_once", seq, f"{key} is {kind}, but {self._ended.get(key, 'never was')}")
            return
        if kind == "extended":
            self._expires[key] = data["expires_at"]
            return
        is_due = _instant(at) >= _instant(self._expires[key])
        if kind == "expired" and not is_due:
            self._find("expiry", seq, f"{key} expires at {at}, due {self._expires[key]}")
        if kind == "confirmed" and is_due:
            self._find("expiry", seq, f"{key} is confirmed at {at}, due {self._expires[key]}")
        stated = {line["sku"]: line["confirmed"] + line["released"] for line in data["lines"]}
        if stated != self._held.pop(key):
            self._find("ends_once", seq, f"{key} ends with other units than it held")
        self._ended[key] = kind

    def _find(self, invariant: str, seq: int, what: str) -> None:
        self.wrong = self.wrong or (invariant, f"event {seq} of {self._store}: {what}")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
