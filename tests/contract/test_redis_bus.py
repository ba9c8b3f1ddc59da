"""The bus on a real Redis: killed, frozen, half open, too slow, in a password's way, and not a Redis at all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from invctl.bus.contract import Message, Subscribed
from invctl.bus.redis import RedisBus
from invctl.errors import UnreachableError
from invctl.redis_connection import RedisAddress, RedisCaller, RedisLimits
from scripts.chain.broker import free_port
from tests.certificates import self_signed, serving
from tests.proxy import Proxy
from tests.servers import Broker, real_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENT = RedisLimits(connect_s=30, call_s=30, silence_s=30, pong_s=30, backoff_first_s=0.01, backoff_max_s=0.05)
ALERT = RedisLimits(connect_s=30, call_s=0.2, silence_s=0.05, pong_s=0.2, backoff_first_s=0.01, backoff_max_s=0.05)
PASSWORD = "geh/eim@1"


@contextlib.asynccontextmanager
async def opened(
    url: str, limits: RedisLimits = PATIENT, on_lost: Callable[[UnreachableError], None] | None = None
) -> AsyncIterator[RedisBus]:
    bus = RedisBus(url, rng=random.Random(1), limits=limits, on_lost=on_lost)
    try:
        yield bus
    finally:
        await bus.close()


@contextlib.asynccontextmanager
async def pretender(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives each connection one of the answers, then ends it: its address, and what it was asked."""
    left, asked, serving = list(answers), list[bytes](), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))
        writer.write(left.pop(0) if left else b"")
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(65536):
                pass
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    await asyncio.gather(*serving)


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("end", [Broker.kill, Broker.stop])
async def test_a_broker_that_ends_is_missed_and_found_again(broker: Broker, end: Callable[[Broker], None]) -> None:
    lost: list[UnreachableError] = []
    async with (
        opened(broker.url, on_lost=lost.append) as bus,
        contextlib.aclosing(bus.subscribe(["t:up", "t:p:*"])) as arrivals,
    ):
        assert await anext(arrivals) == Subscribed(("t:up", "t:p:*"))
        await bus.publish("t:up", b"before")
        assert await anext(arrivals) == Message("t:up", b"before")
        end(broker)
        reading = asyncio.create_task(anext(arrivals))
        with pytest.raises(UnreachableError) as raised:
            await bus.publish("t:up", b"lost")
        assert f"127.0.0.1:{broker.port}" in raised.value.message
        assert raised.value.hint
        broker.start()
        assert await reading == Subscribed(("t:up", "t:p:*"))
        assert lost
        for channel in ("t:up", "t:p:1"):
            await bus.publish(channel, b"after")
            assert await anext(arrivals) == Message(channel, b"after")


