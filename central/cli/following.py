"""Follow central's stream of events, live, from any point, through whatever happens to the database."""

from __future__ import annotations

import errno
import os
import select
import sys
from typing import TYPE_CHECKING, NamedTuple

from central.database import reading
from central.tail import TailPage, latest_positions, read_tail
from invctl.errors import BusyError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy import Engine

    from central.tail import Positions, TailEvent
    from invctl.clock import Clock
    from invctl.errors import InventoryError

LOOK_EVERY_S = 0.02
RETRY_S = 0.5
OUTAGE_SAID_AFTER_S = 2.0


class Filters(NamedTuple):
    """Which events are wanted; what is empty takes all."""

    stores: Collection[str] = ()
    skus: Collection[str] = ()
    types: Collection[str] = ()


class Follower:
    """Reads on from a point. `after` is how far it came: nothing before it is missed, nothing after it was seen."""

    def __init__(
        self,
        engine: Engine,
        after: Positions,
        filters: Filters,
        *,
        clock: Clock,
        fits: Callable[[TailEvent], bool] = lambda _: True,
    ) -> None:
        """Begin after these positions. Of what the filters leave, `fits` says what is wanted."""
        self._engine = engine
        self._filters = filters
        self._fits = fits
        self._clock = clock
        self.after = after

    def rest(self) -> Iterator[TailEvent]:
        """Yield what is there to be read now, and end."""
        while True:
            page = self._read()
            yield from self._taken(page)
            if not page.more:
                return

    def follow(
        self, wait: Callable[[float], None], say: Callable[[str], None], *, idle_s: float | None = None
    ) -> Iterator[TailEvent]:
        """Yield what there is, and then what comes: without end, or until nothing wanted came for `idle_s` seconds.

        `wait` passes the time between two looks. `say` is told of an outage that lasts, and of its end; none ends
        the stream, and none counts as a time in which nothing came.
        """
        newest_s = self._clock.monotonic_s()
        lost_s: float | None = None
        said = False
        while True:
            try:
                page = self._read()
            except (BusyError, UnreachableError) as error:
                now_s = self._clock.monotonic_s()
                lost_s = now_s if lost_s is None else lost_s
                if not said and now_s - lost_s >= OUTAGE_SAID_AFTER_S:
                    say(_outage(error))
                    said = True
                wait(RETRY_S)
                continue
            if said:
                say("the database answers again: nothing was missed")
            if lost_s is not None:
                newest_s = self._clock.monotonic_s()
            lost_s, said = None, False
            for event in self._taken(page):
                yield event
                newest_s = self._clock.monotonic_s()
            if not page.more:
                if idle_s is not None and self._clock.monotonic_s() - newest_s >= idle_s:
                    return
                wait(LOOK_EVERY_S)

    def _read(self) -> TailPage:
        with reading(self._engine) as connection:
            # Most looks find nothing, and cost one statement.
            if latest_positions(connection) == self.after:
                return TailPage([], self.after, more=False)
            return read_tail(connection, self.after, **self._filters._asdict())

    def _taken(self, page: TailPage) -> Iterator[TailEvent]:
        """Yield a page's events, each one noted before it is handed out: whoever stops at it has seen it."""
        for event in page.events:
            self.after = {**self.after, event.shard: event.position}
            if self._fits(event):
                yield event
        self.after = page.after


def wait_for_reader(seconds: float) -> None:
    """Wait, but not for longer than somebody reads our output. Raises BrokenPipeError when nobody does any more."""
    poll = select.poll()
    if sys.stdout is not None:
        poll.register(sys.stdout.fileno(), 0)
    for _, happened in poll.poll(seconds * 1000):
        if happened & (select.POLLERR | select.POLLHUP):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _outage(error: InventoryError) -> str:
    return f"{error.message}; trying on ({error.hint})" if error.hint else f"{error.message}; trying on"
