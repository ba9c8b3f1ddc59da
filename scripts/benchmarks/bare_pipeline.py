"""What it takes at the least to carry events from ledgers to one database.

Written to be fast: rows are read and frames made by the batch, published through pipelines, decoded, and everything
that has come is upserted and archived in bulk, in one durable commit. Nothing is checked, locked or told to anybody;
the receiver says how far it is only so that the broker does not drop a subscriber that is too slow for its sender.

    bare_pipeline receive URL DATABASE EVENTS        says a word when it listens, and ends after so many events
    bare_pipeline send URL HOME...                   sends all events of these ledgers
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import redis
from pysqlite3 import dbapi2

from invctl.ledger.ledger import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS_A_FRAME = 256
FRAMES_AT_ONCE = 16
FRAMES_UNDERWAY_MAX = 64
_UP, _DOWN = "bare:up", "bare:down"
_TIMEOUT_S = 60


class Line:
    """The sending end: publishes frames, and keeps no more of them under way than the broker will hold."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
        self._answers = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._answers.subscribe(_DOWN)
        self._answers.get_message(timeout=_TIMEOUT_S)
        self._waiting: list[bytes] = []
        self._sent = self._arrived = 0

    def send(self, store: str, first_seq: int, bodies: list[str]) -> None:
        """Send a frame, with others where there are some."""
        self._waiting.append(json.dumps({"store": store, "first_seq": first_seq, "events": bodies}).encode())
        if len(self._waiting) >= FRAMES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        while self._sent - self._arrived >= FRAMES_UNDERWAY_MAX:
            message = self._answers.get_message(ignore_subscribe_messages=True, timeout=_TIMEOUT_S)
            if message:
                self._arrived = int(message["data"])
        pipeline = self._client.pipeline(transaction=False)
        for frame in self._waiting:
            pipeline.publish(_UP, frame)
        pipeline.execute()
        self._sent += len(self._waiting)
        self._waiting.clear()


def send(url: str, homes: list[Path]) -> None:
    """Send all events of these ledgers."""
    line = Line(url)
    for home in homes:
        connection = apsw.Connection(str(home / FILE), flags=apsw.SQLITE_OPEN_READONLY)
        for rows in _by_frames(connection):
            line.send(home.name, rows[0][0], [body.decode() for _, body in rows])
    line.flush()


def _by_frames(connection: apsw.Connection) -> Iterator[list[Any]]:
    cursor = connection.execute("SELECT seq, body FROM events ORDER BY seq")
    while rows := list(islice(cursor, EVENTS_A_FRAME)):
        yield rows


def receive(url: str, database: str, events: int) -> None:
    """Archive so many events, and keep the levels that they state."""
    connection = dbapi2.connect(database, isolation_level=None)
    execute = connection.execute
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")
    execute("CREATE TABLE archive (store, seq, id, type, body, PRIMARY KEY (store, seq)) WITHOUT ROWID")
    execute("CREATE TABLE levels (store, sku, on_hand, reserved, version, PRIMARY KEY (store, sku)) WITHOUT ROWID")
    client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
    frames = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    frames.subscribe(_UP)
    frames.get_message(timeout=_TIMEOUT_S)
    print("listens", flush=True)
    done = arrived = 0
    while done < events:
        rows: list[tuple[Any, ...]] = []
        levels: dict[tuple[str, str], tuple[Any, ...]] = {}
        message = frames.get_message(timeout=_TIMEOUT_S)
        count = 0
        while message:
            frame = json.loads(message["data"])
            store = frame["store"]
            for seq, body in enumerate(frame["events"], frame["first_seq"]):
                event = json.loads(body)
                rows.append((store, seq, event["id"], event["type"], body))
                for line in event["data"].get("lines", ()):
                    sku = line["sku"]
                    levels[store, sku] = (store, sku, line["on_hand"], line["reserved"], line["version"])
            count += 1
            message = frames.get_message(timeout=0) if count < FRAMES_AT_ONCE else None
        execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO archive VALUES (?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT OR REPLACE INTO levels VALUES (?, ?, ?, ?, ?)", levels.values())
        execute("COMMIT")
        done += len(rows)
        arrived += count
        client.publish(_DOWN, arrived)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], [Path(text) for text in sys.argv[3:]])
    else:
        receive(sys.argv[2], sys.argv[3], int(sys.argv[4]))
