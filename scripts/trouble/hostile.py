"""Junk and hostile frames on every channel, from one who may publish on the bus."""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import redis

from invctl.sync import frames
from scripts.chain.waiting import wait_until
from scripts.trouble.scenario import OtherwiseError, Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

_ROUNDS = 5
_HUGE_BYTES = 10_000_000
_NOISE_S = 60.0
_NOBODY = "nowhere"
_BENT: tuple[Any, ...] = (None, True, -1, 2**63, 1.5, "", "\0", "z" * 5000, [], {}, [[]] * 300)


def sealed(content: bytes) -> bytes:
    """Close a frame's bytes, as far as before its checksum, with the right checksum."""
    return content + b',"sum":"' + blake2b(content, digest_size=8).hexdigest().encode() + b'"}'


def _frame(document: dict[str, Any]) -> bytes:
    return sealed(json.dumps(document, separators=(",", ":")).encode()[:-1])


def junk(store: str) -> Iterator[bytes]:
    """Give frames that are none, or that nobody should believe; most with a checksum that is right."""
    yield from (b"", b"\0", b"null", b"[]", b"{}", b"\xff\xfe\xfd", b"x" * 100_000)
    yield sealed(b'{"v":1,"kind":"hello","store":"\xff"')
    yield sealed(b'{"v":1,"kind":"hello","store":"\\ud800"')
    yield sealed(b'{"v":1,"deep":' + b"[" * 200_000 + b"]" * 200_000)
    yield sealed(b'{"v":1,"huge":' + b"9" * 100_000)
    yield sealed(b'{"v":1,"huge":1e400')
    yield sealed(b'{"v":1,"long":"' + b"y" * _HUGE_BYTES + b'"')
    whole: dict[str, Any] = {
        "v": 1,
        "kind": "hello",
        "store": store,
        "epoch": 1,
        "boot": "0123456789abcdef",
        "n": 1,
        "echo": "",
        "head_seq": 5,
        "head_hash": "00" * 32,
        "acked_seq": 0,
        "first_hash": "11" * 32,
        "first_seq": 1,
        "prev_hash": "00" * 32,
        "last_hash": "22" * 32,
        "events": ["{}"],
        "token": "t.1.1",
        "applied_seq": 5,
        "applied_hash": "33" * 32,
        "suspects": 0,
        "granted": 2,
        "reason": "not_admitted",
    }
    for kind in ("hello", "events", "ack", "history", "refused", "nonsense"):
        yield _frame({**whole, "kind": kind})
        for name in whole:
            for value in _BENT:
                yield _frame({**whole, "kind": kind, name: value})
    yield _frame({**whole, "store": OTHER_STORE if store == STORE else STORE})
    yield _frame({**whole, "v": 2})


def _started(scene: Scene) -> tuple[Child, Child]:
    scene.found()
    central = scene.central()
    daemon = scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    scene.trade()
    return central, daemon


def _goes_on(scene: Scene, *children: Child) -> None:
    scene.stop_trading()
    scene.until_level()
    for child in children:
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


def _junk_everywhere(scene: Scene) -> None:
    central, daemon = _started(scene)
    with closing(redis.Redis.from_url(scene.broker.url)) as client:
        channels = [scene.up(), scene.down(), scene.up(OTHER_STORE), scene.down(OTHER_STORE), scene.up(_NOBODY)]
        channels += [f"{scene.namespace}:up:{slot}:{name}" for slot, name in (("00", STORE), ("63", "NOT A STORE"))]
        payloads = list(junk(STORE))
        for channel in channels:
            shouts = client.pipeline(transaction=False)
            for payload in payloads:
                shouts.publish(channel, payload)
            shouts.execute()
    _goes_on(scene, central, daemon)
    listed = {row["store"] for row in scene.office("stores", "list", "-o", "json").record}
    scene.expect({STORE, OTHER_STORE} <= listed, f"the stores are there: {listed}")
    for store in (STORE, OTHER_STORE):
        scene.expect(scene.status(store)["frozen"] is None, f"{store} may write")


def _heard(client: redis.Redis, channel: str, kind: str) -> Any:
    """Listen on the bus until a frame of a kind comes, and return it."""
    with closing(client.pubsub(ignore_subscribe_messages=True)) as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(channel)
        found: list[Any] = []

        def came() -> bool:
            message = listener.get_message(timeout=0.1)
            if message is not None:
                document = json.loads(message["data"])
                if document["kind"] == kind:
                    found.append(document)
            return bool(found)

        if not wait_until(came, timeout_s=_NOISE_S):
            raise OtherwiseError(f"no {kind} on {channel}")
        return found[0]


def _ack(heard: Any, applied_seq: int, applied_hash: str) -> bytes:
    return frames.encode(
        frames.Ack(
            store=heard["store"],
            epoch=heard["epoch"],
            boot=heard["boot"],
            n=heard["n"],
            token="forged.1.1",  # noqa: S106 - a frame's, no secret
            applied_seq=applied_seq,
            applied_hash=bytes.fromhex(applied_hash),
            want_from=None,
            suspects=0,
        )
    )


def _acks_ahead(scene: Scene) -> None:
    """Acknowledge, in the name of a head office that is dead, what the store says that it has."""
    scene.found()
    central = scene.central()
    daemon = scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    central.kill()
    scene.expect(scene.sell("nobody-has-this").code == 0, "a clerk sells")
    with closing(redis.Redis.from_url(scene.broker.url)) as client:
        for _ in range(_ROUNDS):
            hello = _heard(client, scene.up(), "hello")
            client.publish(scene.down(), _ack(hello, hello["head_seq"], hello["head_hash"]))
    scene.until(lambda: scene.acked_seq() == scene.head_seq(), "the store believes the forger")
    scene.expect(scene.applied() < scene.head_seq(), "head office has not got it")
    scene.central()
    scene.until_level()
    scene.expect(daemon.alive(), f"{daemon.name} was not started again")


def _acks_of_no_history(scene: Scene) -> None:
    """Answer each `hello`, beside head office, with an event that no ledger has."""
    central, daemon = _started(scene)
    with closing(redis.Redis.from_url(scene.broker.url)) as client:
        for _ in range(_ROUNDS):
            hello = _heard(client, scene.up(), "hello")
            client.publish(scene.down(), _ack(hello, hello["head_seq"] + 1000, "44" * 32))
    scene.until(lambda: scene.status()["frozen"] is None, "the store may write once head office is heard again")
    _goes_on(scene, central, daemon)


SCENARIOS = (
    Scenario(
        "junk-everywhere",
        "on every channel, and some that are none: no JSON, wrong types, huge numbers, 10 MB, 200,000 levels deep,"
        " other stores' names, each field of each frame bent, mostly with a right checksum",
        "dropped or refused; nobody is frozen; the stores trade and arrive, with no process restarted",
        _junk_everywhere,
    ),
    Scenario(
        "forged-ack-ahead",
        "with head office dead, somebody acknowledges to a store all that it has",
        "the store believes it as a hint; head office, back again, is asked and sent what it lacks",
        _acks_ahead,
    ),
    Scenario(
        "forged-ack-of-no-history",
        "beside head office somebody answers a store's `hello`s with an event that no ledger has",
        "at worst the store refuses to write for a moment, until head office is heard; nothing is lost",
        _acks_of_no_history,
    ),
)
