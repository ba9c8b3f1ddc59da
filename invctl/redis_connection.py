"""Connections to Redis, shared by the bus and the locks: a limit on everything, nothing tried twice, our own errors.

redis-py 8 (https://redis.readthedocs.io/) tries a failed command ten times by default, which doubles a PUBLISH
and leaves a lock behind that nobody knows of. Its clients and its PubSub also reconnect silently, which hides
the gap. So only its bare connections are used here, with every default that matters set by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from invctl.errors import InvalidValueError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis.asyncio.connection import AbstractConnection

_URL_FORMS = "write redis://[user:password@]host[:port][/db], rediss://… for TLS, or unix:///path/to/socket"
_LOGIN_OPTIONS = {"db", "username", "password"}
_TLS_OPTIONS = {
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
    "ssl_min_version",
    "ssl_password",
}
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """How long each step may take, in seconds.

    `connect_s`: to connect, log in and have a subscription confirmed. `call_s`: for one command and its
    answer, with the wait for its turn. A subscriber that heard nothing for `silence_s` asks whether the
    broker is there, and gives the connection up when no answer comes within `pong_s`. Between attempts to
    connect it waits from `backoff_first_s` up to `backoff_max_s`.
    """

    connect_s: float = 3.0
    call_s: float = 3.0
    silence_s: float = 5.0
    pong_s: float = 3.0
    backoff_first_s: float = 0.1
    backoff_max_s: float = 5.0


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and how to log in. Only `where` is shown; it holds no secret."""

    where: str
    _connection_class: type[AbstractConnection] = field(repr=False)
    _options: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read a `redis://`, `rediss://` or `unix://` URL. Raises InvalidValueError, which never shows the URL.

        Of the options behind `?` only `db`, `username`, `password` and, for `rediss://`, the `ssl_*` of redis-py are
        taken: redis-py would let any other override the limits that are set here. The files that they name are looked
        into at once, and again at each connection.
        """
        try:
            parts = urlsplit(url)
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError:
            # The cause quotes pieces of the URL, and with them of the password.
            raise InvalidValueError("the broker's URL cannot be read", hint=_URL_FORMS) from None
        taken = _LOGIN_OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _LOGIN_OPTIONS
        foreign = sorted(set(parse_qs(parts.query)) - taken)
        if foreign:
            raise InvalidValueError(
                f"the broker's URL has options that are not taken: {', '.join(foreign)}",
                hint=f"leave them out; {parts.scheme}:// takes {', '.join(sorted(taken))}",
            )
        connection_class = options.pop("connection_class", Connection)
        if parts.scheme == "unix":
            where = options.get("path", "")
        else:
            host, port = options.setdefault("host", "localhost"), options.setdefault("port", 6379)
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        address = cls(where, connection_class, options)
        try:
            connection = address.connection(RedisLimits())
            if isinstance(connection, SSLConnection):
                _check_tls(connection, options)
        except RedisError:
            raise InvalidValueError("the TLS options of the broker's URL do not hold", hint=_URL_FORMS) from None
        if not where:
            raise InvalidValueError("the broker's URL names no socket", hint=_URL_FORMS)
        return address

    def connection(self, limits: RedisLimits) -> AbstractConnection:
        """Make a connection, which is not connected yet.

        It has no time limit for reading or writing: those of redis-py would cut a frame that is under way, and
        its `wait_for` can swallow a cancellation before Python 3.12. Callers set their own around it.
        """
        return self._connection_class(
            **self._options,
            # Not the default of 10.
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=limits.connect_s,
            health_check_interval=0,
            # RESP2 needs no greeting, and an answer to PING comes in line with the messages.
            protocol=2,
            decode_responses=False,
            driver_info=None,
        )

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """Turn what redis-py and the network raise into UnreachableError.

        The cause is not chained: a broker may quote the failed command, and so the password.
        """
        try:
            yield
        except (TimeoutError, RedisTimeoutError):
            # A port without TLS waits for the end of a line that the handshake never has.
            also = ", and that it speaks TLS on this port" if self._connection_class is SSLConnection else ""
            raise self._unreachable(
                "timeout", "no answer in time", f"see whether it is paused, overloaded or cut off{also}"
            ) from None
        except AuthenticationError as error:
            raise self._unreachable(
                "login", self._reason(error), "check user and password in the broker's URL"
            ) from None
        except NoPermissionError as error:
            raise self._unreachable(
                "permission", self._reason(error), "grant the user the commands, keys and channels of this namespace"
            ) from None
        except ResponseError as error:
            raise self._unreachable("refused", f"refused: {self._reason(error)}", "see the broker's own log") from None
        # ValueError: what answered does not speak Redis's protocol (a line without end, a length that is no number).
        except (RedisError, OSError, ValueError) as error:
            for origin in (error, error.__context__):
                if isinstance(origin, ssl.SSLError):
                    raise self._unreachable("tls", *_in_words_of_tls(origin)) from None
            raise self._unreachable(
                "connection", self._reason(error), "see that the broker runs and its URL is right"
            ) from None

    def _unreachable(self, cause: str, reason: str, hint: str) -> UnreachableError:
        message = f"Redis at {self.where} cannot be used: {reason}"
        return UnreachableError(message, hint=hint, broker=self.where, cause=cause)

    def _reason(self, error: Exception) -> str:
        origin = error.__context__
        text = (isinstance(origin, OSError) and _in_words(origin)) or str(error)
        for secret in (self._options.get("password"), self._options.get("ssl_password")):
            if secret:
                text = text.replace(secret, "***")
        return text


def _check_tls(connection: SSLConnection, options: Mapping[str, Any]) -> None:
    """Raise InvalidValueError where the certificates that a URL names cannot be used.

    What is wrong with them would else be said of the broker, and without a file's name.
    """
    for name in _TLS_FILES:
        if path := options.get(name):
            try:
                Path(path).open("rb").close()
            except OSError as error:
                message = f"{name} of the broker's URL, {path}, cannot be read: {error.strerror}"
                raise InvalidValueError(message, hint="name a file in PEM that this user may read") from None
    try:
        connection.ssl_context.get()
    except (OSError, ValueError) as error:
        message = f"the TLS options of the broker's URL do not hold: {_reason_of_tls(error) or 'not what TLS takes'}"
        raise InvalidValueError(message, hint="certificates and keys are files in PEM") from None


def _in_words_of_tls(error: ssl.SSLError) -> tuple[str, str]:
    """Return what is wrong, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "name who signed it, rediss://...?ssl_ca_certs=/etc/invctl/ca.pem, and a host that it is valid for"
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}", hint
    hint = "see that it speaks TLS on this port, and whether it asks for a certificate"
    return f"TLS fails: {_reason_of_tls(error) or error}", hint


