"""A circuit breaker: stops asking what does not answer, and finds out when it answers again.

Closed, it lets every call through, and counts failures in a row. At the limit it opens: nothing is attempted until the
next attempt is due, by a back-off with jitter. Then it is half open: one call goes through, as a probe, and decides.
The pattern is Nygard's, https://martinfowler.com/bliki/CircuitBreaker.html. Why it is our own is in
`docs/adr/0013-a-circuit-breaker-of-our-own.md`.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from invctl.backoff import Backoff
from invctl.clock import format_time
from invctl.errors import InventoryError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

    from invctl.backoff import Random
    from invctl.clock import Clock

REFUSED = "breaker_open"
"""The `cause` of a call that was not attempted."""


class State(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Patience:
    """After how many failures in a row a breaker opens, and how long it then waits, in seconds, as `Backoff` does."""

    failures_max: int = 3
    first_s: float = 0.25
    max_s: float = 5.0


class BreakerStatus(NamedTuple):
    """How a breaker stands. `since_us` is when it came into this state; `failures` are those in a row.

    `next_attempt_us` is when the next call goes through, where it is open; both by the wall clock, for people. `why`
    is the last failure. `opened` and `refused` count in all: how often it opened, and the calls not attempted.
    """

    name: str
    state: State
    since_us: int
    failures: int
    next_attempt_us: int | None
    why: str
    opened: int
    refused: int

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON value, instants in RFC 3339."""
        return {
            "state": self.state.value,
            "since": format_time(self.since_us),
            "failures": self.failures,
            "next_attempt_at": None if self.next_attempt_us is None else format_time(self.next_attempt_us),
            "why": self.why,
        }


class Breaker:
    """Guards the calls to one thing that may be away. Tasks and threads may share it."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        chance: Random,
        log: FilteringBoundLogger,
        patience: Patience | None = None,
        counts: tuple[type[Exception], ...] = (UnreachableError,),
    ) -> None:
        """Begin closed.

        Args:
            name: what it guards, in one word: for logs, status and metrics.
            clock: its monotonic time decides; its wall clock only tells people.
            chance: spreads the attempts of many processes.
            log: told when it opens and when it closes.
            patience: when it opens, and how long it waits.
            counts: the errors that mean that the thing is away. Any other says nothing about it.

        """
        self.name = name
        self._clock = clock
        self._log = log.bind(breaker=name)
        self._patience = patience or Patience()
        self._backoff = Backoff(chance, self._patience.first_s, self._patience.max_s)
        self._counts = counts
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._state = State.CLOSED
        self._since_us = clock.now_us()
        self._failures = 0
        self._attempt_s = 0.0
        self._attempt_us = 0
        self._why = self._hint = ""
        self._opened = 0
        self._refused = 0
        # Rises with each change of state: what was begun before it no longer decides anything.
        self._era = 0

    @property
    def state(self) -> State:
        """Whether calls go through. It stays `open` until a call is there to be the probe."""
        return self._state

    def why_not(self) -> str | None:
        """Return why calls do not go through; None where they do."""
        now = self.status()
        if now.state is State.CLOSED:
            return None
        # Not when the next attempt is: who reads this may do so later.
        return f"{now.state.value.replace('_', '-')} since {format_time(now.since_us)}: {now.why}"

    def on_change(self, listener: Callable[[], None]) -> None:
        """Let `listener` be called after each change, on the thread that brought it."""
        self._listeners.append(listener)

    def status(self) -> BreakerStatus:
        """Return how it stands."""
        with self._lock:
            return BreakerStatus(
                self.name,
                self._state,
                self._since_us,
                self._failures,
                self._attempt_us if self._state is State.OPEN else None,
                self._why,
                self._opened,
                self._refused,
            )

    def attempt(self) -> AbstractContextManager[None]:
        """Let a block be carried out, and learn from how it ends.

        Raises UnreachableError at once where it is open, or a probe is under way: it says why, as the last failure did.
        """
        return _Attempt(self)

    def heard(self) -> None:
        """Note that the thing was heard from by another way: calls go through again, and one more failure ends that.

        The back-off goes on from where it was: only a call that succeeds shows that all is well.
        """
        with self._lock:
            if self._state is State.CLOSED:
                return
            failures, self._failures = self._failures, self._patience.failures_max - 1
            self._turn(State.CLOSED)
        self._log.info("breaker.closed", failures=failures, heard=True)
        self._tell()

    def admit(self) -> int:
        """Let an attempt begin; it is of this era. Raises as `attempt` does."""
        with self._lock:
            if self._state is State.CLOSED:
                return self._era
            if self._state is State.HALF_OPEN or self._clock.monotonic_s() < self._attempt_s:
                self._refused += 1
                raise self._refusal()
            self._turn(State.HALF_OPEN)
            era = self._era
        self._tell()
        return era

    def ended(self, era: int, error: BaseException | None) -> None:
        """Learn from how an attempt ended."""
        if error is None:
            self._succeeded(era)
        elif isinstance(error, self._counts):
            self._failed(era, error)
        else:
            self._undecided(era)

    def _succeeded(self, era: int) -> None:
        with self._lock:
            if era != self._era:
                return
            self._backoff.reset()
            failures, self._failures, self._why, self._hint = self._failures, 0, "", ""
            if self._state is State.CLOSED:
                return
            self._turn(State.CLOSED)
        self._log.info("breaker.closed", failures=failures)
        self._tell()

    def _failed(self, era: int, error: Exception) -> None:
        with self._lock:
            if era != self._era:
                return
            self._failures += 1
            if isinstance(error, InventoryError):
                self._why, self._hint = error.message, error.hint
            else:
                # A driver's own text may quote a password.
                self._why, self._hint = type(error).__name__, ""
            if self._state is State.CLOSED and self._failures < self._patience.failures_max:
                return
            was_closed = self._state is State.CLOSED
            wait_s = self._backoff.next_s()
            self._attempt_s = self._clock.monotonic_s() + wait_s
            self._attempt_us = self._clock.now_us() + round(wait_s * 1_000_000)
            self._opened += was_closed
            self._turn(State.OPEN, since_us=None if was_closed else self._since_us)
        told = self._log.warning if was_closed else self._log.debug
        told("breaker.opened", failures=self._failures, wait_s=round(wait_s, 3), error=error)
        self._tell()

    def _undecided(self, era: int) -> None:
        """Let the next call be the probe where this one was cut short, or failed for a reason of its own."""
        with self._lock:
            if era != self._era or self._state is not State.HALF_OPEN:
                return
            self._turn(State.OPEN, since_us=self._since_us)
        self._tell()

    def _turn(self, state: State, since_us: int | None = None) -> None:
        """Change the state. An outage is one, however many probes fail: it is open since the first."""
        if state is not State.HALF_OPEN:
            self._since_us = self._clock.now_us() if since_us is None else since_us
        self._state = state
        self._era += 1

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _refusal(self) -> UnreachableError:
        # Neither a count nor a time: it is the same outage all the while, and is kept where it is read later.
        return UnreachableError(
            f"{self.name} is not asked, as it keeps failing: {self._why}", hint=self._hint, cause=REFUSED, why=self._why
        )


class _Attempt(AbstractContextManager[None]):
    """A block that a breaker lets through. A class of its own: a generator would cost each publish three times that."""

    __slots__ = ("_breaker", "_era")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._era = 0

    def __enter__(self) -> None:
        self._era = self._breaker.admit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._breaker.ended(self._era, error)
