"""PostgreSQL that goes away: refused, silent in the middle of a statement, and silent at the door."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog
from sqlalchemy import make_url, text

from central import postgres
from central.database import open_database, reading, writing
from central.postgres import guard_connecting
from invctl.clock import ManualClock, SystemClock
from invctl.errors import UnreachableError
from invctl.runtime.breaker import REFUSED, Breaker, State
from scripts.chain.broker import free_port
from tests.proxy import Proxy

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.fault_tolerance


def through(line: Proxy, url: str) -> str:
    where = make_url(line.url)
    return make_url(url).set(host=where.host, port=where.port).render_as_string(hide_password=False)


def ask(engine: Engine) -> None:
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))


def guarded(engine: Engine, clock: ManualClock) -> Breaker:
    breaker = Breaker("database", clock=clock, chance=Random(1), log=structlog.get_logger())
    guard_connecting(engine, breaker)
    return breaker


def unreachable(engine: Engine) -> UnreachableError:
    with pytest.raises(UnreachableError) as raised:
        ask(engine)
    return raised.value


async def test_a_line_that_goes_silent_is_given_up_by_our_own_clock_and_had_again(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that is sent is confirmed, by the proxy's machine: no time-out of TCP or the server's can tell."""
    monkeypatch.setattr(postgres, "ANSWER_S", 0.2)
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT_S", 2)
    async with Proxy(empty_postgres) as line:
        engine = open_database(through(line, empty_postgres), clock=SystemClock())
        try:
            await asyncio.to_thread(ask, engine)
            line.swallow()
            assert "no answer from the server within 0.2 s" in (await asyncio.to_thread(unreachable, engine)).message
            # A new one is accepted, and not answered either.
            assert (await asyncio.to_thread(unreachable, engine)).hint
            await line.heal()
            await asyncio.to_thread(ask, engine)
        finally:
            engine.dispose()


async def test_silence_inside_a_transaction_ends_it_too(empty_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S", 0.2)
    async with Proxy(empty_postgres) as line:
        engine = open_database(through(line, empty_postgres), clock=SystemClock())
        silent = line.swallow

        def write(loop: asyncio.AbstractEventLoop) -> None:
            with writing(engine) as connection:
                connection.execute(text("CREATE TABLE t (n int)"))
                asyncio.run_coroutine_threadsafe(asyncio.to_thread(silent), loop).result()
                connection.commit()

        try:
            with pytest.raises(UnreachableError, match="no answer"):
                await asyncio.to_thread(write, asyncio.get_running_loop())
        finally:
            engine.dispose()


async def test_while_it_is_away_it_is_not_connected_to_and_a_working_connection_is_used_as_ever(
    empty_postgres: str,
) -> None:
    clock = ManualClock()
    async with Proxy(empty_postgres) as line:
        engine = open_database(through(line, empty_postgres), clock=clock)
        breaker = guarded(engine, clock)
        try:
            await asyncio.to_thread(ask, engine)
            await line.refuse()
            errors = [await asyncio.to_thread(unreachable, engine) for _ in range(6)]
            assert breaker.status().state is State.OPEN
            assert "refused" in breaker.status().why
            assert errors[-1].details["cause"] == REFUSED
            await line.heal()
            # It would answer, and is not asked before it is time.
            assert (await asyncio.to_thread(unreachable, engine)).details["cause"] == REFUSED
            clock.advance(5.0)
            await asyncio.to_thread(ask, engine)
            assert breaker.status().state is State.CLOSED
            for _ in range(3):
                with pytest.raises(UnreachableError), breaker.attempt():
                    raise UnreachableError
            # The one in the pool.
            await asyncio.to_thread(ask, engine)
            assert breaker.status().state is State.OPEN
        finally:
            engine.dispose()


def test_a_password_is_not_in_what_the_breaker_says() -> None:
    clock = ManualClock()
    engine = open_database(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/central", clock=clock)
    breaker = guarded(engine, clock)
    told = [str(unreachable(engine)) for _ in range(4)]
    assert "hunter2" not in "".join([*told, breaker.status().why])
    engine.dispose()