@pytest.mark.fault_tolerance
async def test_a_connection_that_is_half_open_is_given_up(broker: Broker) -> None:
    lost: list[UnreachableError] = []
    async with (
        Proxy(broker.url) as line,
        opened(line.url, ALERT, lost.append) as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        assert await anext(arrivals) == Subscribed(("t:up",))
        line.swallow()
        await line.heal()
        assert await anext(arrivals) == Subscribed(("t:up",))
        assert "no answer in time" in lost[0].message


@pytest.mark.fault_tolerance
async def test_a_reader_that_keeps_cancelling_notices_a_half_open_connection_too(broker: Broker) -> None:
    async with (
        Proxy(broker.url) as line,
        opened(line.url, ALERT) as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        assert await anext(arrivals) == Subscribed(("t:up",))
        line.swallow()
        await line.heal()
        found: Message | Subscribed | None = None
        while found is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALERT.silence_s / 5):
                    found = await anext(arrivals)
        assert found == Subscribed(("t:up",))


async def test_a_quiet_broker_is_asked_and_kept(broker: Broker) -> None:
    limits = RedisLimits(silence_s=0.01, pong_s=30)
    async with (
        Proxy(broker.url) as line,
        opened(line.url, limits) as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        assert await anext(arrivals) == Subscribed(("t:up",))
        reading = asyncio.create_task(anext(arrivals))
        await line.until_sent(b"PING", times=3)
        await bus.publish("t:up", b"x")
        assert await reading == Message("t:up", b"x")


@pytest.mark.fault_tolerance
async def test_a_frozen_broker_fails_a_publish_within_its_limit(broker: Broker) -> None:
    async with opened(broker.url, ALERT) as bus:
        await bus.publish("t:up", b"x")
        broker.pause()
        for _ in range(3):
            with pytest.raises(UnreachableError) as raised:
                await bus.publish("t:up", b"x")
            assert "no answer in time" in raised.value.message
        broker.resume()
    async with opened(broker.url) as bus:
        await bus.publish("t:up", b"x")


@pytest.mark.fault_tolerance
async def test_a_publish_without_answer_was_sent_once_and_confuses_nobody(broker: Broker) -> None:
    async with (
        Proxy(broker.url) as line,
        opened(line.url, ALERT) as bus,
        opened(broker.url) as direct,
        contextlib.aclosing(direct.subscribe(["t:*"])) as arrivals,
    ):
        await anext(arrivals)
        await bus.publish("t:1", b"x")
        line.swallow_answers()
        with pytest.raises(UnreachableError):
            await bus.publish("t:2", b"x")
        await line.heal()
        assert line.sent.count(b"PUBLISH") == 2
        await bus.publish("t:3", b"x")
        assert [await anext(arrivals) for _ in range(3)] == [Message(f"t:{n}", b"x") for n in (1, 2, 3)]


@pytest.mark.slow
@pytest.mark.fault_tolerance
async def test_a_subscriber_that_is_too_slow_is_cut_off_and_told(broker: Broker) -> None:
    caller = RedisCaller(RedisAddress.parse(broker.url), PATIENT)
    await caller.call(b"CONFIG", b"SET", b"client-output-buffer-limit", b"pubsub 1mb 0 0")
    async with opened(broker.url) as bus, contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals:
        await anext(arrivals)
        # The kernel's buffers fill first, then the broker's.
        while await caller.call(b"PUBSUB", b"NUMSUB", b"t:up") != [b"t:up", 0]:
            await bus.publish("t:up", bytes(500_000))
        while not isinstance(arrival := await anext(arrivals), Subscribed):
            pass
        assert arrival == Subscribed(("t:up",))
        await bus.publish("t:up", b"x")
        assert await anext(arrivals) == Message("t:up", b"x")
    await caller.aclose()


async def test_a_closed_subscription_is_gone_at_the_broker(broker: Broker) -> None:
    caller = RedisCaller(RedisAddress.parse(broker.url), PATIENT)
    lost: list[UnreachableError] = []
    async with opened(broker.url, on_lost=lost.append) as bus:
        async with contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals:
            await anext(arrivals)
            reading = asyncio.create_task(anext(arrivals, None))
            assert await caller.call(b"PUBSUB", b"NUMSUB", b"t:up") == [b"t:up", 1]
        assert await reading is None
        assert lost == []
        while await caller.call(b"PUBSUB", b"NUMSUB", b"t:up") != [b"t:up", 0]:
            pass
    await caller.aclose()


@pytest.mark.fault_tolerance
async def test_half_a_subscription_is_none() -> None:
    one = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    early = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nearly\r\n"
    other = b"*3\r\n$10\r\npsubscribe\r\n$3\r\nb:*\r\n:2\r\n"
    late = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nlate\r\n"
    async with (
        pretender(one + early, one + early + other + late) as (where, asked),
        opened(f"redis://{where}") as bus,
        contextlib.aclosing(bus.subscribe(["a", "b:*"])) as arrivals,
    ):
        assert await anext(arrivals) == Subscribed(("a", "b:*"))
        assert len(asked) == 2
        assert await anext(arrivals) == Message("a", b"late")


@pytest.mark.fault_tolerance
@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+" + bytes(200_000), b"$what\r\n", b"-LOADING in a moment\r\n", b""],
    ids=["http", "endless line", "no number", "loading", "nothing"],
)
async def test_what_answers_wrongly_is_unreachable(answer: bytes) -> None:
    async with pretender(answer) as (where, _), opened(f"redis://{where}") as bus:
        with pytest.raises(UnreachableError) as raised:
            await bus.publish("t:up", b"x")
        assert where in raised.value.message
        assert raised.value.hint


@pytest.mark.parametrize("unix", [False, True])
async def test_a_password_opens_the_broker(*, unix: bool) -> None:
    with real_broker(PASSWORD) as broker:
        url = broker.unix_url if unix else broker.url
        async with opened(url) as bus, contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals:
            await anext(arrivals)
            await bus.publish("t:up", b"x")
            assert await anext(arrivals) == Message("t:up", b"x")
            assert bus.name == f"redis {broker.socket_path if unix else f'127.0.0.1:{broker.port}'}"


async def test_a_wrong_password_is_said_and_not_shown() -> None:
    with real_broker(PASSWORD) as broker:
        url = broker.url.replace("eim", "XeimX")
        lost: asyncio.Queue[UnreachableError] = asyncio.Queue()
        async with (
            opened(url, on_lost=lost.put_nowait) as bus,
            contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
        ):
            with pytest.raises(UnreachableError) as raised:
                await bus.publish("t:up", b"x")
            reading = asyncio.create_task(anext(arrivals, None))
            for error in (raised.value, await lost.get()):
                assert "password" in error.hint
                assert "XeimX" not in "".join(traceback.format_exception(error))
            await arrivals.aclose()
            assert await reading is None


async def test_what_the_broker_forbids_is_said_and_begins_when_it_is_allowed(broker: Broker) -> None:
    caller = RedisCaller(RedisAddress.parse(broker.url), PATIENT)
    await caller.call(b"ACL", b"SETUSER", b"anna", b"on", b">hidden", b"+@all", b"resetchannels", b"&other:*")
    lost: asyncio.Queue[UnreachableError] = asyncio.Queue()
    async with (
        opened(broker.url.replace("://", "://anna:hidden@"), on_lost=lost.put_nowait) as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        reading = asyncio.create_task(anext(arrivals))
        with pytest.raises(UnreachableError) as raised:
            await bus.publish("t:up", b"x")
        for error in [raised.value] + [await lost.get() for _ in range(8)]:
            assert "grant" in error.hint
        # Each attempt ended its connection: the publisher's is left, an attempt, and one that is just ending.
        assert (await caller.call(b"CLIENT", b"LIST")).count(b"user=anna") <= 3
        await caller.call(b"ACL", b"SETUSER", b"anna", b"&t:*")
        assert await reading == Subscribed(("t:up",))
        await bus.publish("t:up", b"x")
        assert await anext(arrivals) == Message("t:up", b"x")
    await caller.aclose()


async def test_a_broker_that_quotes_the_password_is_not_quoted() -> None:
    quoting = f"-ERR unknown command 'AUTH', with args beginning with: '{PASSWORD}'\r\n".encode()
    async with pretender(quoting) as (where, asked), opened(f"redis://:{quote(PASSWORD, '')}@{where}") as bus:
        with pytest.raises(UnreachableError) as raised:
            await bus.publish("t:up", b"x")
        assert PASSWORD.encode() in asked[0]
        assert PASSWORD not in "".join(traceback.format_exception(raised.value))
        assert "'***'" in raised.value.message


@pytest.mark.fault_tolerance
async def test_attempts_to_connect_are_spaced_and_a_close_does_not_wait_for_the_next() -> None:
    limits = RedisLimits(backoff_first_s=3600, backoff_max_s=3600)
    lost: asyncio.Queue[UnreachableError] = asyncio.Queue()
    async with opened(f"redis://127.0.0.1:{free_port()}", limits, lost.put_nowait) as bus:
        reading = asyncio.create_task(anext(bus.subscribe(["t:up"]), None))
        await lost.get()
        for _ in range(10):
            # As long as an attempt takes.
            with pytest.raises(UnreachableError):
                await bus.publish("t:up", b"x")
        assert lost.empty()
        await bus.close()
        assert await reading is None


@pytest.mark.fault_tolerance
async def test_a_close_just_before_it_connects_leaves_nothing_behind(broker: Broker) -> None:
    async with opened(broker.url) as bus:
        arrivals = bus.subscribe(["t:up"])
        reading = asyncio.create_task(anext(arrivals, None))
        # One turn of the loop: the read has begun, and has not connected.
        await asyncio.sleep(0)
        await arrivals.aclose()
        assert await reading is None


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_close_does_not_wait_for_a_broker_that_says_nothing(scheme: str) -> None:
    """In the handshake of TLS, and before the confirmation."""
    limits = RedisLimits(connect_s=3600)
    arrived, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.set()
        while await reader.read(65536):
            pass
        writer.close()
        left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        async with opened(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", limits) as bus:
            arrivals = bus.subscribe(["t:up"])
            reading = asyncio.create_task(anext(arrivals, None))
            await arrived.wait()
            await arrivals.aclose()
            assert await reading is None
        await left.wait()


@pytest.mark.fault_tolerance
async def test_a_read_that_is_cancelled_while_it_connects_leaves_nothing_behind(broker: Broker) -> None:
    async with (
        Proxy(broker.url) as line,
        opened(line.url) as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        line.swallow_answers()
        reading = asyncio.create_task(anext(arrivals))
        await line.until_sent(b"SUBSCRIBE", times=1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await line.heal()
        assert await anext(arrivals) == Subscribed(("t:up",))
        await bus.publish("t:up", b"x")
        assert await anext(arrivals) == Message("t:up", b"x")


@pytest.mark.fault_tolerance
async def test_a_close_ends_a_publish_that_waits(broker: Broker) -> None:
    async with Proxy(broker.url) as line, opened(line.url) as bus:
        await bus.publish("t:up", b"x")
        line.swallow_answers()
        publishing = asyncio.create_task(bus.publish("t:up", b"x"))
        waiting = asyncio.create_task(bus.publish("t:up", b"x"))
        await line.until_sent(b"PUBLISH", times=2)
        await bus.close()
        for task in (publishing, waiting):
            with pytest.raises(UnreachableError):
                await task


async def test_a_rediss_url_speaks_tls_and_checks_the_certificate(broker: Broker, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "ours")
    async with Proxy(broker.url, tls=serving(certificate)) as line:
        secure = line.url.replace("redis://", "rediss://")
        async with (
            opened(f"{secure}?ssl_ca_certs={certificate.pem}") as bus,
            contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
        ):
            await anext(arrivals)
            await bus.publish("t:up", b"x")
            assert await anext(arrivals) == Message("t:up", b"x")
        async with opened(secure) as bus:
            with pytest.raises(UnreachableError, match="its certificate is not trusted: self-signed") as raised:
                await bus.publish("t:up", b"x")
            assert "ssl_ca_certs=" in raised.value.hint
            assert raised.value.details["cause"] == "tls"


@pytest.mark.fault_tolerance
async def test_an_authority_that_is_renewed_is_read_without_a_restart(broker: Broker, tmp_path: Path) -> None:
    trusted, renewed = self_signed(tmp_path / "ours"), self_signed(tmp_path / "renewed")
    async with (
        Proxy(broker.url, tls=serving(trusted)) as line,
        opened(f"{line.url.replace('redis://', 'rediss://')}?ssl_ca_certs={trusted.pem}") as bus,
        contextlib.aclosing(bus.subscribe(["t:up"])) as arrivals,
    ):
        await anext(arrivals)
        await bus.publish("t:up", b"before")
        assert await anext(arrivals) == Message("t:up", b"before")
        await line.refuse()
        line.tls = serving(renewed)
        await line.heal()
        with pytest.raises(UnreachableError, match="not trusted"):
            await bus.publish("t:up", b"lost")
        trusted.pem.write_bytes(renewed.pem.read_bytes())
        assert await anext(arrivals) == Subscribed(("t:up",))
        await bus.publish("t:up", b"after")
        assert await anext(arrivals) == Message("t:up", b"after")