def _reason_of_tls(error: Exception) -> str:
    # Some have none, not even an empty one.
    return (getattr(error, "reason", None) or "").lower().replace("_", " ")


def _in_words(error: OSError) -> str | None:
    """Return what an error says, or the system's word for it: asyncio's `Connect call failed` does not say why."""
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):
        return os.strerror(error.errno)
    return error.strerror


class RedisCaller:
    """Sends commands one at a time on one connection that it keeps, and opens anew when it was lost."""

    def __init__(self, address: RedisAddress, limits: RedisLimits) -> None:
        """Prepare; the first call connects."""
        self._address = address
        self._limits = limits
        self._connection = address.connection(limits)
        self._turn = asyncio.Lock()
        self._closed = False

    async def call(self, *words: bytes | int) -> Any:
        """Send one command and give its answer. It is sent once, whatever happens.

        Raises UnreachableError within `call_s`; the command may have been carried out nevertheless.
        """
        with self._address.translating():
            async with asyncio.timeout(self._limits.call_s), self._turn:
                await self._ready()
                # Both drop the connection when they are cut short, so that no answer is taken for another's.
                await self._connection.send_command(*words)
                return await self._connection.read_response()

    async def aclose(self) -> None:
        """Close the connection; a call that is under way fails. May be called again."""
        self._closed = True
        await self._connection.disconnect(nowait=True)

    async def _ready(self) -> None:
        connection = self._connection
        # A connection that the broker ended while it was idle can be read. Nothing was sent on it yet.
        if connection.is_connected and await connection.can_read():
            await connection.disconnect(nowait=True)
        if not connection.is_connected and not self._closed:
            # Made anew, as one of TLS goes on with the certificates that it has read.
            self._connection = connection = self._address.connection(self._limits)
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        if self._closed:
            await connection.disconnect(nowait=True)
            raise UnreachableError(f"the connection to {self._address.where} was closed", hint="open a new one")
